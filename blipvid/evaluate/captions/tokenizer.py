r"""Splits captions into words as the caption metrics of the field do: by the rules of the Penn Treebank, lower-cased.

pycocoevalcap calls a Java program, Stanford's PTBTokenizer of CoreNLP 3.4.1, with `-preserveLines -lowerCase`, and
deletes the marks `'' ' `` ` . ? ! , : - -- ... ;`. This module gives the same words without Java. Its rules
describe what that program answers, many of them found by asking it; like that program it takes the longest match of all
rules at each place, and of equally long ones the first.

Worth knowing: the program lower-cases brackets as well, so `-lrb-` and its like stay words (pycocoevalcap's list of
marks has `-LRB-`), and so do `!!` and `?!`. A token may hold blanks of its own ("1 1/2", a telephone number), written
as no-break spaces.

What differs:

- A caption is split alone. The Java program sees all captions as one text, where one letter and a full stop at the end
  of a caption ("vitamin c.") lose the stop if the next caption begins with a word such as "A" or "The".
- Line ends inside a caption are blanks here; there, all but `\n` shift the later captions by a line.
- Letters and marks that came with Unicode after version 6, and Indian vowel signs at the begin of a word, may split in
  another way; characters outside the basic plane (emoji) are dropped by both.
- Letters written as HTML entities ("caf&eacute;"), "Ph.D.s", tags with odd attributes, rarer smileys, runs of quotes
  ("``'"), and addresses to which other signs are glued ("*foo.com") may split in another way.

Source: github.com/salaniz/pycocoevalcap 1.2, tokenizer/ptbtokenizer.py (the marks, the options). The words are
held to the Java program in tests/evaluate/captions/test_tokenizer.py.
"""

import re
from collections.abc import Callable
from functools import lru_cache

