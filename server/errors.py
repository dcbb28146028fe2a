"""Failures on the wire: every error response of the HTTP API has the shape of :class:`schemas.errors.ErrorBody`."""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import Any, Final, cast

import structlog
from litestar import MediaType, Request, Response
from litestar.datastructures import State
from litestar.exceptions import HTTPException, ValidationException
from litestar.openapi.datastructures import ResponseSpec
from litestar.types import Scope

from schemas.errors import ErrorBody, ErrorCode, ErrorDetail, SpeechError, codes_by_status

_log = structlog.stdlib.get_logger("antiphon.server")

HttpRequest = Request[object, object, State]


_OF_THE_GATE: Final = (401, 403, 429)
"""What an operation can answer before it begins: ``server.http.gate``."""

_CODES_BY_STATUS: Final = {
    400: ErrorCode.INVALID_REQUEST,
    403: ErrorCode.FORBIDDEN,
    404: ErrorCode.NOT_FOUND,
    405: ErrorCode.METHOD_NOT_ALLOWED,
    413: ErrorCode.BODY_TOO_LARGE,
    415: ErrorCode.UNSUPPORTED_CONTENT_TYPE,
}


def error_responses(*statuses: int) -> dict[int, ResponseSpec]:
    """The error responses of an operation that is not for everyone, for the OpenAPI document."""
    return {
        status: ResponseSpec(
            ErrorBody, description=f"Codes: {', '.join(codes_by_status(status))}", generate_examples=False
        )
        for status in sorted({*_OF_THE_GATE, *statuses})
    }


def error_body(error: SpeechError, request_id: str | None = None) -> ErrorBody:
    """The error as the body of a response, or as data of an ``error`` event in a stream."""
    return ErrorBody(
        ErrorDetail(
            message=error.message,
            type=error.type,
            param=error.param,
            code=error.code,
            retryable=error.retryable,
            retry_after_s=error.retry_after_s,
            request_id=request_id,
        )
    )


def error_headers(error: SpeechError) -> dict[str, str]:
    """Headers that say whether and when to try again.

    OpenAI's clients retry statuses 409 and 5xx on their own unless ``x-should-retry`` says otherwise.
    """
    headers = {"x-should-retry": "true" if error.retryable else "false"}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(math.ceil(error.retry_after_s))
    return headers


def speech_error_from(error: Exception, *, method: str, path: str) -> SpeechError:
    """Any exception as the :class:`SpeechError` that the caller gets to see."""
    match error:
        case SpeechError():
            return error
        case ValidationException():
            return _validation_error(error)
        case HTTPException(status_code=404):
            return SpeechError(ErrorCode.NOT_FOUND, f"There is no {path} here. See /docs for what there is.")
        case HTTPException(status_code=405):
            return SpeechError(
                ErrorCode.METHOD_NOT_ALLOWED, f"{path} does not take {method}. See /docs for what it takes."
            )
        case HTTPException(status_code=413):
            return SpeechError(ErrorCode.BODY_TOO_LARGE, "The body is larger than this server takes.")
        case HTTPException(status_code=status, detail=detail) if status in _CODES_BY_STATUS:
            return SpeechError(_CODES_BY_STATUS[HTTPStatus(status)], detail)
        case _:
            return SpeechError(
                ErrorCode.INTERNAL, "Something failed inside the server. Its log has the details, by request id."
            )


def _validation_error(error: ValidationException) -> SpeechError:
    # Of path and query parameters; bodies are decoded in server.http.bodies.
    problems = cast("list[dict[str, str]]", error.extra or [])
    if not problems:
        return SpeechError(ErrorCode.INVALID_REQUEST, error.detail)
    text = "; ".join(f"{problem.get('key')}: {problem.get('message')}" for problem in problems)
    return SpeechError(ErrorCode.INVALID_REQUEST, f"{text}.", param=problems[0].get("key"))


def request_id_of(scope: Scope) -> str | None:
    """The id that the front door gave to this request."""
    return cast("dict[str, Any]", scope).get("state", {}).get("request_id")


def handle_error(request: HttpRequest, error: Exception) -> Response[ErrorBody]:
    """Litestar's exception handler for everything."""
    failure = speech_error_from(error, method=request.method, path=request.url.path)
    if failure.code is ErrorCode.INTERNAL:
        _log.error("request_failed", exc_info=error)
    headers = error_headers(failure)
    if isinstance(error, HTTPException) and (allowed := (error.headers or {}).get("allow")):
        headers["Allow"] = allowed  # of the router: RFC 9110 asks for it with 405
    return Response(
        error_body(failure, request_id_of(request.scope)),
        status_code=failure.http_status,
        headers=headers,
        media_type=MediaType.JSON,
    )
