"""What the server says about its models."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class ModelKind(StrEnum):
    """What a model is for."""

    ASR = "asr"
    TTS = "tts"
    VAD = "vad"
    TURN_DETECTOR = "turn_detector"


class ModelStatus(Struct, frozen=True, kw_only=True):
    """One model, and whether it is ready to be used."""

    name: str
    """Its name in the catalog."""
    kind: ModelKind
    engine: str
    """The adapter that runs it, as in ``whisper``."""
    title: str
    licence: str
    """Of the weights; an SPDX identifier where there is one."""
    languages: tuple[str, ...]
    """ISO 639-1 codes; empty if the model is not bound to languages."""
    sample_rate_hz: int
    """Of the audio it takes (recognition) or makes (synthesis)."""
    installed: bool
    """Whether its files are on this machine."""
    loaded: bool
    """Whether it is in memory. Others are loaded when they are first used."""
    resident_bytes: int
    """By how much the server's resident memory grew when it was loaded; 0 if it is not."""
    default: bool
    """Whether it is used where a request names no model."""
    fingerprint: str
    """SHA-256 of its files' hashes: equal if and only if all its files are. Empty if it has no files that are known."""
