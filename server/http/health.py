"""Whether the process is up, whether it can serve, and what it measures."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final, Literal

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from msgspec import Struct
from prometheus_client import CONTENT_TYPE_LATEST

from schemas.principal import Scope
from server.errors import error_responses
from server.http.gate import PUBLIC, needs
from server.metrics import Metrics
from server.warmup import Warmup


class Health(Struct, frozen=True):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Readiness(Struct, frozen=True, kw_only=True):
    """Whether requests can be served."""

    status: Literal["ready", "loading", "not_ready"]
    problems: tuple[str, ...] = ()
    """What to do about it."""


@get(
    "/healthz",
    operation_id="health",
    opt=PUBLIC,
    summary="Is the process up?",
    tags=["health"],
    sync_to_thread=False,
)
def healthz() -> Health:
    """Answers as long as the event loop runs."""
    return Health()


@get(
    "/readyz",
    operation_id="readiness",
    opt=PUBLIC,
    summary="Can requests be served?",
    description="503 while models are loaded at start, and as long as one is missing.",
    tags=["health"],
    responses={503: ResponseSpec(Readiness, description="Not yet, and why", generate_examples=False)},
    sync_to_thread=False,
)
def readyz(warmup: NamedDependency[Warmup]) -> Response[Readiness]:
    """Says what is missing."""
    problems = [
        *(f"No {kind.value} model is installed. Run: antiphon models pull --default" for kind in warmup.missing()),
        *(f"The model {name} could not be loaded: {message}" for name, message in warmup.failures.items()),
    ]
    if problems:
        readiness = Readiness(status="not_ready", problems=tuple(problems))
    else:
        readiness = Readiness(status="ready" if warmup.done else "loading")
    is_ready = readiness.status == "ready"
    return Response(readiness, status_code=HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE)


@get(
    "/metrics",
    operation_id="metrics",
    opt=needs(Scope.METRICS),
    summary="Prometheus metrics",
    tags=["health"],
    media_type=CONTENT_TYPE_LATEST,
    responses=error_responses(400),
    sync_to_thread=False,
)
def metrics_text(metrics: NamedDependency[Metrics]) -> bytes:
    """The text format of Prometheus."""
    return metrics.exposition()


ROUTES: Final = (healthz, readyz, metrics_text)
