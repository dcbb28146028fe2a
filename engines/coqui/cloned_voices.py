"""Voices of people, each a recording and the consent of whom it is of.

A voice is a folder with ``reference.wav`` and ``consent.json``. The consent holds the hash of the recording, so that
neither it nor another recording can stand in for the other. Without consent a voice is not listed and not spoken.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
import wave
from pathlib import Path
from typing import Annotated, Final

import msgspec
import numpy as np
import structlog
from msgspec import Meta, Struct

from schemas.audio import Samples
from schemas.errors import ErrorCode, SpeechError
from schemas.speech import Voice

log = structlog.get_logger("antiphon.engines")

REFERENCE_RATE_HZ: Final = 22_050
"""What XTTS conditions on."""
_MIN_REFERENCE_S: Final = 3.0
_MAX_REFERENCE_S: Final = 30.0
"""XTTS listens to no more."""
_REFERENCE, _CONSENT = "reference.wav", "consent.json"
_FULL_SCALE: Final = 32_767
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

Said = Annotated[str, Meta(min_length=1, max_length=2_000)]


class Consent(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who allowed what to be done with a recording of their voice."""

    given_by: Said
    given_at: Said
    """ISO 8601."""
    statement: Said
    """In the words of whom it is of."""
    scope: Said
    """What the voice may be used for."""
    language: Annotated[str, Meta(min_length=2, max_length=35)]
    """BCP 47: what the voice speaks."""
    reference_sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")] = "0" * 64


def voices_dir(model_dir: Path) -> Path:
    """Where the voices of the model in a folder lie: beside it, so that they outlive it."""
    return model_dir.parent / "voices"


def add_voice(folder: Path, name: str, samples: Samples, consent: Consent) -> None:
    """Keep a voice.

    Args:
        folder: Of all voices.
        name: Its id.
        samples: The recording, ``float32, (n,)``, at 22 050 Hz.
        consent: Whose voice it is, and what they allowed.

    Raises:
        SpeechError: ``invalid_request`` for the name or a name that is taken, ``invalid_audio`` for the recording.
    """
    if not _NAME.fullmatch(name):
        raise SpeechError(ErrorCode.INVALID_REQUEST, "A voice's name is letters, digits, dots and dashes.")
    if len(samples) < _MIN_REFERENCE_S * REFERENCE_RATE_HZ:
        raise SpeechError(ErrorCode.INVALID_AUDIO, f"A voice needs {_MIN_REFERENCE_S:g} s of speech or more.")
    if (folder / name).exists():
        raise SpeechError(ErrorCode.INVALID_REQUEST, f"There is a voice {name} already. Choose another name.")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".add-", dir=folder) as scratch:
        made = Path(scratch) / "voice"
        made.mkdir()
        _write_wav(made / _REFERENCE, samples[: int(_MAX_REFERENCE_S * REFERENCE_RATE_HZ)])
        consent = msgspec.structs.replace(consent, reference_sha256=_sha256(made / _REFERENCE))
        (made / _CONSENT).write_bytes(msgspec.json.format(msgspec.json.encode(consent)))
        made.rename(folder / name)


def remove_voice(folder: Path, name: str) -> bool:
    """Delete a voice, its recording and its consent; whether there was one."""
    if not _NAME.fullmatch(name) or not (folder / name).is_dir():
        return False
    shutil.rmtree(folder / name)
    return True


def read_voices(folder: Path, *, model: str, sample_rate_hz: int) -> tuple[Voice, ...]:
    """The voices that may be spoken with; what has no valid consent is logged and left out."""
    voices: list[Voice] = []
    for voice in sorted(folder.iterdir()) if folder.is_dir() else ():
        if not _NAME.fullmatch(voice.name):
            continue
        try:
            consent = _read_consent(voice)
        except SpeechError as error:
            log.warning("voice_without_consent", voice=voice.name, code=error.code.value)
            continue
        voices.append(
            Voice(id=voice.name, model=model, language=consent.language, sample_rate_hz=sample_rate_hz, name=voice.name)
        )
    return tuple(voices)


def read_reference(folder: Path, name: str) -> Samples:
    """The recording of a voice, ``float32, (n,)``, at 22 050 Hz.

    Raises:
        SpeechError: ``unknown_voice``, or ``consent_required`` without a consent that names this very recording.
    """
    if not _NAME.fullmatch(name) or not (folder / name).is_dir():
        raise SpeechError(ErrorCode.UNKNOWN_VOICE, f"There is no voice {name!r}.", param="voice")
    _read_consent(folder / name)
    with wave.open(str(folder / name / _REFERENCE), "rb") as file:
        frames = file.readframes(file.getnframes())
    return np.frombuffer(frames, dtype="<i2").astype(np.float32) / np.float32(_FULL_SCALE)


def _read_consent(voice: Path) -> Consent:
    try:
        consent = msgspec.json.decode((voice / _CONSENT).read_bytes(), type=Consent)
        matches = consent.reference_sha256 == _sha256(voice / _REFERENCE)
    except (OSError, msgspec.DecodeError):
        matches, consent = False, None
    if consent is None or not matches:
        raise SpeechError(
            ErrorCode.CONSENT_REQUIRED,
            f"The voice {voice.name} has no record that its speaker consented to this recording being used. "
            "Add it with one: antiphon voices add",
            param="voice",
        )
    return consent


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _write_wav(path: Path, samples: Samples) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(REFERENCE_RATE_HZ)
        file.writeframes((np.clip(samples, -1.0, 1.0) * _FULL_SCALE).astype("<i2").tobytes())
