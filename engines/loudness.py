"""How loud speech is, so that all voices can be equally loud (ITU-R BS.1770, measured by FFmpeg's ``ebur128``)."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

import av
import numpy as np
from av.filter import Graph

from schemas.audio import Samples

TARGET_LUFS: Final = -21.0
"""What voices are brought to. The peaks of speech are 15 to 20 dB above that, so few are cut off; broadcasts and
podcasts lie between -23 and -16."""
_SILENCE_LUFS: Final = -70.0
"""The gate of the standard: what is fainter does not count."""
_REPEATS_S: Final = 3.0
"""The measure is of blocks of 0.4 s: what is shorter than this is measured as if it were repeated."""


def integrated_lufs(samples: Samples, sample_rate_hz: int) -> float:
    """The loudness of ``float32, (n,)``, -1…1, by BS.1770 with its gates, in LUFS; -70 for silence."""
    if not len(samples):
        return _SILENCE_LUFS
    repeats = max(1, int(np.ceil(_REPEATS_S * sample_rate_hz / len(samples))))
    graph = Graph()
    source = graph.add_abuffer(
        sample_rate=sample_rate_hz, format="flt", layout="mono", time_base=Fraction(1, sample_rate_hz)
    )
    meter, sink = graph.add("ebur128", "metadata=1"), graph.add("abuffersink")
    source.link_to(meter)
    meter.link_to(sink)
    graph.configure()
    frame = av.AudioFrame.from_ndarray(np.tile(samples, repeats)[None], format="flt", layout="mono")
    frame.sample_rate, frame.pts = sample_rate_hz, 0
    source.push(frame)
    source.push(None)
    loudness = _SILENCE_LUFS
    while True:
        try:
            measured = sink.pull()
        except EOFError:
            return loudness
        # What is left over after the last whole tenth of a second is not measured.
        loudness = max(_SILENCE_LUFS, float(measured.metadata.get("lavfi.r128.I", loudness)))


def gain_to_target(samples: Samples, sample_rate_hz: int) -> float:
    """What these samples are multiplied with to be as loud as :data:`TARGET_LUFS`; 1 for silence."""
    lufs = integrated_lufs(samples, sample_rate_hz)
    return 10 ** ((TARGET_LUFS - lufs) / 20) if lufs > _SILENCE_LUFS else 1.0
