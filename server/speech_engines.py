"""Engines and decoder as the settings want them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from engines.codec.decoder import DecodeLimits, Decoder
from engines.coqui.cloning import VoiceCloning
from engines.fake import fake_engines
from engines.host import EngineHost
from engines.installed import installed_engines
from engines.models.catalog import Catalog
from engines.models.store import ModelStore, default_root
from engines.public_http import Fetcher, FetchLimits
from engines.spec import HostSettings
from schemas.errors import ErrorCode, SpeechError
from server.settings import Settings

_GRACE_S: Final = 2.0
"""Requests have had their time to finish, ``server.drain_s``, before the engines are closed."""


def model_store(settings: Settings) -> ModelStore:
    """Where the weights are."""
    return ModelStore(_models_dir(settings), Catalog.load())


def voice_cloning(settings: Settings, host: EngineHost) -> VoiceCloning:
    """Voices of people, which lie beside the models."""
    return VoiceCloning(_models_dir(settings) / "voices", host)


def engine_host(settings: Settings) -> EngineHost:
    """The engines of the catalog, on the models that are installed.

    Raises:
        SpeechError: ``invalid_setting`` if the settings name a model or voice that is not there.
    """
    host_settings = _host_settings(settings)
    host = EngineHost(installed_engines(model_store(settings), host_settings), host_settings)
    _check_names(host)
    return host


def fake_host(settings: Settings) -> EngineHost:
    """Engines without weights, for tests of everything around them."""
    return EngineHost(fake_engines(), _host_settings(settings))


def decoder(settings: Settings) -> Decoder:
    """The decoder of uploads."""
    limits = settings.limits
    return Decoder(DecodeLimits(max_duration_s=limits.max_audio_s, max_input_bytes=limits.max_body_bytes))


def _models_dir(settings: Settings) -> Path:
    return Path(settings.models.dir) if settings.models.dir else default_root()


def fetcher(settings: Settings) -> Fetcher:
    """The fetcher of audio by URL."""
    fetch = settings.fetch
    return Fetcher(
        FetchLimits(
            enabled=fetch.enabled,
            max_bytes=settings.limits.max_body_bytes,
            timeout_s=fetch.timeout_s,
            trusted_hosts=fetch.trusted_hosts,
        )
    )


def _host_settings(settings: Settings) -> HostSettings:
    engine, models = settings.engine, settings.models
    return HostSettings(
        device=engine.device,
        compute_type=engine.compute_type,
        asr_workers=engine.asr_workers,
        asr_max_batch=engine.asr_max_batch,
        asr_exact_window=engine.asr_exact_window,
        cpu_threads=engine.cpu_threads,
        max_queued=engine.max_queued,
        max_queued_audio_s=engine.max_queued_audio_s,
        prompt_cache_bytes=engine.prompt_cache_mb * 1_024 * 1_024,
        keep_alive_s=engine.keep_alive_s,
        grace_s=_GRACE_S,
        asr_model=models.asr,
        turn_detector=models.turn_detector,
        voice=models.voice,
    )


def _check_names(host: EngineHost) -> None:
    try:
        host.models()
    except SpeechError as error:
        raise SpeechError(ErrorCode.INVALID_SETTING, f"models: {error.message}", param="models") from error
