from pathlib import Path

from evals.asr.live import Streamed
from evals.asr.stream_figures import leaks, revised_words
from evals.corpora.utterance import Utterance


def said(name: str, text: str) -> Utterance:
    return Utterance(id=name, audio=Path(f"{name}.wav"), text=text, language="en")


BRIDGE = said("bridge", "how old is the brooklyn bridge")
MONDAY = said("monday", "please call me back on monday morning")


def test_words_are_revised_from_the_first_that_changed() -> None:
    partials = ((1, "how"), (1, "how all is"), (1, "how old is the"), (2, "well"), (2, "well then"))
    assert revised_words(Streamed(text="", partials=partials)) == 2
    assert revised_words(Streamed(text="", partials=((1, "one two"), (1, "one")))) == 1


def test_a_session_that_got_the_words_of_another_is_found() -> None:
    assert leaks([(BRIDGE, "please call me back on monday"), (MONDAY, "please call me back on monday")]) == [
        True,
        False,
    ]


def test_bad_recognition_is_no_leak() -> None:
    assert leaks([(BRIDGE, "cow hold these broken fridge"), (MONDAY, "")]) == [False, False]


def test_recordings_with_the_same_words_cannot_leak() -> None:
    again = said("again", BRIDGE.text or "")
    assert leaks([(BRIDGE, "how old is the brooklyn bridge"), (again, "how old was the brooklyn bridge")]) == [
        False,
        False,
    ]
