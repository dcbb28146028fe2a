"""Transcripts as subtitles: SRT and WebVTT.

Formats: https://www.w3.org/TR/webvtt1/ and the de-facto SubRip text format.
"""

from __future__ import annotations

from collections.abc import Sequence

from schemas.transcripts import Segment


def srt(segments: Sequence[Segment]) -> str:
    """SubRip: numbered cues, decimal comma."""
    return "".join(
        f"{number}\n{_time(segment.start_s, ',')} --> {_time(segment.end_s, ',')}\n{_line(segment.text)}\n\n"
        for number, segment in enumerate(segments, 1)
    )


def vtt(segments: Sequence[Segment]) -> str:
    """WebVTT: decimal point; ``&``, ``<`` and ``>`` escaped."""
    cues = "".join(
        f"{_time(segment.start_s, '.')} --> {_time(segment.end_s, '.')}\n{_escaped(_line(segment.text))}\n\n"
        for segment in segments
    )
    return f"WEBVTT\n\n{cues}"


def _time(seconds: float, point: str) -> str:
    total_ms = round(seconds * 1_000)
    total_s, ms = divmod(total_ms, 1_000)
    total_min, s = divmod(total_s, 60)
    h, minutes = divmod(total_min, 60)
    return f"{h:02}:{minutes:02}:{s:02}{point}{ms:03}"


def _line(text: str) -> str:
    # An empty line would end the cue, and an arrow would start a new one.
    return " ".join(text.split()).replace("-->", "->")


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
