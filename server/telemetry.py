"""Spans, if the settings want them and the extra for them is there."""

from __future__ import annotations

from collections.abc import Sequence

from litestar.plugins import InitPlugin

from schemas.errors import ErrorCode, SpeechError
from server.settings import TelemetrySettings
from session.manager import SessionManager


def plugins(settings: TelemetrySettings, sessions: SessionManager) -> Sequence[InitPlugin]:
    """What makes spans of the application's requests and of the turns of its sessions; nothing if nobody wants any.

    Raises:
        SpeechError: ``missing_extra``.
    """
    if not settings.spans:
        return ()
    try:
        from server.spans import Spans  # noqa: PLC0415  only who wants spans has what it imports
    except ImportError as error:
        raise SpeechError(
            ErrorCode.MISSING_EXTRA,
            "Spans need the extra otel. Run: pip install 'antiphon[otel]', or set telemetry.spans to false.",
            param="telemetry.spans",
        ) from error
    spans = Spans()
    sessions.observe(spans.observe)
    return (spans.requests, spans)
