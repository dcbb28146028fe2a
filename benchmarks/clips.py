"""The recordings: real speech from ``shared/speech`` or ``ANTIPHON_SPEECH_DIR``, decoded to 16 kHz."""

from __future__ import annotations

import io
import os
import random
import wave
from functools import cache
from pathlib import Path
from typing import Any, Final, cast

import msgspec
import numpy as np
from faster_whisper import vad
from faster_whisper.audio import decode_audio
from msgspec import Struct

from schemas.audio import SESSION_RATE_HZ, Samples, pcm16_from_float

SHORT_S: Final = 5.0
"""What one says in a turn of a conversation seldom lasts longer."""
SEED: Final = 20
_QUIET_SAMPLES: Final = SESSION_RATE_HZ // 10


class Clip(Struct, frozen=True, kw_only=True):
    """One row of the manifest."""

    file: str
    language: str
    kind: str
    duration_s: float
    text: str | None = None

    @property
    def path(self) -> Path:
        """Where it is."""
        return speech_dir() / self.file

    @property
    def samples(self) -> Samples:
        """``float32, (n,)``, 16 kHz. Decoded once."""
        return _decoded(str(self.path))

    @property
    def pcm16(self) -> bytes:
        """The same as 16-bit little-endian PCM."""
        return pcm16_from_float(self.samples)

    @property
    def wav(self) -> bytes:
        """The same as a WAV file. Made once."""
        return _wav(self)

    @property
    def speech_end_samples(self) -> int:
        """Where speech ends: by faster-whisper's Silero VAD over the whole file, threshold 0.5, no padding."""
        return _speech_end(str(self.path))


def speech_dir() -> Path:
    """The folder of the recordings.

    Raises:
        FileNotFoundError: It is not there.
    """
    beside = Path(__file__).resolve().parent.parent.parent / "shared" / "speech"
    folder = Path(os.environ.get("ANTIPHON_SPEECH_DIR", beside))
    if not (folder / "manifest.jsonl").exists():
        raise FileNotFoundError(f"There are no recordings in {folder}; say where they are with ANTIPHON_SPEECH_DIR.")
    return folder


@cache
def manifest() -> tuple[Clip, ...]:
    """Every recording. Raises ``FileNotFoundError`` as :func:`speech_dir`."""
    lines = (speech_dir() / "manifest.jsonl").read_bytes().splitlines()
    return tuple(msgspec.json.decode(line, type=Clip) for line in lines)


def utterances(*, max_s: float = 1e9, language: str | None = None) -> tuple[Clip, ...]:
    """Recordings of one sentence or so, with their text, in an order that mixes where they come from.

    They are decoded by then: no clock that runs later has that in it.
    """
    found = [
        clip
        for clip in manifest()
        if clip.kind == "utterance" and clip.duration_s <= max_s and language in {None, clip.language}
    ]
    for clip in found:
        _wav(clip)
    random.Random(SEED).shuffle(found)
    return tuple(found)


def hush_after(clip: Clip, duration_s: float) -> bytes:
    """The same room tone as loud as the clip is where it is quietest.

    Louder by 30 dB, which it is behind the quietest clip, it would be an event of its own, and taken for speech.
    """
    pieces = clip.samples[: len(clip.samples) // _QUIET_SAMPLES * _QUIET_SAMPLES].reshape(-1, _QUIET_SAMPLES)
    tone = np.frombuffer(hush(duration_s), np.int16).astype(np.float32) / 32_768
    level = float(np.sqrt((pieces**2).mean(axis=1)).min()) / float(np.sqrt((tone**2).mean()))
    return pcm16_from_float((tone * min(1.0, level)).astype(np.float32))


def hush(duration_s: float) -> bytes:
    """16-bit PCM of a room in which nobody speaks, 16 kHz."""
    (silence,) = (clip for clip in manifest() if clip.kind == "silence")
    frames = round(duration_s * SESSION_RATE_HZ)
    samples = np.resize(silence.samples, frames)
    return pcm16_from_float(samples)


@cache
def _wav(clip: Clip) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(SESSION_RATE_HZ)
        writer.writeframes(clip.pcm16)
    return file.getvalue()


@cache
def _decoded(path: str) -> Samples:
    return cast("Any", decode_audio)(path, sampling_rate=SESSION_RATE_HZ)


@cache
def _speech_end(path: str) -> int:
    options = vad.VadOptions(threshold=0.5, min_silence_duration_ms=100, speech_pad_ms=0)
    spans = cast("Any", vad).get_speech_timestamps(_decoded(path), options)
    return min(int(spans[-1]["end"]), len(_decoded(path)))
