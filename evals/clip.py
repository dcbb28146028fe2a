"""Sound as a file that any browser plays."""

from __future__ import annotations

import io
from typing import Any, Final, cast

import av
import numpy as np

from schemas.audio import SESSION_RATE_HZ, Samples

_BIT_RATE: Final = 32_000


def stereo_mp3(left: Samples, right: Samples) -> bytes:
    """Two sounds at once, one in each ear: the user and the agent, say.

    Args:
        left: ``float32, (n,)``, 16 kHz.
        right: The same; the longer is cut.
    """
    n = min(len(left), len(right))
    return _mp3(np.stack((left[:n], right[:n])), "stereo")


def mono_mp3(samples: Samples) -> bytes:
    """One sound: ``float32, (n,)``, 16 kHz."""
    return _mp3(samples[None], "mono")


def _mp3(planes: Samples, layout: str) -> bytes:
    planes = np.clip(planes, -1.0, 1.0).astype(np.float32)
    file = io.BytesIO()
    with cast("Any", av).open(file, "w", format="mp3") as container:
        stream = container.add_stream("libmp3lame", rate=SESSION_RATE_HZ, layout=layout)
        stream.bit_rate = _BIT_RATE
        frame = cast("Any", av).AudioFrame.from_ndarray(np.ascontiguousarray(planes), format="fltp", layout=layout)
        frame.sample_rate = SESSION_RATE_HZ
        for one in (frame, None):
            container.mux(stream.encode(one))
    return file.getvalue()
