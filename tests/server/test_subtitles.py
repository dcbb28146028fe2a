from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.transcripts import Segment
from server.subtitles import srt, vtt


def segment(text: str, start_s: float = 0.0, end_s: float = 1.5, number: int = 0) -> Segment:
    return Segment(
        id=number,
        text=text,
        start_s=start_s,
        end_s=end_s,
        avg_logprob=0.0,
        compression_ratio=1.0,
        no_speech_prob=0.0,
    )


def test_srt_has_numbered_cues_with_decimal_commas() -> None:
    cues = srt([segment(" Hello.", 0.0, 1.25, number=7), segment(" Bye.", 3_661.0, 3_662.9996, number=8)])
    assert cues == (
        "1\n00:00:00,000 --> 00:00:01,250\nHello.\n\n"
        "2\n01:01:01,000 --> 01:01:03,000\nBye.\n\n"
    )  # fmt: skip


def test_vtt_has_a_header_and_decimal_points() -> None:
    assert vtt([segment(" Hello.", 0.0, 1.25)]) == "WEBVTT\n\n00:00:00.000 --> 00:00:01.250\nHello.\n\n"


def test_silence_makes_valid_empty_files() -> None:
    assert (srt([]), vtt([])) == ("", "WEBVTT\n\n")


def test_vtt_escapes_what_would_be_markup() -> None:
    assert "a &lt;b&gt; &amp; c" in vtt([segment("a <b> & c")])


@pytest.mark.parametrize("write", [srt, vtt])
@given(text=st.text())
def test_no_text_breaks_out_of_its_cue(write: type, text: str) -> None:
    cues = write([segment(text), segment("second")])  # type: ignore[call-overload]
    lines = str(cues).removeprefix("WEBVTT\n\n").split("\n")
    assert sum("-->" in line for line in lines) == 2


@given(st.floats(min_value=0.0, max_value=360_000.0))
def test_times_are_exact_to_a_millisecond(seconds: float) -> None:
    match = re.search(r"--> (\d+):(\d\d):(\d\d),(\d{3})", srt([segment("a", 0.0, seconds)]))
    assert match is not None
    hours, minutes, whole_s, ms = map(int, match.groups())
    assert minutes < 60
    assert whole_s < 60
    assert abs(hours * 3_600 + minutes * 60 + whole_s + ms / 1_000 - seconds) <= 0.000_6
