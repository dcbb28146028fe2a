"""Spans of requests and turns, from a real exporter to a collector that is a test."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractAsyncContextManager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

import httpx
import pytest
from litestar import Litestar
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from schemas.errors import ErrorCode, SpeechError
from server.settings import ModelSettings, Settings, TelemetrySettings
from server.spans import Spans
from session.latency import TurnMoments

pytestmark = pytest.mark.anyio

MOMENTS = TurnMoments(
    turn=3, speech_end_us=1_000_000, decided_us=1_400_000, final_us=1_450_000, queued_us=1_900_000, item_id="item_1"
)


class Collector:
    """An OTLP collector: takes spans over HTTP."""

    def __init__(self) -> None:
        requests = self.requests = list[ExportTraceServiceRequest]()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                requests.append(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def spans(self) -> dict[str, dict[str, str]]:
        """Attributes by name."""
        return {
            span.name: {item.key: str(item.value.string_value or item.value.int_value) for item in span.attributes}
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        }

    @property
    def service(self) -> str:
        (resource, *_) = self.requests[0].resource_spans
        return next(item.value.string_value for item in resource.resource.attributes if item.key == "service.name")


@pytest.fixture
def collector() -> Generator[Collector]:
    collector = Collector()
    yield collector
    collector.close()


OpenApp = Callable[..., AbstractAsyncContextManager[Litestar]]


def _settings() -> Settings:
    return Settings(models=ModelSettings(warm=False), telemetry=TelemetrySettings(spans=True))


async def test_requests_and_turns_arrive_at_the_collector_of_the_environment(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, open_app: OpenApp
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    async with open_app(_settings()) as app:
        transport = httpx.ASGITransport(cast("Any", app))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            opened = await client.post("/v1/sessions", json={})
            session_id = opened.json()["session_id"]
            await client.get(f"/v1/sessions/{session_id}?api_key=secret")
            await client.get("/healthz")
        app.state.sessions._on_answered(session_id, MOMENTS)
    spans = collector.spans
    assert collector.service == "antiphon"
    assert set(spans) == {
        "POST /v1/sessions",
        "GET /v1/sessions/{session_id}",
        "turn",
        "turn.decision",
        "turn.final",
        "turn.queued",
    }
    assert spans["turn.queued"] == {"session.id": session_id, "antiphon.turn": "3"}
    assert spans["GET /v1/sessions/{session_id}"]["session.id"] == session_id
    assert "secret" not in str(spans)


async def test_stages_follow_one_another_within_the_turn() -> None:
    exporter = InMemorySpanExporter()
    spans = Spans(exporter)
    spans.observe("ses_1", MOMENTS)
    await spans.aclose()
    by_name = {span.name: span for span in exporter.get_finished_spans()}
    assert {name: _length_ms(span) for name, span in by_name.items()} == {
        "turn": 900,
        "turn.decision": 400,
        "turn.final": 50,
        "turn.queued": 450,
    }
    assert by_name["turn.decision"].end_time == by_name["turn.final"].start_time
    assert by_name["turn.queued"].end_time == by_name["turn"].end_time
    assert all(span.parent == by_name["turn"].context for name, span in by_name.items() if name != "turn")


def _length_ms(span: ReadableSpan) -> int:
    assert span.end_time is not None
    assert span.start_time is not None
    return (span.end_time - span.start_time) // 1_000_000


async def test_a_collector_that_is_down_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.spans.FLUSH_S", 0.05)
    released = threading.Event()

    class Stuck(SpanExporter):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:  # noqa: ARG002
            released.wait(20)
            return SpanExportResult.FAILURE

    spans = Spans(Stuck())
    spans.observe("ses_1", MOMENTS)
    await spans.aclose()
    released.set()


async def test_the_name_of_the_service_is_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "reception")
    exporter = InMemorySpanExporter()
    spans = Spans(exporter)
    spans.observe("ses_1", MOMENTS)
    await spans.aclose()
    assert exporter.get_finished_spans()[0].resource.attributes["service.name"] == "reception"


async def test_without_the_extra_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch, open_app: OpenApp) -> None:
    monkeypatch.setitem(sys.modules, "server.spans", None)
    with pytest.raises(SpeechError) as caught:
        async with open_app(_settings()):
            pass
    assert caught.value.code is ErrorCode.MISSING_EXTRA
    assert "pip install 'antiphon[otel]'" in caught.value.message


async def test_histograms_show_each_stage_of_a_turn(open_app: OpenApp) -> None:
    async with open_app() as app:
        app.state.sessions._on_answered("ses_1", MOMENTS)
        transport = httpx.ASGITransport(cast("Any", app))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            lines = (await client.get("/metrics")).text.splitlines()
    sums = {line for line in lines if line.startswith("antiphon_turn_latency_seconds_sum")}
    assert sums == {
        'antiphon_turn_latency_seconds_sum{stage="decision"} 0.4',
        'antiphon_turn_latency_seconds_sum{stage="final"} 0.05',
        'antiphon_turn_latency_seconds_sum{stage="queued"} 0.45',
        'antiphon_turn_latency_seconds_sum{stage="total"} 0.9',
    }
