"""What handlers of the Model Context Protocol work with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import Any, Final

from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server

from schemas.errors import ErrorCode, SpeechError
from schemas.principal import Principal
from schemas.tools import ToolEvent
from server.callers import Callers
from server.http.gate import INVALID_NOW, admission_of
from tools.tool import ToolContext, ignore_event

RequestContext = ServerRequestContext[Any, Any]
"""Of one request: who asks, and the way to tell them of its progress."""
McpServer = Server[Any]

PRINCIPAL_KEY: Final = "principal"
"""Of an HTTP request's state."""


def principal_of(context: RequestContext, client: Principal | None) -> Principal:
    """Who asks.

    Args:
        context: Of the request.
        client: Who asks where there is no HTTP request that says so; ``None`` if nobody may.

    Raises:
        SpeechError: ``unauthenticated``.
    """
    if context.request is None:
        if client is None:
            raise SpeechError(ErrorCode.UNAUTHENTICATED, "This server takes HTTP requests alone: they say who asks.")
        return client
    principal = context.request.scope["state"][PRINCIPAL_KEY]
    assert isinstance(principal, Principal)
    return principal


@contextmanager
def admitted(context: RequestContext) -> Generator[None]:
    """For work that a client's going away does not end, as over 2025-11-25: it counts as the request that began it.

    Raises:
        SpeechError: ``unauthenticated``, if the key or token ceased to be valid inside the block.
    """
    if context.request is None:
        yield
        return
    with admission_of(context.request.scope).held() as validity:
        yield
    if validity.cancelled_caught:
        raise SpeechError(ErrorCode.UNAUTHENTICATED, INVALID_NOW)


def tool_context(
    callers: Callers,
    context: RequestContext,
    client: Principal | None,
    emit: Callable[[ToolEvent], Awaitable[None]] = ignore_event,
) -> ToolContext:
    """For one call of a tool, in the name of who asks."""
    # Clients put what is inline into the model's context, or drop it. And an id that a model has got hold of, wherever
    # it came from, must lead to nobody else's conversation.
    return callers.tool_context(principal_of(context, client), emit, audio_as="link", alone=True)
