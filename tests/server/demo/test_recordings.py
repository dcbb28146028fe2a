from __future__ import annotations

import hashlib
from pathlib import Path

import anyio
import pytest

from engines.codec.decoder import Decoder
from schemas.audio import SESSION_RATE_HZ
from schemas.errors import ErrorCode, SpeechError
from server.demo import recordings
from server.demo.recordings import INTERRUPTION, SPEECH, examples_folder, load_recording

FOLDER = examples_folder()


def test_every_clip_is_the_one_whose_origin_is_told() -> None:
    told = (FOLDER / "README.md").read_text("utf-8")
    clips = sorted(FOLDER.glob("*.flac"))
    assert [clip.name for clip in clips] == sorted([SPEECH.name, INTERRUPTION.name])
    for clip in clips:
        assert f"{hashlib.sha256(clip.read_bytes()).hexdigest()}  {clip.name}" in told
    assert sum(clip.stat().st_size for clip in clips) < 1_000_000


@pytest.mark.anyio
async def test_a_clip_is_samples_at_the_rate_of_a_session() -> None:
    with anyio.fail_after(30):
        async with Decoder() as decoder:
            recording = await load_recording(FOLDER / INTERRUPTION.name, INTERRUPTION.text, decoder)
    assert len(recording.samples) / SESSION_RATE_HZ == pytest.approx(3.29)
    assert recording.text == INTERRUPTION.text


@pytest.mark.anyio
async def test_a_recording_that_cannot_be_read_is_told_by_its_name(tmp_path: Path) -> None:
    async with Decoder() as decoder:
        with pytest.raises(SpeechError, match="cannot be read") as raised:
            await load_recording(tmp_path / "gone.wav", None, decoder)
    assert raised.value.code is ErrorCode.INVALID_SETTING


def test_an_installation_without_the_clips_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(recordings, "_IN_PACKAGE", tmp_path)
    monkeypatch.setattr(recordings, "_IN_CHECKOUT", tmp_path)
    with pytest.raises(SpeechError, match="not part of this installation"):
        examples_folder()
    (tmp_path / SPEECH.name).touch()
    assert examples_folder() == tmp_path
