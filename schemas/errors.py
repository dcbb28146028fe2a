"""Errors: one root, one table.

Every failure a caller can meet is a :class:`SpeechError` with a stable ``code``. What each code means on the
wire (HTTP status, whether a retry can help) stands in :data:`ERRORS` and nowhere else.

Messages are for people: they say what was wrong and what to do. They never hold paths of the server, tracebacks,
transcripts or secrets.
"""

from __future__ import annotations

from enum import StrEnum
from http import HTTPStatus
from typing import Final

from msgspec import Struct


class ErrorCode(StrEnum):
    """Stable names of failures. New ones may be added; none changes its meaning."""

    # The request itself
    INVALID_JSON = "invalid_json"
    INVALID_REQUEST = "invalid_request"
    UNSUPPORTED_CONTENT_TYPE = "unsupported_content_type"
    BODY_TOO_LARGE = "body_too_large"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    FORBIDDEN = "forbidden"
    # Who asks, and how much
    UNAUTHENTICATED = "unauthenticated"
    INSUFFICIENT_SCOPE = "insufficient_scope"
    QUOTA_EXCEEDED = "quota_exceeded"
    IDEMPOTENCY_MISMATCH = "idempotency_mismatch"
    # Audio
    EMPTY_AUDIO = "empty_audio"
    NO_AUDIO = "no_audio"
    INVALID_AUDIO = "invalid_audio"
    AUDIO_TOO_LONG = "audio_too_long"
    UNSUPPORTED_FORMAT = "unsupported_format"
    URL_REFUSED = "url_refused"
    FETCH_FAILED = "fetch_failed"
    # Text
    EMPTY_TEXT = "empty_text"
    TEXT_TOO_LONG = "text_too_long"
    # Names
    UNKNOWN_MODEL = "unknown_model"
    UNKNOWN_VOICE = "unknown_voice"
    UNKNOWN_TOOL = "unknown_tool"
    UNSUPPORTED_LANGUAGE = "unsupported_language"
    # Models on disk
    MODEL_NOT_INSTALLED = "model_not_installed"
    MODEL_CORRUPT = "model_corrupt"
    MODEL_DOWNLOAD_FAILED = "model_download_failed"
    MISSING_EXTRA = "missing_extra"
    LICENCE_NOT_ACCEPTED = "licence_not_accepted"
    CONSENT_REQUIRED = "consent_required"
    # Sessions
    UNKNOWN_SESSION = "unknown_session"
    SESSION_CLOSED = "session_closed"
    SESSION_BUSY = "session_busy"
    NOTHING_TO_COMMIT = "nothing_to_commit"
    TOO_MANY_SESSIONS = "too_many_sessions"
    EVENTS_EXPIRED = "events_expired"
    AUDIO_EXPIRED = "audio_expired"
    SLOW_CONSUMER = "slow_consumer"
    # The server
    OVERLOADED = "overloaded"
    DEADLINE_EXCEEDED = "deadline_exceeded"
    CANCELLED = "cancelled"
    SHUTTING_DOWN = "shutting_down"
    ENGINE_FAILED = "engine_failed"
    INTERNAL = "internal"
    # Settings, met only at start-up
    INVALID_SETTING = "invalid_setting"
    # Decision logs, met only by who replays one
    INVALID_LOG = "invalid_log"
    UNSUPPORTED_LOG = "unsupported_log"


class ErrorSpec(Struct, frozen=True):
    """What a code means on the wire."""

    http_status: int
    retryable: bool = False
    """Whether the same request can succeed later, unchanged."""