_DROPPED = frozenset(("''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "---", "----", "...", ";", ""))


@lru_cache(maxsize=2**18)
def tokenize(caption: str) -> str:
    """Splits one caption.

    Args:
        caption: As annotated or generated.

    Returns:
        Its words, lower-cased, with a blank between two; empty where none is left.
    """
    return " ".join(_words(caption))


def _ranges(belongs: Callable[[str], bool]) -> str:
    """Returns the characters of Unicode's basic plane that belong, as the inside of a regular expression's [...]."""
    found: list[list[int]] = []
    for code in range(0x80, 0x10000):
        if belongs(chr(code)):
            if found and code == found[-1][1] + 1:
                found[-1][1] = code
            else:
                found.append([code, code])
    return "".join(f"\\u{first:04x}-\\u{last:04x}" for first, last in found)


_MARKS = (
    "\u02c2-\u02c5\u02d2-\u02df\u02e5-\u036f\u0384\u0385\u0483-\u0487\u055a-\u055f\u0591-\u05bd\u05bf\u05c1\u05c2"
    "\u05c4\u05c5\u05c7\u0615-\u061a\u064b-\u065e\u0670\u06d6-\u06ed\u0711\u0730-\u074c\u07a6-\u07b0\u07eb-\u07f3"
    "\u0900-\u0903\u093c\u093e-\u094e\u0951-\u0955\u0962\u0963\u0981-\u0983\u09bc-\u09cd\u09d7\u09e2\u09e3"
    "\u0a01-\u0a03\u0a3c-\u0a4f\u0a81-\u0a83\u0abc-\u0acf\u0b82\u0bbe-\u0bcd\u0c01-\u0c03\u0c3e-\u0c56\u0d3e-\u0d4d"
    "\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0eb1\u0eb4-\u0ebc\u0ec8-\u0ecd"
)
"""Marks that are part of a word like letters; the Java program's own choice."""
_SYMBOLS = (
    "\\u00a1\\u00a5-\\u00a9\\u00ac\\u00ae-\\u00b4\\u00b6-\\u00b9\\u00bf\\u00d7\\u00f7\\u037e\\u0387\\u0589\\u05be\\u05c0"
    "\\u05c3\\u05c6\\u05f3-\\u05f4\\u0600-\\u0603\\u0606-\\u060c\\u0614\\u061b\\u061e-\\u061f\\u066a\\u066d\\u06d4"
    "\\u0700-\\u070d\\u07f6-\\u07f8\\u0964-\\u0965\\u0e3f\\u0e4f\\u1fbd\\u2016-\\u2017\\u201a\\u201e-\\u2023\\u2030-\\u2038"
    "\\u203b\\u203e-\\u2042\\u2044\\u2070\\u2074-\\u207e\\u2080-\\u208e\\u20a4\\u2100-\\u2101\\u2103-\\u2106\\u2108-\\u2109"
    "\\u2114\\u2116-\\u2118\\u211e-\\u2123\\u2125\\u2127\\u2129\\u212e\\u213a-\\u213b\\u2140-\\u2144\\u214a-\\u214d\\u214f"
    "\\u2155-\\u215e\\u2190-\\u2bff\\u3001-\\u3002\\u3012\\u30fb\\uff01-\\uff0f\\uff1a-\\uff20\\uff3b-\\uff40\\uff5b-\\uff65"
    "\\uffe0-\\uffe1\\uffe5-\\uffe6"
)
"""Characters beyond ASCII that are words of their own; those in no list are dropped, as the Java program does."""

_LETTERS = "A-Za-z" + _ranges(str.isalpha) + _MARKS
_DIGITS = "0-9" + _ranges(str.isdecimal)
_L, _D, _A = f"[{_LETTERS}]", f"[{_DIGITS}]", f"[{_LETTERS}{_DIGITS}]"
_END = f"(?!{_A})"
_HYPHEN = "[-_\u058a\u2010\u2011]"
_APOSTROPHE = "['\u2019]"
_TICK = "['\u2019`]"
_ENDING = "(?:'(?i:[smd]|re|ve|ll)(?![A-Za-z])|\u2019(?i:[smd]|re|ve|ll))"

_ABBREVIATIONS = (
    "adj|adm|adv|al|ala|alex|apr|ariz|assn|assoc|asst|atty|aug|ave|bhd|bldg|blvd|brig|bros|calif|capt|cf|cie|"
    "cmdr|co|col|colo|comdr|conn|corp|cos|cpl|ct|dak|dec|dept|det|dr|drs|elec|ens|esq|est|etc|ext|feb|fla|fri|ft|"
    "ga|gen|gov|govs|hon|inc|ind|insp|intl|invt|jan|jos|jr|jul|jun|kan|kans|ky|lieut|lt|ltd|maj|mar|md|messrs|"
    "mfg|mich|minn|mlle|mme|mo|mon|mont|mr|mrs|ms|msgr|mt|mtg|natl|neb|nev|nov|oct|okla|penn|pfc|ph|plc|ppte|"
    "ppty|pres|prof|profs|pte|ptes|pty|ptys|pvt|rd|rep|reps|rev|rt|sen|sens|sep|sept|seq|sfc|sgt|spc|sq|sr|st|"
    "ste|supt|sys|tel|tenn|thu|thurs|treas|tue|tues|univ|va|vs|vt|wed|wis|wisc|wm|wyo"
)
"""Words that keep their full stop, in any case of letters."""
_CAPITAL_ABBREVIATIONS = "ark|az|del|ill|la|mass|miss|ore|pa|tex|wash"
"""Words that keep their full stop if they begin with a capital."""
_NUMBERED = "art|ca|fig|figs|no|nos|op|pp|prop"
"""Words that keep their full stop before a number."""
_STARTERS = (
    "a|about|according|additionally|after|an|as|at|but|earlier|he|her|here|however|if|in|it|last|many|more|now|"
    "once|one|other|our|she|since|so|some|such|that|the|their|then|there|these|they|this|we|what|when|while|yet|"
    "you"
)
"""Words that begin a sentence: a single letter before them keeps no full stop."""
_FILES = "bat|bmp|c|doc|exe|gif|gz|h|htm|html|java|jpeg|jpg|mov|mp3|pdf|php|png|ppt|ps|py|tar|txt|wav|xml|zip"
"""Endings of names of files."""

_NUMBER = f"{_D}*(?:[.:,]?{_D}+)+"
_ACRONYM = r"[A-Za-z](?:\.[A-Za-z])+"
_WORD = f"{_L}{_A}*(?:[.!?]{_L}{_A}*)*"
_HOST = r"""[^\s`'"<>|.!?(){},\-_$/:]+"""
_PATH = r"""(?:/[^\s"<>|()]+[^\s"<>|.!?(){},-])"""

_RULES = tuple(
    re.compile(rule)
    for rule in (
        # markup
        r"<!--[^>]*-->|<[!?][A-Za-z-][^>]*>",
        r"""</?[A-Za-z][\w.:@-]*(?: +[A-Za-z]\w*(?: *= *(?:"[^"]*"|'[^']*'))?)* */?>""",
        # two words in one; group 1 is the token, the rest is what must follow
        r"(?i:(can)not|(gon|wan)na|(got)ta|(lem|gim)me|('t)(?:is|was))",
        f"([A-Za-z]*[A-MO-Za-mo-z])[nN]{_TICK}[tT]",
        f"({_WORD}|{_A}+(?:{_HYPHEN}{_A}+)*){_ENDING}",
        _ENDING,
        f"[nN]{_TICK}[tT]",
        # words with an apostrophe of their own
        f"(?i:{_APOSTROPHE}n(?:{_APOSTROPHE}|(?!{_A}|-))|[ldj]{_APOSTROPHE}|y{_APOSTROPHE}|(?:dunkin|somethin|ol){_APOSTROPHE})",
        f"(?i:{_APOSTROPHE}(?:em|till?|cause|[2-9]0s)|cont'd\\.?|nor'easter|c'mon|e'er|s'mores|ev'ry|li'l|nat'l|o'o)",
        f"{_APOSTROPHE}{_D}{_D}(?!\\S)",
        f"[A-HJ-XZn]{_TICK}{_L}{{2,}}",
        f"{_L}+[aeiouyAEIOUY]{_TICK}[aeiouA-Z]{_L}*",
        # words, with hyphens, dots and slashes
        f"(?:[dDoOlL]{_TICK}{_A})?{_A}+(?:{_HYPHEN}(?:[dDoOlL]{_TICK}{_A})?{_A}+)*",
        rf"[A-Za-z0-9][A-Za-z0-9.,]*(?:-(?:{_ACRONYM}\.|[A-Za-z0-9]+))+",
        _WORD,
        r"[A-Za-z0-9]+(?:-[A-Za-z]+){0,2}(?:\\?/[A-Za-z0-9]+(?:-[A-Za-z]+){0,2}){1,2}",
        # abbreviations
        rf"{_ACRONYM}\.?|(?i:ph\.d\.)",
        rf"(?:(?i:{_ABBREVIATIONS})|(?=[A-Z])(?i:{_CAPITAL_ABBREVIATIONS}))\.",
        rf"((?i:{_NUMBERED})\.)[ \u00a0]?{_D}",
        r"[A-Za-z]\.",
        f"((?:{_WORD}|{_A}+(?:{_HYPHEN}{_A}+)*)\\.)[,;:\u3001]",
        rf"([A-Za-z])\.\s+(?:(?=[A-Z])(?i:{_STARTERS}|mrs?\.|ms\.)|<[a-z]+>)(?!\S)",
        # numbers, dates, fractions, telephone numbers
        f"[-+]?{_NUMBER}",
        rf"(?:{_D}{{1,4}}[- \u00a0])?{_D}{{1,4}}(?:\\?/|\u2044){_D}{{1,4}}",
        rf"{_D}{{1,2}}[-/]{_D}{{1,2}}[-/]{_D}{{2,4}}",
        r"(?:\([0-9]{2,3}\)[ \u00a0]?|(?:\+\+?)?(?:[0-9]{2,4}[- \u00a0])?[0-9]{2,4}[- \u00a0])"
        r"[0-9]{3,4}[- \u00a0]?[0-9]{3,5}",
        r"(?:\+\+?)?(?:[0-9]{2,4}\.)?[0-9]{2,4}\.[0-9]{3,4}\.[0-9]{3,5}",
        # addresses and names of files
        rf"[A-Za-z0-9]+(?:\.[A-Za-z0-9]+)*\.(?i:{_FILES})(?![A-Za-z0-9])",
        r"""(?i:https?)://[^\s"<>|()]+[^\s"<>|.!?(){},-]""",
        rf"(?i:www)\.(?:{_HOST}\.)+[A-Za-z0-9]+{_PATH}?|[A-Za-z](?:{_HOST})?(?:\.{_HOST})*\.(?i:com|net|org){_PATH}?",
        r"""[A-Za-z0-9][^\s"<>|(){}]*@(?:[^\s"<>|(){}.]+\.)*[^\s"<>|(){}\[\].]+""",
        f"#{_L}+|@[A-Za-z_][A-Za-z_0-9]*",
        # signs
        r"[A-Z]+(?:(?:[&+]|&(?i:amp);)[A-Z]+)+|(?i:c)\+\+|(?i:[cf])#|[A-Z]+\$",
        r"[<>]?[:;=][-o']?[()DPdpO@|\\\[\]{](?![A-Za-z0-9])|[-^x=~<>']_[-^x=~<>']",
        r"&(?i:amp|lt|gt|quot|apos|nbsp|mdash|ndash|hellip);|&#[0-9]+;",
        r"[?!]{2,}|\*{2,}|_{2,}|#{2,}|@{2,}|<<|>>|\\\*|''|``|\.{3}|-{2,}",
        f"[!-~\u00a2-\u00a4\u00ab\u00bb-\u00be\u20a0\u20ac\u2153\u2154{_SYMBOLS}]",
    )
)
_CURLED = re.compile("\u2019(?:[smd]|re|ve|ll)|n\u2019t")
_PLAIN = re.compile(r"(?:[A-Za-z]+(?:\s+|$))+")
_BLANK = re.compile(r"\s+")
_SPLIT_WORDS = frozenset(("cannot", "gonna", "wanna", "gotta", "lemme", "gimme"))
"""Plain words that are two; all other words of letters alone are themselves, whatever stands beside them."""

_SPELLINGS = {
    **{"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-"},
    **{"\u20ac": "$", "\u20a0": "$", "\u00a4": "$", "\u00a3": "#", "\u00a2": "cents", "\u00ab": "``", "\u00bb": "''"},
    **{"\u00bc": "1/4", "\u00bd": "1/2", "\u00be": "3/4", "\u2153": "1/3", "\u2154": "2/3", '"': "''"},
    **{"&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": "''", "&apos;": "'", "&nbsp;": "'", "&mdash;": "--"},
    **{"&ndash;": "--", "&hellip;": "..."},
}
_WITH_BRACKETS = str.maketrans({"(": "-lrb-", ")": "-rrb-", " ": "\u00a0"})


def _words(caption: str) -> list[str]:
    """Returns the words of a caption, marks left out."""
    text = caption.replace("\u00ad", "")
    found, at = [], 0
    while at < len(text):
        if plain := _PLAIN.match(text, at):
            words = plain[0].lower().split()
            if _SPLIT_WORDS.isdisjoint(words):
                found += words
                at = plain.end()
                continue
        if blank := _BLANK.match(text, at):
            at = blank.end()
            continue
        token = _longest(text, at)
        at += len(token) or 1
        word = _spell(token)
        if word not in _DROPPED:
            found.append(word)
    return found


def _longest(text: str, at: int) -> str:
    """Returns the token at a place; empty where the character there belongs to none."""
    best, token = at, ""
    for rule in _RULES:
        match = rule.match(text, at)
        if match and match.end() > best:
            best, token = match.end(), match[match.lastindex or 0]
    return token


def _spell(token: str) -> str:
    """Returns a token as the Java program prints it."""
    spelling = _SPELLINGS.get(token.lower())
    if spelling is not None:
        return spelling
    word = token.lower().translate(_WITH_BRACKETS).replace("&amp;", "&")
    return word.replace("\u2019", "'") if _CURLED.fullmatch(word) else word
