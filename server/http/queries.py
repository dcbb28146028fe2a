"""Query parameters of the OpenAI audio API: there are none, so one that is sent is a mistake and not passed over."""

from __future__ import annotations

from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers.base import BaseRouteHandler

from schemas.errors import ErrorCode, SpeechError

_SHOWN_CHARS = 100


def no_query(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Guard of operations without query parameters.

    Raises:
        SpeechError: ``invalid_request``, naming the first.
    """
    for name in connection.query_params:
        shown = name[:_SHOWN_CHARS]
        raise SpeechError(
            ErrorCode.INVALID_REQUEST,
            f"{shown} is no query parameter of this operation: it has none. Send fields in the body.",
            param=shown,
        )
