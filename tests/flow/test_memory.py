"""What the server takes when it has nothing to do."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import stamina
from openai import OpenAI

pytestmark = [pytest.mark.flow, pytest.mark.real]

MAX_IDLE_MB = 500


def resident_mb(pid: int) -> float:
    """Proportional set size of a process and its children: memory they share counts once."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii")
    (pss_kb,) = [int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")]
    return pss_kb / 1024 + sum(resident_mb(int(child)) for child in children)


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="memory is read from Linux' /proc")
def test_after_work_with_both_default_models_the_server_idles_under_500_mb(
    serve: Any, tmp_path: Path, speech_dir: Path
) -> None:
    with serve(tmp_path) as server:
        client = OpenAI(base_url=f"{server.url}/v1", api_key="unused", max_retries=0)

        def transcribe(number: int) -> str:
            file = speech_dir / "ljspeech" / f"LJ001-000{number}.flac"
            return client.audio.transcriptions.create(file=file, model="whisper-1").text

        with ThreadPoolExecutor(4) as callers:
            texts = list(callers.map(transcribe, [1, 2, 3, 4, 5]))
        assert all(texts)
        client.audio.speech.create(input=" ".join(texts), model="tts-1", voice="alloy", response_format="wav")
        loaded = [model.id for model in client.models.list() if (model.model_extra or {}).get("loaded")]
        assert {"whisper-base", "piper-en_US-joe-medium"} <= set(loaded)
        used_mb = resident_mb(server.pid)
        print(f"server and decoder after work: {used_mb:.0f} MB")
        for attempt in stamina.retry_context(on=AssertionError, timeout=30, attempts=None, wait_initial=1, wait_max=2):
            with attempt:
                used_mb = resident_mb(server.pid)
                assert used_mb < MAX_IDLE_MB
        print(f"server and decoder at rest: {used_mb:.0f} MB")
