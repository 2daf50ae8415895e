from hypothesis import given
from hypothesis import strategies as st

from blipvid.core.text import clean_caption, clean_question, loses_words


@given(st.text(), st.integers(1, 60))
def test_cleaning_twice_changes_nothing_more(text: str, words: int) -> None:
    once = clean_caption(text, words)
    assert len(once.split(" ")) <= words
    assert not set(once) & set('.!"()*#:;~')
    assert not set(clean_question(text, words)) & set('.!"()*#:;~')


def test_what_stays() -> None:
    assert clean_caption("A man's dog, well-known?  (Really!)", 40) == "a man's dog, well-known? really"
    assert clean_question("  Who's  there?! ", 40) == "  who's  there?"


@given(st.text(" .a\n"), st.integers(1, 5))
def test_words_are_lost_where_more_room_would_keep_more(question: str, words: int) -> None:
    kept_whole = clean_question(question, words) == clean_question(question, len(question) + 1)
    assert loses_words(question, words) != kept_whole
