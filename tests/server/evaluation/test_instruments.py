from pathlib import Path

import numpy as np
import pytest

from engines.fake import fake_engines
from engines.host import EngineHost
from engines.spec import HostSettings
from schemas.audio import VAD_FRAME_SAMPLES
from server.evaluation.instruments import HostEars

pytestmark = pytest.mark.anyio


async def test_ears_give_each_track_the_speech_probability_of_each_of_its_whole_frames(tmp_path: Path) -> None:
    loud = np.full(4 * VAD_FRAME_SAMPLES, 0.5, np.float32)
    short = np.zeros(VAD_FRAME_SAMPLES * 5 // 2, np.float32)
    async with EngineHost(fake_engines(), HostSettings()) as host:
        voiced, silent = await HostEars(host, tmp_path).voice_activity([loud, short])
    assert voiced.shape == (4,)
    assert (voiced > 0.9).all()
    assert silent.tolist() == [0.0, 0.0]
