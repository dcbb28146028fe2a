"""A piece of a conversation as a file that any browser plays."""

from __future__ import annotations

import io
from typing import Any, Final, cast

import av
import numpy as np

from schemas.audio import SESSION_RATE_HZ, Samples

_BIT_RATE: Final = 32_000


def stereo_mp3(left: Samples, right: Samples) -> bytes:
    """The user in the left ear, the agent in the right.

    Args:
        left: ``float32, (n,)``, 16 kHz.
        right: The same; the longer is cut.
    """
    n = min(len(left), len(right))
    both = np.clip(np.stack((left[:n], right[:n])), -1.0, 1.0).astype(np.float32)
    file = io.BytesIO()
    with cast("Any", av).open(file, "w", format="mp3") as container:
        stream = container.add_stream("libmp3lame", rate=SESSION_RATE_HZ, layout="stereo")
        stream.bit_rate = _BIT_RATE
        frame = cast("Any", av).AudioFrame.from_ndarray(np.ascontiguousarray(both), format="fltp", layout="stereo")
        frame.sample_rate = SESSION_RATE_HZ
        for one in (frame, None):
            container.mux(stream.encode(one))
    return file.getvalue()
