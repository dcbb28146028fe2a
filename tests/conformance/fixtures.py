"""What the conformance suite of the Model Context Protocol wants to meet on a server, beside what it does offer.

Only this folder knows of it: the application is built as ever, and its server's handlers are wrapped.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar

from fixture_prompts import PROMPTS, get_prompt
from fixture_resources import RESOURCES, TEMPLATES, read_resource
from fixture_tools import TOOLS, call_tool
from mcp.server.context import HandlerResult
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp_types import (
    CallToolRequestParams,
    CompleteRequestParams,
    CompleteResult,
    Completion,
    EmptyResult,
    GetPromptRequestParams,
    PaginatedRequestParams,
    ReadResourceRequestParams,
    RequestParams,
    SetLevelRequestParams,
    SubscribeRequestParams,
    UnsubscribeRequestParams,
)
from pydantic import BaseModel

from server.mcp.services import McpServer, RequestContext

Params = TypeVar("Params", bound=RequestParams)
Handler = Callable[[RequestContext, Params], Awaitable[BaseModel | None]]


def add_fixtures(server: McpServer) -> None:
    """Let a server have the suite's tools, resources and prompts too."""
    _extend_list(server, "tools/list", "tools", TOOLS)
    _extend_list(server, "resources/list", "resources", RESOURCES)
    _extend_list(server, "resources/templates/list", "resource_templates", TEMPLATES)
    _extend_list(server, "prompts/list", "prompts", PROMPTS)
    _before(server, "tools/call", CallToolRequestParams, call_tool)
    _before(server, "resources/read", ReadResourceRequestParams, read_resource)
    _before(server, "prompts/get", GetPromptRequestParams, get_prompt)
    server.add_request_handler("completion/complete", CompleteRequestParams, _complete)
    server.add_request_handler("logging/setLevel", SetLevelRequestParams, _accept)
    server.add_request_handler("resources/subscribe", SubscribeRequestParams, _accept)
    server.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, _accept)
    server.middleware.append(RequestStateBoundary(RequestStateSecurity.ephemeral(), default_audience=server.name))


def _extend_list(server: McpServer, method: str, field: str, more: Mapping[str, BaseModel]) -> None:
    entry = server.get_request_handler(method)
    assert entry is not None

    async def extended(context: RequestContext, params: PaginatedRequestParams) -> BaseModel:
        result: Any = await entry.handler(context, params)
        return result.model_copy(update={field: [*getattr(result, field), *more.values()]})

    server.add_request_handler(method, PaginatedRequestParams, extended)


def _before(server: McpServer, method: str, kind: type[Params], fixture: Handler[Params]) -> None:
    """The fixture answers first; ``None`` is left to the server."""
    entry = server.get_request_handler(method)
    assert entry is not None

    async def handler(context: RequestContext, params: Params) -> HandlerResult:
        result = await fixture(context, params)
        return result if result is not None else await entry.handler(context, params)

    server.add_request_handler(method, kind, handler)


_NOTHING: Final = CompleteResult(completion=Completion(values=[], total=0, has_more=False))


async def _complete(_context: RequestContext, _params: CompleteRequestParams) -> CompleteResult:
    return _NOTHING


async def _accept(_context: RequestContext, _params: RequestParams) -> EmptyResult:
    return EmptyResult()
