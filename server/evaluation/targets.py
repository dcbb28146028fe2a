"""Targets, opened: a server that is started here, one that runs somewhere, or a bare engine."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import httpx
import msgspec
from msgspec.structs import replace

from engines.models.catalog import ModelEntry
from evals.environment import engine_versions, source_digest
from evals.output import begun, is_begun
from evals.targets.address import Address, address
from evals.targets.antiphon import AntiphonSynthesizer, AntiphonTranscriber
from evals.targets.base import Search, Target
from evals.targets.http_errors import checked, told
from evals.targets.openai import OpenAISynthesizer, OpenAITranscriber
from evals.targets.wyoming import WyomingTranscriber
from schemas.errors import ErrorCode, SpeechError
from schemas.models import ModelKind
from schemas.openai import ModelList
from server.demo.server_process import child_server
from server.evaluation.area import Wish
from server.evaluation.bare_voices import BareVoices
from server.evaluation.bare_whisper import BareWhisper
from server.settings import Settings
from server.speech_engines import engine_host, model_store

SERVER_LOG: Final = "server.log"
_SEARCH: Final = Search()
_TIMEOUT_S: Final = 600.0


@asynccontextmanager
async def opened(wish: Wish, settings: Settings, *, search: Search = _SEARCH) -> AsyncGenerator[Target]:
    """The target of a wish, for as long as the block lasts.

    Args:
        wish: Names it.
        settings: Of a server that is started, and of bare engines.
        search: How recognition looks for words.

    Raises:
        SpeechError: ``invalid_request`` for a name that is none, ``overloaded`` if nothing answers there,
            ``model_not_installed``.
    """
    place = address(wish.target)
    if search.once and place.kind != "engine":
        raise SpeechError(
            ErrorCode.INVALID_REQUEST, "Servers cannot be told to decode once: only engine:MODEL can.", param="target"
        )
    # What a server of others does may change between two runs, and nobody would know.
    run = f" run={begun(wish.out)}" if is_begun(wish.out) or place.kind not in {"inproc", "engine"} else ""
    async with AsyncExitStack() as stack:
        match place.kind:
            case "inproc":
                server = await stack.enter_async_context(child_server(wish.out / SERVER_LOG, wish.server_options))
                await server.ready()
                yield await _antiphon(wish, place, settings, server.http, run, search, server.pid)
            case "antiphon":
                http = await stack.enter_async_context(_client(place.place, wish.key))
                yield await _antiphon(wish, place, settings, http, run, search, None)
            case "openai":
                http = await stack.enter_async_context(_client(place.place, wish.key))
                yield Target(
                    name=wish.target,
                    models={"model": place.model} if place.model else {},
                    transcribes=OpenAITranscriber(http, f"{wish.target}{run}", model=place.model),
                    speaks=OpenAISynthesizer(http, f"{wish.target}{run}", model=place.model),
                )
            case "wyoming":
                yield Target(name=wish.target, transcribes=WyomingTranscriber(place.place, f"{wish.target}{run}"))
            case "engine":
                entry = model_store(settings).catalog[place.place]
                if entry.kind is ModelKind.TTS:
                    host = await stack.enter_async_context(engine_host(settings))
                    host.model(ModelKind.TTS, entry.name)
                    voices = BareVoices(host, entry.name, f"{entry.fingerprint} {_installed(settings)}{run}")
                    yield Target(name=wish.target, models=_models(entry), speaks=voices)
                else:
                    yield _bare(wish, entry, settings, run, search)


async def _antiphon(
    wish: Wish, place: Address, settings: Settings, http: httpx.AsyncClient, run: str, search: Search, pid: int | None
) -> Target:
    async with told("Antiphon"):
        response = await http.get("/v1/models")
    listed = msgspec.json.decode((await checked(response, "Antiphon")).content, type=ModelList).data
    names = {model.kind: model.id for model in listed if model.default}
    if place.model:
        names[ModelKind.ASR] = place.model
    catalog = model_store(settings).catalog
    # Of another's server one knows the names of the models, not what is in them.
    hashes = {name: catalog[name].fingerprint for name in names.values()} if pid is not None else {}
    installed = _installed(settings) if pid is not None else ""
    identity = f"antiphon {installed}{run} {sorted(hashes.items())}"
    return Target(
        name=wish.target,
        models={kind.value: with_hash(name, hashes.get(name, "")) for kind, name in names.items()},
        transcribes=AntiphonTranscriber(http, identity, beam=search.beam, model=place.model),
        speaks=AntiphonSynthesizer(http, identity),
        antiphon=http,
        pid=pid,
    )


def _installed(settings: Settings) -> str:
    """All that what our own code makes of models depends on: itself, the libraries under it, and how it is set."""
    models = replace(settings.models, dir=None)
    digest = hashlib.sha256(msgspec.json.encode((settings.engine, models))).hexdigest()
    return f"code={source_digest()} settings={digest} {engine_versions()}"


def _bare(wish: Wish, entry: ModelEntry, settings: Settings, run: str, search: Search) -> Target:
    folder = model_store(settings).path(entry.name)
    identity = f"{entry.fingerprint} {engine_versions()}{run}"
    engine = BareWhisper(folder, settings.engine, identity=identity, search=search, seed=wish.seed)
    return Target(name=wish.target, models=_models(entry), transcribes=engine)


def _models(entry: ModelEntry) -> dict[str, str]:
    return {entry.kind.value: with_hash(entry.name, entry.fingerprint)}


def with_hash(name: str, fingerprint: str) -> str:
    """A model as reports name it: with the beginning of its hash, where that is known."""
    return f"{name} {fingerprint[:12]}".strip()


@asynccontextmanager
async def _client(url: str, key: str | None) -> AsyncGenerator[httpx.AsyncClient]:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    timeout = httpx.Timeout(_TIMEOUT_S, connect=10.0)
    async with httpx.AsyncClient(
        base_url=url, headers=headers, timeout=timeout, limits=httpx.Limits(max_connections=None)
    ) as http:
        yield http
