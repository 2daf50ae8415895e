"""What kind of question a first word makes."""

import pytest

from blipvid.data.kinds import kind_by_first_word


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("what is a man doing?", "what"),
        ("What's he doing?", "what"),
        (' "Who" is it', "who"),
        ("whose hat is it?", "whose"),
        ("HOW many dogs?", "how"),
        ("which?", "which"),
        ("is the athlete indoors", "yes/no"),
        ("Does it rain", "yes/no"),
        ("name the animal", "other"),
        ("whatever happens", "other"),
        ("island or land?", "other"),
        ("42", "other"),
        ("", "other"),
    ],
)
def test_the_first_word_decides(question: str, kind: str) -> None:
    assert kind_by_first_word(question) == kind
