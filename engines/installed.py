"""The engines of the catalog, on the models of this machine.

An adapter is imported when its engine is loaded: a server that speaks with one library does not pay for the others.
"""

# ruff: noqa: PLC0415  (the imports below, inside functions, are the lazy ones)

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import structlog

from engines.base import Engine
from engines.cores import usable_cores
from engines.models.catalog import ModelEntry
from engines.models.store import ModelStore
from engines.spec import EngineSpec, HostSettings
from schemas.errors import SpeechError
from schemas.speech import Voice

log = structlog.get_logger("antiphon.engines")

_MAX_AUTO_WORKERS: Final = 4
"""Each worker of recognition has buffers of its own; more are for those who ask for them."""
_LEAST_THREADS: Final = 2
"""Of a job, where there are as many cores. Whoever is alone waits less: an upload takes a quarter less, the first sound
of Piper a sixth, of Kokoro a quarter. Two at once lose to having more threads than cores: 3, 12 and 14 %."""
_TWICE_MAX_BYTES: Final = 200_000_000
"""Weights that are loaded a second time, for turns: a text is there a fifth sooner on one thread than on two."""
_TTS_THREADS_MAX: Final = 4


def installed_engines(store: ModelStore, settings: HostSettings) -> dict[str, EngineSpec]:
    """Every model of the catalog that there is an adapter for, installed or not, in the catalog's order.

    Blocks: it looks at the models' files, and reads those that describe voices.
    """
    return {entry.name: _spec(entry, store, settings) for entry in store.catalog if entry.engine in _ADAPTERS}


def _spec(entry: ModelEntry, store: ModelStore, settings: HostSettings) -> EngineSpec:
    kind = entry.kind
    adapter = _ADAPTERS[entry.engine]
    installed = store.installed(entry.name)
    return EngineSpec(
        kind=kind,
        engine=entry.engine,
        title=entry.title,
        licence=entry.licence,
        languages=entry.languages,
        sample_rate_hz=entry.sample_rate_hz,
        voices=_read_voices(entry, store) if installed else (),
        installed=installed,
        default=entry.default,
        fingerprint=entry.fingerprint,
        load=partial(_load, entry.name, adapter, store, settings),
    )


def _load(name: str, adapter: _Adapter, store: ModelStore, settings: HostSettings) -> Engine:
    return adapter(store.path(name), settings)


def _whisper(folder: Path, settings: HostSettings) -> Engine:
    from engines.whisper import WhisperAsr

    workers = _asr_workers(settings)
    return WhisperAsr(
        folder,
        device=settings.device,
        compute_type=settings.compute_type,
        cpu_threads=settings.cpu_threads or _threads(workers),
        turn_threads=_turn_threads(folder, settings, workers),
        num_workers=workers,
        max_batch=settings.asr_max_batch,
        exact_window=settings.asr_exact_window,
    )


def _piper(folder: Path, settings: HostSettings) -> Engine:
    from engines.piper import PiperTts

    return PiperTts(folder, threads=_tts_threads(settings), workers=settings.tts_workers)


def _kokoro(folder: Path, settings: HostSettings) -> Engine:
    from engines.kokoro import KokoroTts

    return KokoroTts(folder, threads=_tts_threads(settings), workers=settings.tts_workers)


def _coqui_vits(folder: Path, settings: HostSettings) -> Engine:
    from engines.coqui.vits import CoquiVitsTts

    return CoquiVitsTts(folder, device=settings.device, workers=settings.tts_workers)


def _coqui_xtts(folder: Path, settings: HostSettings) -> Engine:
    from engines.coqui.xtts import XttsTts

    return XttsTts(folder, device=settings.device)


def _silero(folder: Path, _: HostSettings) -> Engine:
    from engines.silero import SileroVad

    return SileroVad(folder)


def _smart_turn(folder: Path, _: HostSettings) -> Engine:
    from engines.smart_turn import SmartTurn

    return SmartTurn(folder)


_Adapter = Callable[[Path, HostSettings], Engine]
_ADAPTERS: Final[dict[str, _Adapter]] = {
    "whisper": _whisper,
    "piper": _piper,
    "kokoro": _kokoro,
    "coqui_vits": _coqui_vits,
    "coqui_xtts": _coqui_xtts,
    "silero": _silero,
    "smart_turn": _smart_turn,
}


def _threads(workers: int) -> int:
    """Of each job, where so many are worked on at once."""
    return max(min(_LEAST_THREADS, usable_cores()), usable_cores() // workers)


def _turn_threads(folder: Path, settings: HostSettings, workers: int) -> int | None:
    if settings.cpu_threads is not None or _threads(workers) > _LEAST_THREADS:
        return None
    weights = folder / "model.bin"
    return 1 if weights.is_file() and weights.stat().st_size <= _TWICE_MAX_BYTES else None


def _tts_threads(settings: HostSettings) -> int:
    return min(_TTS_THREADS_MAX, _threads(settings.tts_workers))


def _asr_workers(settings: HostSettings) -> int:
    # At least two, so that a turn need not wait for a file.
    return settings.asr_workers or min(max(usable_cores(), 2), _MAX_AUTO_WORKERS)


def _read_voices(entry: ModelEntry, store: ModelStore) -> tuple[Voice, ...]:
    """A damaged model has no voices; whoever asks for it by name is told what to do about it."""
    from engines.coqui.cloned_voices import read_voices, voices_dir
    from engines.coqui.vits import read_coqui_voice
    from engines.kokoro import read_voices as read_kokoro_voices
    from engines.piper import read_voice

    try:
        match entry.engine:
            case "piper":
                return (read_voice(store.path(entry.name)),)
            case "kokoro":
                return read_kokoro_voices(store.path(entry.name))
            case "coqui_vits":
                return (read_coqui_voice(store.path(entry.name)),)
            case "coqui_xtts":
                folder = voices_dir(store.path(entry.name))
                return read_voices(folder, model=entry.name, sample_rate_hz=entry.sample_rate_hz)
            case _:
                return ()
    except SpeechError as error:
        log.warning("voice_unreadable", model=entry.name, code=error.code.value)
        return ()
