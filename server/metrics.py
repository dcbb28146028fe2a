"""Prometheus metrics, in a registry of their own for each application.

Litestar's Prometheus middleware keeps its metrics in one registry a process and sees only requests that were
routed; hence prometheus_client directly.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from engines.host import EngineHost
from server.loop_lag import LoopLag
from server.webhooks import Webhooks
from session.latency import TurnMoments
from session.manager import SessionManager

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "WEBSOCKET"})
"""Others count as one: the method is the client's text, and a label must not grow without bound."""
_DURATION_BUCKETS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


_LATENCY_BUCKETS_S: Final = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
"""Close together where people notice: they answer one another after 200 ms, and wonder after a second."""


class HttpMetrics:
    """Counts requests by route template, never by path."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "antiphon_http_requests_total", "HTTP requests", ["method", "route", "status"], registry=registry
        )
        self._durations_s = Histogram(
            "antiphon_http_request_duration_seconds",
            "Time from the request's first byte to the response's last",
            ["method", "route"],
            buckets=_DURATION_BUCKETS_S,
            registry=registry,
        )
        self._in_progress = Gauge("antiphon_http_requests_in_progress", "HTTP requests in progress", registry=registry)

    @contextmanager
    def in_progress(self) -> Generator[None]:
        """Count a request as running inside the block."""
        with self._in_progress.track_inprogress():
            yield

    def observe(self, *, method: str, route: str, status: int, duration_s: float) -> None:
        """Count a finished request."""
        method = method if method in _METHODS else "OTHER"
        self._requests.labels(method, route, str(status)).inc()
        self._durations_s.labels(method, route).observe(duration_s)


class EngineMetrics(Collector):
    """Reads the engines' state when it is asked for."""

    def __init__(self, host: EngineHost) -> None:
        self._host = host

    def collect(self) -> Iterator[Metric]:
        """One gauge a property and model."""
        loaded = GaugeMetricFamily("antiphon_model_loaded", "Whether the model is in memory", labels=["model", "kind"])
        resident = GaugeMetricFamily(
            "antiphon_model_resident_bytes", "Memory growth when the model was loaded", labels=["model", "kind"]
        )
        for model in self._host.models():
            loaded.add_metric([model.name, model.kind], float(model.loaded))
            resident.add_metric([model.name, model.kind], float(model.resident_bytes or 0))
        yield loaded
        yield resident
        yield from self._scheduling()
        prompts = self._host.prompt_stats()
        asked = CounterMetricFamily(
            "antiphon_prompts", "Texts spoken, by whether their audio was kept", labels=["kept"]
        )
        asked.add_metric(["yes"], prompts.hits)
        asked.add_metric(["no"], prompts.misses)
        yield asked
        yield GaugeMetricFamily("antiphon_prompt_cache_bytes", "Audio kept of what was spoken", prompts.size_bytes)

    def _scheduling(self) -> Iterator[Metric]:
        stats = self._host.stats()
        for name, text, now in (
            ("queued", "Jobs that wait for the engine", [stat.queued for stat in stats]),
            ("queued_audio_seconds", "Audio of those that have not begun", [stat.queued_audio_s for stat in stats]),
            ("running", "Jobs that the engine works on", [stat.running for stat in stats]),
            ("parked", "Streams that wait for their listeners", [stat.parked for stat in stats]),
            ("workers", "Calls that the engine may work on at once", [stat.workers for stat in stats]),
            ("occupancy_ratio", "Share of the workers that are busy", [stat.occupancy for stat in stats]),
        ):
            gauge = GaugeMetricFamily(f"antiphon_engine_{name}", text, labels=["model"])
            for stat, value in zip(stats, now, strict=True):
                gauge.add_metric([stat.name], value)
            yield gauge
        jobs = CounterMetricFamily("antiphon_engine_jobs", "Jobs by how they ended", labels=["model", "outcome"])
        for stat in stats:
            for outcome in ("completed", "failed", "cancelled", "rejected", "expired"):
                jobs.add_metric([stat.name, outcome], getattr(stat, outcome))
        yield jobs
        for name, text, distributions in (
            ("wait_seconds", "Time that jobs waited for their first call", [stat.wait_s for stat in stats]),
            ("service_seconds", "Time that a call held a worker", [stat.service_s for stat in stats]),
            ("batch_size", "Jobs of a call", [stat.batch_size for stat in stats]),
        ):
            histogram = HistogramMetricFamily(f"antiphon_engine_{name}", text, labels=["model"])
            for stat, distribution in zip(stats, distributions, strict=True):
                histogram.add_metric([stat.name], distribution.buckets(), distribution.sum)
            yield histogram


class TurnMetrics:
    """Observes how long turns took, part by part."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._latency_s = Histogram(
            "antiphon_turn_latency_seconds",
            "From the end of the user's speech to the first sound of the answer, by stage; total is all",
            ["stage"],
            buckets=_LATENCY_BUCKETS_S,
            registry=registry,
        )

    def observe(self, _session_id: str, moments: TurnMoments) -> None:
        """Count one turn: the stages it reached, and their sum if it was answered."""
        latency = moments.latency
        for stage, stage_ms in (
            ("decision", latency.decision_ms),
            ("final", latency.final_ms),
            ("queued", latency.queued_ms),
            ("acked", latency.acked_ms),
            ("total", None if latency.queued_ms is None else latency.total_ms),
        ):
            if stage_ms is not None:
                self._latency_s.labels(stage).observe(stage_ms / 1000)


class SessionMetrics(Collector):
    """Reads what sessions count when it is asked for."""

    def __init__(self, sessions: SessionManager) -> None:
        self._sessions = sessions

    def collect(self) -> Iterator[Metric]:
        """Open sessions, and what their partial and final transcripts cost and were worth."""
        yield GaugeMetricFamily("antiphon_sessions_open", "Sessions that are open", value=self._sessions.live_count)
        counts = self._sessions.recognition
        for name, text, value in (
            ("partial_words_emitted", "Words of partial transcripts, when first published", counts.emitted_words),
            ("partial_words_revised", "Those that a later partial took back or changed", counts.revised_words),
            ("finals_begun", "Final transcripts begun: one at each silence that may be the end", counts.finals_begun),
            ("finals_dropped", "Those dropped because the user went on", counts.finals_dropped),
        ):
            yield CounterMetricFamily(f"antiphon_{name}", text, value=value)


class WebhookMetrics(Collector):
    """Reads what webhooks count when it is asked for."""

    def __init__(self, webhooks: Webhooks) -> None:
        self._webhooks = webhooks

    def collect(self) -> Iterator[Metric]:
        """Messages that wait, and those that have ended."""
        yield GaugeMetricFamily("antiphon_webhooks_queued", "Messages that wait", value=self._webhooks.queued)
        ended = CounterMetricFamily("antiphon_webhooks", "Messages by how they ended", labels=["outcome"])
        ended.add_metric(["delivered"], self._webhooks.delivered)
        ended.add_metric(["dead"], self._webhooks.dead)
        yield ended


class Metrics:
    """Everything ``/metrics`` shows."""

    def __init__(self, host: EngineHost, sessions: SessionManager, webhooks: Webhooks) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self.http = HttpMetrics(self._registry)
        self.loop_lag = LoopLag(self._registry)
        self._registry.register(EngineMetrics(host))
        self._registry.register(SessionMetrics(sessions))
        sessions.observe(TurnMetrics(self._registry).observe)
        self._registry.register(WebhookMetrics(webhooks))

    def exposition(self) -> bytes:
        """The text format of Prometheus."""
        return generate_latest(self._registry)
