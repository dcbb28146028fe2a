from pathlib import Path

import numpy as np
import pytest

from evals.asr.live import Streamed
from evals.asr.outcomes import outcome
from evals.asr.stream_figures import Streaming, leaks, revised_words, stream_section
from evals.corpora.utterance import Utterance
from evals.decoding import wav
from evals.intervals import Estimate
from evals.targets.base import Heard


def said(name: str, text: str) -> Utterance:
    return Utterance(id=name, audio=Path(f"{name}.wav"), text=text, language="en")


SILENCE = wav(np.zeros(16_000, np.float32))
BRIDGE = said("bridge", "how old is the brooklyn bridge")
MONDAY = said("monday", "please call me back on monday morning")


def test_words_are_revised_from_the_first_that_changed() -> None:
    partials = ((1, "how"), (1, "how all is"), (1, "how old is the"), (2, "well"), (2, "well then"))
    assert revised_words(Streamed(text="", partials=partials)) == 2
    assert revised_words(Streamed(text="", partials=((1, "one two"), (1, "one")))) == 1


def test_latencies_of_one_speaker_have_no_interval() -> None:
    def heard(speaker: str, endpoint_ms: float) -> Streaming:
        one = Utterance(id=f"{speaker} {endpoint_ms}", audio=SILENCE, text="yes", language="en", speaker=speaker)
        streamed = Streamed(text="yes", first_partial_ms=100.0, endpoint_ms=endpoint_ms)
        return Streaming(utterance=one, streamed=streamed, offline=outcome(one, Heard(text="yes"), None), leaked=False)

    def interval(*found: Streaming) -> Estimate | None:
        rows = stream_section(found, 0, 1.0, 1).rows
        return next(row.estimate for row in rows if row.id == "stream.endpoint_p95")

    alone, two = interval(heard("a", 300), heard("a", 400)), interval(heard("a", 300), heard("b", 400))
    assert alone is not None
    assert two is not None
    assert (alone.is_unsure, two.is_unsure) == (True, False)


def test_a_session_that_got_the_words_of_another_is_found() -> None:
    assert leaks([(BRIDGE, "please call me back on monday"), (MONDAY, "please call me back on monday")]) == [
        True,
        False,
    ]


@pytest.mark.parametrize("text", ["{own} {foreign}", "{foreign} {own}", "how old {foreign} is the brooklyn bridge"])
def test_a_session_that_has_its_own_words_and_those_of_another_is_found(text: str) -> None:
    foreign = "please call me bag on monday morning"
    found = leaks([(BRIDGE, text.format(own=BRIDGE.text, foreign=foreign)), (MONDAY, MONDAY.text or "")])
    assert found == [True, False]


def test_own_words_said_twice_are_no_leak() -> None:
    part = said("part", "the brooklyn bridge is old")
    assert leaks([(BRIDGE, f"{BRIDGE.text} {BRIDGE.text}"), (part, part.text or "")]) == [False, False]


def test_characters_of_another_session_are_found_as_words_are() -> None:
    first = Utterance(id="a", audio=b"", text="今日はとてもいい天気ですね", language="ja")
    second = Utterance(id="b", audio=b"", text="明日の会議は三時に始まります", language="ja")
    assert leaks([(first, f"{first.text}{second.text}"), (second, second.text or "")]) == [True, False]
    assert leaks([(first, first.text or ""), (second, f"{second.text}ですね")]) == [False, False]


def test_bad_recognition_is_no_leak() -> None:
    assert leaks([(BRIDGE, "cow hold these broken fridge"), (MONDAY, "")]) == [False, False]


def test_recordings_with_the_same_words_cannot_leak() -> None:
    again = said("again", BRIDGE.text or "")
    assert leaks([(BRIDGE, "how old is the brooklyn bridge"), (again, "how old was the brooklyn bridge")]) == [
        False,
        False,
    ]
