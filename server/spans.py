"""OpenTelemetry spans: of each request, and of each turn with its stages.

Where they go, how they are sampled and what the service is called, the SDK itself reads from the ``OTEL_*`` variables
of the environment. Spans carry ids and numbers; never texts, query strings or headers.

Importing this needs the extra ``otel``; :func:`server.telemetry.plugins` says so.
"""

from __future__ import annotations

import time
from importlib.metadata import version
from typing import Any, Final, cast

import anyio.to_thread
from litestar.config.app import AppConfig
from litestar.plugins import InitPlugin
from litestar.plugins.opentelemetry import OpenTelemetryConfig, OpenTelemetryPlugin
from litestar.types import Message, Scope
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import Span

from session.latency import TurnMoments

FLUSH_S: Final = 5.0
"""At the end, how long the collector may take for the last spans."""
_QUIET: Final = ["^/healthz$", "^/readyz$", "^/metrics$"]
_RESPONSE_BEGINS: Final = {"http.response.start", "websocket.accept"}


class Spans(InitPlugin):
    """Makes spans of turns and exports them, with those of requests, which :attr:`requests` makes.

    Args:
        exporter: Where to; left out, the collector of the environment.
    """

    def __init__(self, exporter: SpanExporter | None = None) -> None:
        self._provider = TracerProvider(resource=_resource())
        self._provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("antiphon", version("antiphon"))
        self.requests = OpenTelemetryPlugin(
            OpenTelemetryConfig(
                tracer_provider=self._provider,
                meter_provider=NoOpMeterProvider(),
                scope_span_details_extractor=_unrouted,
                server_request_hook_handler=_without_query,
                exclude=_QUIET,
                exclude_spans=["receive", "send"],  # one each for every frame of a WebSocket
            )
        )

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """Name spans of requests by their routes, and export the last of all when everything else has ended."""
        app_config.before_send.append(_name_by_route)
        app_config.on_shutdown.append(self.aclose)
        return app_config

    def observe(self, session_id: str, moments: TurnMoments) -> None:
        """Make the spans of a turn: of all of it, and within that of each stage."""
        attributes = {"session.id": session_id, "antiphon.turn": moments.turn}
        to_epoch_ns = time.time_ns() - time.monotonic_ns()
        reached = [
            (name, moment_us * 1000 + to_epoch_ns)
            for name, moment_us in (
                ("", moments.speech_end_us),
                ("turn.decision", moments.decided_us),
                ("turn.final", moments.final_us),
                ("turn.queued", moments.queued_us),
                ("turn.acked", moments.acked_us),
            )
            if moment_us is not None
        ]
        (_, start_ns), (_, end_ns) = reached[0], reached[-1]
        turn = self._tracer.start_span("turn", start_time=start_ns, attributes=attributes)
        within = trace.set_span_in_context(turn)
        for name, until_ns in reached[1:]:
            stage = self._tracer.start_span(name, within, start_time=start_ns, attributes=attributes)
            stage.end(until_ns)
            start_ns = until_ns
        turn.end(end_ns)

    async def aclose(self) -> None:
        """Export what is left, unless the collector takes too long."""
        with anyio.move_on_after(FLUSH_S, shield=True):
            await anyio.to_thread.run_sync(self._provider.shutdown, abandon_on_cancel=True)


async def _name_by_route(message: Message, scope: Scope) -> None:
    """Name a request's span, once its route is known: a hook before what is sent."""
    fields = cast("dict[str, Any]", scope)
    if message["type"] in _RESPONSE_BEGINS and (route := fields.get("path_template")):
        span = trace.get_current_span()
        span.update_name(f"{fields.get('method', 'WEBSOCKET')} {route}")
        span.set_attribute("http.route", str(route))
        if session_id := fields.get("path_params", {}).get("session_id"):
            span.set_attribute("session.id", session_id)


def _resource() -> Resource:
    found = Resource.create({"service.version": version("antiphon")})
    named = not str(found.attributes[SERVICE_NAME]).startswith("unknown_service")
    return found if named else found.merge(Resource({SERVICE_NAME: "antiphon"}))


def _unrouted(scope: Scope) -> tuple[str, dict[str, Any]]:
    """The name of a span before its route is known: no path, which has ids in it."""
    return str(cast("dict[str, Any]", scope).get("method", "WEBSOCKET")), {}


def _without_query(span: Span, scope: dict[str, Any]) -> None:
    """A query can hold what is secret."""
    if span.is_recording() and scope.get("query_string"):
        span.set_attribute("http.url", scope["path"])
        span.set_attribute("http.target", scope["path"])
        span.set_attribute("url.query", "")
