"""Query parameters: one that an operation does not have is a mistake, and not passed over, as with fields of bodies."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, Final

from litestar.connection import ASGIConnection
from litestar.handlers import HTTPRouteHandler
from litestar.handlers.base import BaseRouteHandler
from litestar.params import QueryParameter

from schemas.errors import ErrorCode, SpeechError

_SHOWN_CHARS: Final = 100


async def known_query(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Guard of all operations. What is there for everyone, as ``/healthz``, takes whatever monitors send.

    A coroutine that waits for nothing: a guard that is a plain function is called on a thread for each request.

    Raises:
        SpeechError: ``invalid_request``, naming the first that is unknown.
    """
    if isinstance(handler, HTTPRouteHandler) and not handler.opt.get("public"):
        require_known(connection.query_params, _names(handler))


def require_known(given: Iterable[str], known: Collection[str]) -> None:
    """Do nothing if all names of a query are known.

    Raises:
        SpeechError: ``invalid_request``, naming the first that is not.
    """
    for name in given:
        if name in known:
            continue
        shown = name[:_SHOWN_CHARS]
        there_are = f"there are: {', '.join(known)}" if known else "it has none. Send fields in the body"
        raise SpeechError(
            ErrorCode.INVALID_REQUEST, f"{shown} is no query parameter of this operation; {there_are}.", param=shown
        )


def _names(handler: HTTPRouteHandler) -> list[str]:
    parameters = handler.parsed_fn_signature.parameters.items()
    return [name for name, field in parameters if isinstance(field.kwarg_definition, QueryParameter)]
