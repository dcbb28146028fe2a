"""The composition root: settings in, a Litestar application out.

Everything that lives as long as the server is made here and opened in the application's lifespan. Route handlers get
it by name and type (``host: EngineHost``), in the name of the request's principal where it belongs to somebody. A new
surface is a module in ``server/http`` with ``ROUTES``, added to :data:`ROUTES` here.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from importlib.metadata import version
from typing import Final

import anyio
from litestar import Litestar, Router
from litestar.config.cors import CORSConfig
from litestar.datastructures import State
from litestar.di import Provide
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.spec import Components, License, SecurityScheme
from litestar.types import Scope

from engines.codec.decoder import Decoder
from engines.host import EngineHost
from engines.public_http import Fetcher
from schemas.principal import LOCAL
from server import speech_engines, telemetry
from server.auth.access import Access
from server.auth.quotas import QuotaLedger
from server.callers import Callers
from server.errors import handle_error
from server.http import (
    audio,
    documents,
    events,
    health,
    models,
    protected_resource,
    sessions,
    speech,
    stream,
    tools,
    transcriptions,
    voices,
)
from server.http.documents import ApiPage
from server.http.front_door import FrontDoor
from server.http.gate import PUBLIC, Gate, principal_of
from server.http.hosts import HostPolicy
from server.http.idempotency import IdempotencyKeys
from server.http.intake import BodyMemory
from server.http.openapi import StructReferences
from server.http.options import options_routes
from server.http.queries import known_query
from server.mcp.endpoint import mcp_manager, mcp_route
from server.mcp.server import mcp_server
from server.metrics import Metrics
from server.sessions import session_manager, session_store
from server.settings import LimitSettings, Settings
from server.warmup import Warmup
from server.webhooks import Webhooks
from session.own_sessions import OwnSessions
from session.stores.base import EventStore

ROUTES: Final = (
    *transcriptions.ROUTES,
    *speech.ROUTES,
    *voices.ROUTES,
    *tools.ROUTES,
    *audio.ROUTES,
    *sessions.ROUTES,
    *events.ROUTES,
    *stream.ROUTES,
    *models.ROUTES,
    *health.ROUTES,
    *documents.ROUTES,
    *protected_resource.ROUTES,
)

_TENANT_SHARE: Final = 0.5
"""Of the memory for bodies that the other tenants leave: something is left for the next, whoever they are."""

_CORS: Final = CORSConfig(
    # Of foreign pages the front door has rid us; those that come this far may read the answer. Keys are sent by the
    # page itself, and nothing is by the browser on its own: there are no cookies.
    allow_origins=["*"],
    allow_methods=["DELETE", "GET", "POST"],
    allow_headers=[
        "Authorization",
        "Content-Type",
        "Idempotency-Key",
        "Last-Event-ID",
        "Mcp-Method",
        "Mcp-Name",
        "Mcp-Protocol-Version",
        "Mcp-Session-Id",
    ],
    expose_headers=["Location", "Mcp-Session-Id", "Retry-After", "WWW-Authenticate", "X-Request-Id"],
)


def create_app(
    settings: Settings,
    *,
    host: EngineHost | None = None,
    decoder: Decoder | None = None,
    fetcher: Fetcher | None = None,
    webhooks: Webhooks | None = None,
    store: EventStore | None = None,
) -> Litestar:
    """The application. To be called on the event loop that will run it.

    Args:
        settings: Read by :func:`server.settings.load_settings`.
        host: The engines; left out, those of the catalog that are installed.
        decoder: Of uploads; left out, one with the limits of the settings.
        fetcher: Of audio by URL; left out, the one of the settings.
        webhooks: For events of sessions; left out, those of the settings.
        store: Of the logs of sessions; left out, the one of the settings.

    Raises:
        SpeechError: ``invalid_setting`` if the settings name a model or voice that is not there, or let nobody in;
            ``missing_extra`` if they want spans.
    """
    access = Access(settings)
    host = host or speech_engines.engine_host(settings)
    decoder = decoder or speech_engines.decoder(settings)
    store = store or session_store(settings)
    fetcher = fetcher or speech_engines.fetcher(settings)
    cloning = speech_engines.voice_cloning(settings, host)
    webhooks = webhooks or Webhooks(settings.webhooks)
    manager = session_manager(settings, host, store, webhooks.observe)
    metrics = Metrics(host, manager, webhooks)
    warmup = Warmup(host, enabled=settings.models.warm)

    quotas = QuotaLedger()
    callers = Callers(settings, host=host, decoder=decoder, fetcher=fetcher, manager=manager, quotas=quotas)
    mcp = mcp_server(callers)
    mcp_http = mcp_manager(mcp, max_body_bytes=settings.limits.max_body_bytes)

    stopping = anyio.Event()

    async def stop() -> None:
        stopping.set()
        mcp_http.close_streams()
        await manager.drain()

    def own_host(scope: Scope) -> EngineHost:
        return callers.host(principal_of(scope))

    def own_sessions(scope: Scope) -> OwnSessions:
        return callers.sessions(principal_of(scope))

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncGenerator[None]:
        posting = webhooks.running(drain_s=settings.server.drain_s)
        async with host, decoder, aclosing(store), posting, manager, mcp_http.run(), anyio.create_task_group() as tasks:
            tasks.start_soon(metrics.loop_lag.watch)
            tasks.start_soon(access.watch)
            if warmup.enabled:
                tasks.start_soon(warmup.run)
            yield
            tasks.cancel_scope.cancel()

    app = Litestar(
        route_handlers=(*options_routes(ROUTES), *ROUTES, mcp_route(mcp_http)),
        lifespan=[lifespan],
        dependencies={
            "settings": _given(settings),
            "host": Provide(own_host, sync_to_thread=False),
            "decoder": _given(decoder),
            "cloning": _given(cloning),
            "fetcher": _given(fetcher),
            "sessions": Provide(own_sessions, sync_to_thread=False),
            "callers": _given(callers),
            "webhooks": _given(webhooks),
            "metrics": _given(metrics),
            "warmup": _given(warmup),
        },
        cors_config=_CORS,
        guards=[known_query],
        middleware=[Gate(access, quotas), IdempotencyKeys(callers.idempotency)],
        exception_handlers={Exception: handle_error},
        request_max_body_size=settings.limits.max_body_bytes,
        openapi_config=_openapi(),
        logging_config=None,
        state=State(
            {
                "sessions": manager,
                "mcp": mcp,
                "stdio": mcp_server(callers, LOCAL),
                "stopping": stopping,  # is set by:
                "stop": stop,  # to be called while those who are connected can still be told
            }
        ),
        plugins=[StructReferences(), *telemetry.plugins(settings.telemetry, manager)],
    )
    app.asgi_handler = FrontDoor(
        app.asgi_handler,
        hosts=HostPolicy(settings.server.allowed_hosts),
        metrics=metrics.http,
        body_timeout_s=settings.limits.body_timeout_s,
        bodies=_body_memory(settings.limits, share=_TENANT_SHARE if access.required else 1.0),
    )
    return app


def _body_memory(limits: LimitSettings, *, share: float) -> BodyMemory:
    max_bytes = max(limits.max_bodies_bytes, math.ceil(limits.max_body_bytes / share))  # one of each size gets in
    return BodyMemory(max_bytes, max_body_bytes=limits.max_body_bytes, share=share)


def _given(value: object) -> Provide:
    def provide() -> object:
        return value

    return Provide(provide, sync_to_thread=False)


def _openapi() -> OpenAPIConfig:
    return OpenAPIConfig(
        title="Antiphon",
        version=version("antiphon"),
        description="Session-aware speech server for conversational AI.",
        license=License(name="Apache-2.0", identifier="Apache-2.0"),
        components=Components(
            security_schemes={
                "bearer": SecurityScheme(
                    type="http",
                    scheme="bearer",
                    description="An API key or an access token, where the server asks for it.",
                )
            }
        ),
        security=[{}, {"bearer": []}],  # without is good, too, for those of this machine
        openapi_router=Router("/docs", route_handlers=(), opt=PUBLIC, include_in_schema=False),
        render_plugins=[ApiPage(path="/")],
    )
