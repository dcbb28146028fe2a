"""Voices of people, each a recording and the consent of whom it is of.

A voice is a folder with ``reference.wav`` and ``consent.json``. The consent holds the hash of the recording, so that
neither it nor another recording can stand in for the other. Without consent, or once it is taken back, a voice is not
listed and not spoken. What was done with whose voice stands in ``audit.jsonl``, beside the folders.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
import wave
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
import numpy as np
import structlog
from msgspec import Meta, Struct

from schemas.audio import Samples
from schemas.errors import ErrorCode, SpeechError
from schemas.principal import Tenant
from schemas.speech import Voice

log = structlog.get_logger("antiphon.engines")

REFERENCE_RATE_HZ: Final = 22_050
"""What XTTS conditions on."""
_MIN_REFERENCE_S: Final = 3.0
_MAX_REFERENCE_S: Final = 30.0
"""XTTS listens to no more."""
_REFERENCE, _CONSENT, _AUDIT = "reference.wav", "consent.json", "audit.jsonl"
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
    tenant: Tenant | None = None
    """Who alone may speak with the voice; ``None`` is everyone."""
    revoked_at: str | None = None
    """ISO 8601: when it was taken back."""


class Deed(Struct, frozen=True, kw_only=True):
    """A line of the audit."""

    at: str
    """ISO 8601, UTC."""
    deed: Literal["added", "revoked", "deleted"]
    voice: str
    given_by: str | None
    """Whose voice it is, if that is still known."""
    reference_sha256: str | None


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
    _note(folder, "added", name, consent)


def revoke_consent(folder: Path, name: str) -> None:
    """The person takes their consent back: their recording is erased, and their voice is spoken no more.

    A running server notices before it next speaks with the voice, and forgets what its model knows of it.

    Raises:
        SpeechError: ``unknown_voice``; ``consent_required`` if there is none to take back.
    """
    consent = _read_consent(_existing(folder, name))
    revoked = msgspec.structs.replace(consent, revoked_at=_now())
    with tempfile.NamedTemporaryFile(dir=folder / name, delete=False) as file:
        file.write(msgspec.json.format(msgspec.json.encode(revoked)))
    Path(file.name).replace(folder / name / _CONSENT)
    (folder / name / _REFERENCE).unlink(missing_ok=True)
    _note(folder, "revoked", name, consent)


def remove_voice(folder: Path, name: str) -> bool:
    """Delete a voice, its recording and its consent; whether there was one."""
    if not _NAME.fullmatch(name) or not (folder / name).is_dir():
        return False
    try:
        consent = _stored_consent(folder / name)
    except (OSError, msgspec.DecodeError):
        consent = None
    shutil.rmtree(folder / name)
    _note(folder, "deleted", name, consent)
    return True


def read_voices(folder: Path, *, model: str, sample_rate_hz: int) -> tuple[Voice, ...]:
    """The voices that may be spoken with; what has no valid consent is logged and left out."""
    voices: list[Voice] = []
    for voice in sorted(folder.iterdir()) if folder.is_dir() else ():
        if not _NAME.fullmatch(voice.name) or not voice.is_dir():
            continue
        try:
            consent = _read_consent(voice)
        except SpeechError as error:
            log.warning("voice_without_consent", voice=voice.name, code=error.code.value)
            continue
        voices.append(
            Voice(
                id=voice.name,
                model=model,
                language=consent.language,
                sample_rate_hz=sample_rate_hz,
                name=voice.name,
                cloned=True,
                tenant=consent.tenant,
            )
        )
    return tuple(voices)


def read_reference(folder: Path, name: str) -> Samples:
    """The recording of a voice, ``float32, (n,)``, at 22 050 Hz.

    Raises:
        SpeechError: ``unknown_voice``, or ``consent_required`` without a consent that names this very recording.
    """
    check_consent(folder, name)
    with wave.open(str(folder / name / _REFERENCE), "rb") as file:
        frames = file.readframes(file.getnframes())
    return np.frombuffer(frames, dtype="<i2").astype(np.float32) / np.float32(_FULL_SCALE)


def check_consent(folder: Path, name: str) -> Consent:
    """The consent to a voice that may be spoken with now.

    Raises:
        SpeechError: As :func:`read_reference`.
    """
    return _read_consent(_existing(folder, name))


def _existing(folder: Path, name: str) -> Path:
    if not _NAME.fullmatch(name) or not (folder / name).is_dir():
        raise SpeechError(ErrorCode.UNKNOWN_VOICE, f"There is no voice {name!r}.", param="voice")
    return folder / name


def _stored_consent(voice: Path) -> Consent:
    return msgspec.json.decode((voice / _CONSENT).read_bytes(), type=Consent)


def _read_consent(voice: Path) -> Consent:
    try:
        consent = _stored_consent(voice)
        if consent.revoked_at is not None:
            raise SpeechError(
                ErrorCode.CONSENT_REQUIRED,
                f"The speaker of the voice {voice.name} has taken back their consent. Choose another voice.",
                param="voice",
            )
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


def _note(folder: Path, deed: Literal["added", "revoked", "deleted"], name: str, consent: Consent | None) -> None:
    line = Deed(
        at=_now(),
        deed=deed,
        voice=name,
        given_by=consent and consent.given_by,
        reference_sha256=consent and consent.reference_sha256,
    )
    with (folder / _AUDIT).open("ab") as file:
        file.write(msgspec.json.encode(line) + b"\n")
    log.info("voice_audit", deed=deed, voice=name)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _write_wav(path: Path, samples: Samples) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(REFERENCE_RATE_HZ)
        file.writeframes((np.clip(samples, -1.0, 1.0) * _FULL_SCALE).astype("<i2").tobytes())
