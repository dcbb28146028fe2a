"""The composition root: settings in, a Litestar application out.

Everything that lives as long as the server is made here and opened in the application's lifespan; route handlers get
it by name and type (``host: EngineHost``). A new surface is a module in ``server/http`` with ``ROUTES``, added to
:data:`ROUTES` here.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from importlib.metadata import version
from typing import Final

import anyio
from litestar import Litestar
from litestar.datastructures import State
from litestar.di import Provide
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.spec import License

from engines.codec.decoder import Decoder
from engines.host import EngineHost
from server import speech_engines
from server.errors import handle_error
from server.http import documents, events, health, models, sessions, speech, stream, tools, transcriptions
from server.http.documents import ApiPage
from server.http.front_door import FrontDoor
from server.http.hosts import HostPolicy
from server.metrics import Metrics
from server.sessions import session_manager, session_store
from server.settings import Settings
from server.warmup import Warmup
from session.stores.base import EventStore

ROUTES: Final = (
    *transcriptions.ROUTES,
    *speech.ROUTES,
    *tools.ROUTES,
    *sessions.ROUTES,
    *events.ROUTES,
    *stream.ROUTES,
    *models.ROUTES,
    *health.ROUTES,
    *documents.ROUTES,
)


def create_app(
    settings: Settings,
    *,
    host: EngineHost | None = None,
    decoder: Decoder | None = None,
    store: EventStore | None = None,
) -> Litestar:
    """The application. To be called on the event loop that will run it.

    Args:
        settings: Read by :func:`server.settings.load_settings`.
        host: The engines; left out, those of the catalog that are installed.
        decoder: Of uploads; left out, one with the limits of the settings.
        store: Of the logs of sessions; left out, the one of the settings.

    Raises:
        SpeechError: ``invalid_setting`` if the settings name a model or voice that is not there.
    """
    host = host or speech_engines.engine_host(settings)
    decoder = decoder or speech_engines.decoder(settings)
    store = store or session_store(settings)
    manager = session_manager(settings, host, store)
    metrics = Metrics(host, manager)
    warmup = Warmup(host, enabled=settings.models.warm)

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncGenerator[None]:
        async with host, decoder, aclosing(store), manager, anyio.create_task_group() as tasks:
            tasks.start_soon(metrics.loop_lag.watch)
            if warmup.enabled:
                tasks.start_soon(warmup.run)
            yield
            tasks.cancel_scope.cancel()

    app = Litestar(
        route_handlers=ROUTES,
        lifespan=[lifespan],
        dependencies={
            "settings": _given(settings),
            "host": _given(host),
            "decoder": _given(decoder),
            "sessions": _given(manager),
            "metrics": _given(metrics),
            "warmup": _given(warmup),
        },
        exception_handlers={Exception: handle_error},
        request_max_body_size=settings.limits.max_body_bytes,
        openapi_config=_openapi(),
        logging_config=None,
        state=State({"sessions": manager}),
    )
    app.asgi_handler = FrontDoor(
        app.asgi_handler,
        hosts=HostPolicy(settings.server.allowed_hosts),
        metrics=metrics.http,
        body_timeout_s=settings.limits.body_timeout_s,
    )
    return app


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
        path="/docs",
        render_plugins=[ApiPage(path="/")],
    )
