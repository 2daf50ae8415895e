from hypothesis import given
from hypothesis import strategies as st

from blipvid.core.text import clean_caption, clean_question


@given(st.text(), st.integers(1, 60))
def test_cleaning_twice_changes_nothing_more(text: str, words: int) -> None:
    once = clean_caption(text, words)
    assert len(once.split(" ")) <= words
    assert not set(once) & set('.!"()*#:;~')
    assert not set(clean_question(text, words)) & set('.!"()*#:;~')


def test_what_stays() -> None:
    assert clean_caption("A man's dog, well-known?  (Really!)", 40) == "a man's dog, well-known? really"
    assert clean_question("  Who's  there?! ", 40) == "  who's  there?"
