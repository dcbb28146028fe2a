"""How engines are described and run, before any is loaded."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from engines.base import Engine
from schemas.audio import SESSION_RATE_HZ
from schemas.models import ModelKind
from schemas.speech import Voice


class HostSettings(Struct, frozen=True, kw_only=True):
    """How engines are run."""

    device: str = "auto"
    """Of recognition and of voices on torch: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``."""
    compute_type: str = "auto"
    """Of recognition: ``auto`` or a CTranslate2 compute type, such as ``int8``."""
    asr_workers: int | None = None
    """Transcriptions at once; ``None`` is one a core, up to four: on a CPU, workers beat threads."""
    asr_max_batch: int | None = None
    """Turns recognised in one call; ``None`` measures how many had best be when the model is loaded."""
    asr_exact_window: bool = False
    """Whether every recognition is done in the model's whole window, whatever its options say."""
    cpu_threads: int | None = None
    """Threads of one transcription; ``None`` shares the cores out among the workers."""
    tts_workers: int = 2
    """Syntheses at once, where the engine can."""
    max_queued: int = 32
    """Jobs that may wait for one engine."""
    max_queued_audio_s: float = 3_600.0
    """Audio they may have, unless it is one job alone."""
    prompt_cache_bytes: int = 64 * 1_024 * 1_024
    """Memory for the audio of what was spoken lately; 0 keeps none."""
    keep_alive_s: float | None = None
    """An engine that was idle for so long is unloaded; ``None`` keeps it."""
    load_timeout_s: float = 120.0
    """How long a request waits for its engine to be loaded."""
    grace_s: float = 10.0
    """At the end, how long running jobs may go on."""
    asr_model: str | None = None
    """The model of requests that name none; ``None`` is the catalog's default."""
    turn_detector: str | None = None
    """The turn detector; ``None`` is the catalog's default."""
    voice: str | None = None
    """The voice of requests that name none, by its id; ``None`` is the first of the catalog's default model."""


class EngineSpec(Struct, frozen=True, kw_only=True, eq=False):
    """One engine that can be loaded."""

    kind: ModelKind
    engine: str
    """The adapter, as in ``whisper``."""
    load: Callable[[], Engine]
    """Blocks, so it is called on a worker thread. Raises ``SpeechError``: ``missing_extra``, ``model_corrupt`` …"""
    title: str = ""
    licence: str = ""
    languages: tuple[str, ...] = ()
    sample_rate_hz: int = SESSION_RATE_HZ
    voices: tuple[Voice, ...] = ()
    """Of a synthesis engine: known without loading it."""
    installed: bool = True
    fingerprint: str = ""
    """Of its files; see :attr:`schemas.models.ModelStatus.fingerprint`."""
    default: bool = False
    """Whether it is used, among those of its kind, where neither request nor settings name one."""
