"""A long recording through the real server: all of it, in order, with progress, in bounded memory."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import jiwer
import msgspec
import numpy as np
import pytest
from whisper_normalizer.english import EnglishTextNormalizer

from engines.codec.encoder import encode_all
from schemas.audio import SESSION_RATE_HZ, AudioFormat, Samples
from schemas.tools import ToolProgress, ToolSegment, TranscribeInput, TranscribeOutput

pytestmark = [pytest.mark.flow, pytest.mark.real, pytest.mark.timeout(1_800)]

DURATION_S = 20 * 60
MODEL = "whisper-tiny.en"
SILENCE = "silence/se_tyst_u0016001.flac"
MAX_GROWTH_MB = 300
"""20 minutes are 77 MB as samples and 26 MB as an upload in base64, which the server has as text and as bytes as well.
Decoded as one, their features alone would take another 400 MB."""
MAX_WER_PERCENT = 25.0
"""Whisper-tiny on readers and speakers who follow each other without a break; a lost minute would cost 5 % more."""

normalise: Any = EnglishTextNormalizer()


def peak_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text("ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")) / 1024


def call(
    url: str, recording: bytes, model: str = MODEL
) -> tuple[list[ToolProgress], list[ToolSegment], TranscribeOutput]:
    arguments = TranscribeInput(audio=base64.b64encode(recording).decode(), model=model)
    headers = {"Content-Type": "application/json", "Accept": "text/event-stream"}
    progress: list[ToolProgress] = []
    segments: list[ToolSegment] = []
    with httpx.stream(
        "POST", f"{url}/v1/tools/transcribe", content=msgspec.json.encode(arguments), headers=headers, timeout=600
    ) as response:
        name = ""
        for line in response.iter_lines():
            field, _, value = line.partition(": ")
            match field, name:
                case "event", _:
                    name = value
                case "data", "progress":
                    progress.append(msgspec.json.decode(value, type=ToolProgress))
                case "data", "segment":
                    segments.append(msgspec.json.decode(value, type=ToolSegment))
                case "data", "result":
                    return progress, segments, msgspec.json.decode(value, type=TranscribeOutput)
                case _:
                    pass
    raise AssertionError("the stream ended without a result")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from Linux' /proc")
def test_twenty_minutes_are_transcribed_with_progress_in_bounded_memory(
    serve: Any,
    tmp_path: Path,
    recording: Callable[[str], Samples],
    speech_manifest: list[dict[str, Any]],
) -> None:
    rows = [row for row in speech_manifest if row["kind"] == "utterance" and row["language"] == "en"]
    pause = np.zeros(SESSION_RATE_HZ * 6 // 10, np.float32)
    parts: list[Samples] = []
    spoken: list[str] = []
    while sum(map(len, parts)) < DURATION_S * SESSION_RATE_HZ:
        row = rows[len(spoken) % len(rows)]
        parts += [recording(row["file"]), pause]
        spoken.append(row["text"])
    file = encode_all(np.concatenate(parts), AudioFormat.FLAC, SESSION_RATE_HZ)
    short = encode_all(parts[0], AudioFormat.FLAC, SESSION_RATE_HZ)
    with serve(tmp_path) as server:
        call(server.url, short)
        before_mb = peak_mb(server.pid)
        progress, segments, transcript = call(server.url, file)
        growth_mb = peak_mb(server.pid) - before_mb
    done_s = [event.done_s for event in progress]
    assert len(done_s) > DURATION_S / 30
    assert done_s == sorted(done_s)
    assert done_s[-1] == progress[-1].total_s == transcript.duration_s > DURATION_S
    assert tuple(event.segment for event in segments) == transcript.segments
    starts_s = [segment.start_s for segment in transcript.segments]
    assert starts_s == sorted(starts_s)
    wer_percent = 100 * jiwer.wer(normalise(" ".join(spoken)), normalise(transcript.text))
    print(f"{DURATION_S / 60:.0f} minutes: word error rate {wer_percent:.1f} %, memory grew by {growth_mb:.0f} MB")
    assert wer_percent < MAX_WER_PERCENT
    assert growth_mb < MAX_GROWTH_MB


@pytest.mark.parametrize("name", [*(f"noise_rir/noise{number}.flac" for number in range(1, 6)), SILENCE])
def test_half_a_minute_and_more_of_silence_and_noise_is_an_empty_transcript(
    server: Any, recording: Callable[[str], Samples], name: str
) -> None:
    samples = recording(name)
    enough = np.tile(samples, 1 + 31 * SESSION_RATE_HZ // len(samples))
    _, segments, transcript = call(
        server.url, encode_all(enough, AudioFormat.FLAC, SESSION_RATE_HZ), model="whisper-base"
    )
    assert transcript.duration_s > 30
    assert (transcript.text, segments) == ("", [])