ERRORS: Final[dict[ErrorCode, ErrorSpec]] = {
    ErrorCode.INVALID_JSON: ErrorSpec(400),
    ErrorCode.INVALID_REQUEST: ErrorSpec(400),
    ErrorCode.UNSUPPORTED_CONTENT_TYPE: ErrorSpec(415),
    ErrorCode.BODY_TOO_LARGE: ErrorSpec(413),
    ErrorCode.NOT_FOUND: ErrorSpec(404),
    ErrorCode.METHOD_NOT_ALLOWED: ErrorSpec(405),
    ErrorCode.FORBIDDEN: ErrorSpec(403),
    ErrorCode.UNAUTHENTICATED: ErrorSpec(401),
    ErrorCode.INSUFFICIENT_SCOPE: ErrorSpec(403),
    ErrorCode.QUOTA_EXCEEDED: ErrorSpec(429, retryable=True),
    ErrorCode.IDEMPOTENCY_MISMATCH: ErrorSpec(422),
    ErrorCode.EMPTY_AUDIO: ErrorSpec(400),
    ErrorCode.NO_AUDIO: ErrorSpec(422),
    ErrorCode.INVALID_AUDIO: ErrorSpec(422),
    ErrorCode.AUDIO_TOO_LONG: ErrorSpec(413),
    ErrorCode.UNSUPPORTED_FORMAT: ErrorSpec(415),
    ErrorCode.URL_REFUSED: ErrorSpec(403),
    ErrorCode.FETCH_FAILED: ErrorSpec(502, retryable=True),
    ErrorCode.EMPTY_TEXT: ErrorSpec(400),
    ErrorCode.TEXT_TOO_LONG: ErrorSpec(413),
    ErrorCode.UNKNOWN_MODEL: ErrorSpec(404),
    ErrorCode.UNKNOWN_VOICE: ErrorSpec(404),
    ErrorCode.UNKNOWN_TOOL: ErrorSpec(404),
    ErrorCode.UNSUPPORTED_LANGUAGE: ErrorSpec(422),
    ErrorCode.MODEL_NOT_INSTALLED: ErrorSpec(503),
    ErrorCode.MODEL_CORRUPT: ErrorSpec(503),
    ErrorCode.MODEL_DOWNLOAD_FAILED: ErrorSpec(502, retryable=True),
    ErrorCode.MISSING_EXTRA: ErrorSpec(501),
    ErrorCode.LICENCE_NOT_ACCEPTED: ErrorSpec(503),
    ErrorCode.CONSENT_REQUIRED: ErrorSpec(403),
    ErrorCode.UNKNOWN_SESSION: ErrorSpec(404),
    ErrorCode.SESSION_CLOSED: ErrorSpec(409),
    ErrorCode.SESSION_BUSY: ErrorSpec(409, retryable=True),
    ErrorCode.NOTHING_TO_COMMIT: ErrorSpec(409),
    ErrorCode.TOO_MANY_SESSIONS: ErrorSpec(503, retryable=True),
    ErrorCode.EVENTS_EXPIRED: ErrorSpec(410),
    ErrorCode.AUDIO_EXPIRED: ErrorSpec(410),
    ErrorCode.SLOW_CONSUMER: ErrorSpec(409, retryable=True),
    ErrorCode.OVERLOADED: ErrorSpec(503, retryable=True),
    ErrorCode.DEADLINE_EXCEEDED: ErrorSpec(504, retryable=True),
    ErrorCode.CANCELLED: ErrorSpec(499),
    ErrorCode.SHUTTING_DOWN: ErrorSpec(503, retryable=True),
    ErrorCode.ENGINE_FAILED: ErrorSpec(500, retryable=True),
    ErrorCode.INTERNAL: ErrorSpec(500),
    ErrorCode.INVALID_SETTING: ErrorSpec(500),
    ErrorCode.INVALID_LOG: ErrorSpec(422),
    ErrorCode.UNSUPPORTED_LOG: ErrorSpec(422),
}


def codes_by_status(http_status: int) -> tuple[ErrorCode, ...]:
    """The codes of error responses with a status. Settings are wrong at start or never, so theirs is not one."""
    return tuple(
        code
        for code, spec in ERRORS.items()
        if spec.http_status == http_status and code is not ErrorCode.INVALID_SETTING
    )


class ErrorInfo(Struct, frozen=True):
    """An error as data, in events and results. Error responses have the shape of the OpenAI API: ErrorBody."""

    code: ErrorCode
    message: str
    retryable: bool
    param: str | None = None
    """The request field at fault, where there is one."""
    retry_after_s: float | None = None


class ErrorDetail(Struct, frozen=True, kw_only=True):
    """What went wrong."""

    message: str
    type: str
    """``invalid_request_error`` below status 500, else ``server_error``."""
    param: str | None
    """The request field at fault."""
    code: ErrorCode
    retryable: bool
    """Whether the same request can succeed later, unchanged."""
    retry_after_s: float | None = None
    request_id: str | None = None
    """Also the header ``X-Request-Id``, and in the server's log."""


class ErrorBody(Struct, frozen=True):
    """The body of every error response: that of the OpenAI API, ``{"error": {"message", "type", "param", "code"}}``.

    It has three more fields: ``retryable``, ``retry_after_s`` and ``request_id``. Clients of that API ignore what they
    do not know.
    """

    error: ErrorDetail


class SpeechError(Exception):
    """The root of every failure a caller can meet.

    Args:
        code: What failed, from the closed list above.
        message: What was wrong and what to do about it, for a person.
        param: The request field at fault.
        retry_after_s: Seconds after which a retry is likely to succeed; sent as ``Retry-After``.
    """

    def __init__(
        self, code: ErrorCode, message: str, *, param: str | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param
        self.retry_after_s = retry_after_s

    @property
    def retryable(self) -> bool:
        """Whether the same request can succeed later, unchanged."""
        return ERRORS[self.code].retryable

    @property
    def http_status(self) -> int:
        """The HTTP status of this code."""
        return ERRORS[self.code].http_status

    @property
    def type(self) -> str:
        """What OpenAI calls the type: whether the request was wrong or the server failed."""
        return "invalid_request_error" if self.http_status < HTTPStatus.INTERNAL_SERVER_ERROR else "server_error"

    @property
    def info(self) -> ErrorInfo:
        """The error as data."""
        return ErrorInfo(self.code, self.message, self.retryable, self.param, self.retry_after_s)
