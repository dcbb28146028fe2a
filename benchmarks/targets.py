"""What is to be reached on a machine of two cores, row by row.

Ratios are against the named peer or library with the same weights, threads, beam and recordings, in one run.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final, Literal

from msgspec import Struct


class Target(Struct, frozen=True, kw_only=True):
    """A bound on one row."""

    measure: str
    at: Literal["least", "most"]
    bound: float
    unit: str
    floor: str = ""
    """The best there can be, by the cost of what has to be computed."""

    def holds(self, value: float) -> bool:
        """Whether the value is on the right side of the bound."""
        return value >= self.bound if self.at == "least" else value <= self.bound

    @property
    def text(self) -> str:
        """As in ``≥ 4×``."""
        sign = "≥" if self.at == "least" else "≤"
        space = "" if self.unit == "×" else " "
        return f"{sign} {self.bound:g}{space}{self.unit}"


def _target(measure: str, at: Literal["least", "most"], bound: float, unit: str, floor: str = "") -> Target:
    return Target(measure=measure, at=at, bound=bound, unit=unit, floor=floor)


_SERIAL: Final = "throughput against serial `WhisperModel.transcribe`, clips of 5 s at most"
_WER: Final = "word error rate over that of the full window"

TARGETS: Final = MappingProxyType(
    {
        "asr.trimmed.greedy.n8": _target(f"{_SERIAL}, trimmed, greedy, N = 8", "least", 4, "×", "5.4×"),
        "asr.trimmed.beam5.n8": _target(f"{_SERIAL}, trimmed, beam 5, N = 8", "least", 4, "×", "5.4×"),
        "asr.trimmed.greedy.wer": _target(f"{_WER}, trimmed, greedy", "most", 0.3, "points"),
        "asr.trimmed.beam5.wer": _target(f"{_WER}, trimmed, beam 5", "most", 0.3, "points"),
        "asr.exact.greedy.n1": _target(f"{_SERIAL}, whole window, greedy, N = 1", "least", 0.97, "×", "1.0×"),
        "asr.exact.beam5.n1": _target(f"{_SERIAL}, whole window, beam 5, N = 1", "least", 0.97, "×", "1.0×"),
        "asr.exact.greedy.n8": _target(f"{_SERIAL}, whole window, greedy, N = 8", "least", 1.6, "×"),
        "asr.exact.beam5.n8": _target(f"{_SERIAL}, whole window, beam 5, N = 8", "least", 1.6, "×"),
        "peers.wyoming.wall4": _target("wall time of 4 clips at once, against wyoming-faster-whisper", "least", 5, "×"),
        "overhead.n1.ms": _target("the server over the same engine call, N = 1", "most", 5, "ms", "0"),
        "overhead.n1.percent": _target("the same, in percent (either of the two is enough)", "most", 3, "%", "0"),
        "overhead.n8.percent": _target("the server over the same engine calls, N = 8", "most", 5, "%", "0"),
        "turn.p50": _target("speech end → final transcript, stop of 200 ms, median", "most", 250, "ms", "the stop"),
        "turn.p95": _target("the same, 95th percentile", "most", 450, "ms", "the stop"),
        "tts.piper.first_audio": _target("first audio of a sentence of 5 s, Piper", "most", 45, "ms", "28 ms"),
        "peers.piper.first_audio": _target("the same, against piper's own HTTP server", "least", 5, "×"),
        "tts.kokoro.first_audio": _target("first audio of a sentence of 5 s, Kokoro", "most", 300, "ms", "200 ms"),
        "peers.kokoro.first_audio": _target("the same, against fastkokoro", "least", 1.7, "×"),
        "tts.cached": _target("first audio of a prompt that was said before", "most", 5, "ms", "a copy"),
        "tts.piper.gaps": _target("streams with a gap in playback, up to N = 1/RTF, Piper", "most", 0, "streams", "0"),
        "tts.kokoro.gaps": _target("the same, Kokoro", "most", 0, "streams", "0"),
        "sessions.per_core": _target("sessions that listen to silence, on one core", "least", 300, "sessions"),
        "sessions.memory": _target("memory of such a session", "most", 2, "MB", "1 MB"),
        "sessions.loop_lag": _target("lag of the event loop under full load, 99th percentile", "most", 10, "ms", "0"),
    }
)
"""By the id of the row that measures it."""
