import pytest

from evals.turns.cast import side_voice, user_voices
from evals.turns.dialogue import AgentLine, Hold, Intent, Split, UserLine, load, parse


def test_a_line_has_holds_of_a_drawn_and_of_a_given_length_and_fillers() -> None:
    (line,) = parse("U: I would like / a table /0.8/ for four /um/ on Friday /uh 1.2/ evening.")
    assert isinstance(line, UserLine)
    assert line.text == "I would like a table for four on Friday evening."
    assert line.holds == (Hold(3), Hold(5, 0.8), Hold(7, None, "um"), Hold(9, 1.2, "uh"))
    assert line.intent is Intent.TURN
    assert line.at_s is None


def test_what_comes_over_the_agent_has_a_place_and_an_intent() -> None:
    agent, stop = parse("A: One, two, three.\nU@1.5 stop: Wait, stop.")
    assert agent == AgentLine(text="One, two, three.")
    assert stop == UserLine(text="Wait, stop.", intent=Intent.STOP, at_s=1.5)


@pytest.mark.parametrize("row", ["B: Hi.", "U@1.5: Hi.", "U@1 shout: Hi.", "U: / Hi.", "U: Hi /", "hi"])
def test_what_is_no_line_is_refused(row: str) -> None:
    with pytest.raises(ValueError, match=r"line|hold|shout"):
        parse(row)


def voices(split: Split) -> set[str]:
    return {voice for language in ("en", "es", "fr", "pt") for voice in user_voices(split, language)}


def texts(split: Split) -> set[str]:
    """Short ones, such as “Okay.”, may well be the same."""
    return {line.text for one in load(split) for line in one.lines if len(line.text.split()) > 2}


def test_the_splits_share_no_voice_and_no_text() -> None:
    assert not voices(Split.CALIBRATION) & voices(Split.TEST)
    assert not texts(Split.CALIBRATION) & texts(Split.TEST)
    assert all(len(voices(split)) >= 8 for split in Split)


def test_each_split_has_every_intent_and_many_holds() -> None:
    for split in Split:
        lines = [line for one in load(split) for line in one.lines if isinstance(line, UserLine)]
        assert {line.intent for line in lines} == set(Intent)
        assert sum(len(line.holds) for line in lines) > 100


def test_who_talks_in_the_background_is_somebody_else_of_the_split() -> None:
    for split in Split:
        for voice in user_voices(split, "en"):
            assert side_voice(split, voice) != voice
            assert side_voice(split, voice) in user_voices(split, "en")
