"""``GET /v1/models``, as the OpenAI clients know it, with the state of each model; and freeing its memory."""

from __future__ import annotations

from typing import Final

from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from engines.host import EngineHost
from schemas.errors import ErrorCode, SpeechError
from schemas.models import ModelKind, ModelStatus
from schemas.openai import ASR_ALIASES, TTS_ALIASES, ModelList, ModelObject
from schemas.principal import Scope
from server.errors import error_responses
from server.http.gate import needs


@get(
    "/v1/models",
    operation_id="listModels",
    opt=needs(Scope.AUDIO),
    summary="List the models",
    tags=["models"],
    responses=error_responses(400, 403),
    sync_to_thread=False,
)
def list_models(host: NamedDependency[EngineHost]) -> ModelList:
    """Every model of the catalog, installed or not."""
    return ModelList(data=tuple(_described(status) for status in host.models()))


@get(
    "/v1/models/{name:str}",
    operation_id="retrieveModel",
    opt=needs(Scope.AUDIO),
    summary="One model",
    tags=["models"],
    responses=error_responses(400, 403, 404),
    sync_to_thread=False,
)
def retrieve_model(host: NamedDependency[EngineHost], name: FromPath[str]) -> ModelObject:
    """One model of the catalog, by its own name or one of OpenAI's."""
    return _described(_status(host, name))


@post(
    "/v1/models/{name:str}/unload",
    operation_id="unloadModel",
    opt=needs(Scope.ADMIN),
    summary="Free a model's memory",
    tags=["models"],
    status_code=200,
    responses=error_responses(400, 403, 404, 503),
)
async def unload_model(host: NamedDependency[EngineHost], name: FromPath[str]) -> ModelObject:
    """It is loaded again when it is next used. A model at work is not unloaded: ``overloaded``."""
    status = _status(host, name)
    if status.loaded:
        await host.unload(status.name)
    return _described(_status(host, name))


def _status(host: EngineHost, name: str) -> ModelStatus:
    for status in host.models():
        if name == status.name or name in _aliases(status):
            return status
    known = ", ".join(status.name for status in host.models())
    raise SpeechError(ErrorCode.UNKNOWN_MODEL, f"There is no model of that name; there are: {known}.", param="model")


def _described(status: ModelStatus) -> ModelObject:
    return ModelObject(
        id=status.name,
        created=0,
        owned_by=status.engine,
        kind=status.kind,
        engine=status.engine,
        title=status.title,
        languages=status.languages,
        licence=status.licence,
        installed=status.installed,
        loaded=status.loaded,
        resident_bytes=status.resident_bytes,
        default=status.default,
        aliases=_aliases(status),
    )


def _aliases(status: ModelStatus) -> tuple[str, ...]:
    if not status.default:
        return ()
    return {ModelKind.ASR: ASR_ALIASES, ModelKind.TTS: TTS_ALIASES}.get(status.kind, ())


ROUTES: Final = (list_models, retrieve_model, unload_model)
