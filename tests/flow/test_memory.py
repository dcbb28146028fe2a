"""What the server takes when it has nothing to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
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
def test_with_both_default_models_loaded_and_used_it_idles_under_500_mb(
    serve: Any, tmp_path: Path, speech_dir: Path
) -> None:
    with serve(tmp_path) as server:
        client = OpenAI(base_url=f"{server.url}/v1", api_key="unused", max_retries=0)
        client.audio.transcriptions.create(file=speech_dir / "ljspeech" / "LJ001-0002.flac", model="whisper-1")
        client.audio.speech.create(input="A sentence to speak.", model="tts-1", voice="alloy", response_format="wav")
        loaded = [model.id for model in client.models.list() if (model.model_extra or {}).get("loaded")]
        assert {"whisper-base", "piper-en_US-joe-medium"} <= set(loaded)
        used_mb = resident_mb(server.pid)
        print(f"server and decoder: {used_mb:.0f} MB")
        assert used_mb < MAX_IDLE_MB
