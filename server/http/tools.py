"""``GET /v1/tools`` and ``POST /v1/tools/{name}``: an operation for each tool of the registry."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Final

import msgspec
from litestar import MediaType, Response, get, post
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, QueryParameter
from litestar.types import ASGIApp
from msgspec import Struct

from schemas.tools import ToolEvent, ToolList
from server.callers import Callers
from server.errors import HttpRequest, error_responses
from server.http.bodies import json_bytes
from server.http.gate import needs, principal_of
from server.http.streams import SendEvent, as_asgi, encoded_event, produced_events, until_disconnected
from server.settings import Settings
from tools.export import ToolFormat, exported
from tools.registry import TOOLS
from tools.schema import tool_info
from tools.tool import AnyTool, ignore_event

Emit = Callable[[ToolEvent], Awaitable[None]]


@get(
    "/v1/tools",
    operation_id="listTools",
    opt=needs(),
    summary="List the tools",
    description=(
        "Names, descriptions and JSON Schemas, for the function calling of language models. With `format`, what "
        "`antiphon tools export` prints, whose shape is that of whoever is to call them."
    ),
    tags=["tools"],
    responses={**error_responses(400, 403), 200: ResponseSpec(ToolList, generate_examples=False)},
    sync_to_thread=False,
)
def list_tools(
    format: Annotated[ToolFormat | None, QueryParameter(description="Whose form to have the tools in.")] = None,  # noqa: A002  its name in the query
) -> Response[bytes]:
    """Every tool, in the order of the documentation."""
    body = _TOOL_LIST if format is None else exported(TOOLS, format)
    return Response(body, media_type=MediaType.JSON)


_TOOL_LIST: Final = msgspec.json.encode(ToolList(tools=tuple(tool_info(tool) for tool in TOOLS)))


@post("/v1/tools/{name:str}", opt=needs(), include_in_schema=False, sync_to_thread=False)
def call_unknown_tool(name: FromPath[str]) -> None:
    """Says which tools there are."""
    _ = TOOLS[name]


def _operation(tool: AnyTool) -> HTTPRouteHandler:
    @post(
        f"/v1/tools/{tool.name}",
        name=f"tool:{tool.name}",
        status_code=200,
        opt=needs(tool.scope),
        include_in_schema=False,  # tools.openapi describes it
    )
    async def call_tool(
        request: HttpRequest,
        callers: NamedDependency[Callers],
        settings: NamedDependency[Settings],
    ) -> ASGIApp:
        principal = principal_of(request.scope)
        arguments = TOOLS.decode(tool.name, await json_bytes(request))

        async def call(emit: Emit) -> Struct:
            return await tool.run(callers.tool_context(principal, emit), arguments)

        if "text/event-stream" in request.headers.get("accept", ""):
            return _event_stream(call, drain_s=settings.server.drain_s)
        result = await until_disconnected(request.receive, lambda: call(ignore_event))
        return as_asgi(Response(result, media_type=MediaType.JSON), request)

    return call_tool


def _event_stream(call: Callable[[Emit], Awaitable[Struct]], *, drain_s: float) -> ASGIApp:
    """A call as a stream of events. The response's end, whoever ends it, is the call's."""

    async def produce(send: SendEvent) -> None:
        async def emit(event: ToolEvent) -> None:
            await send(encoded_event(event, name=str(event.__struct_config__.tag)))

        await send(encoded_event(await call(emit), name="result"))

    return produced_events(produce, drain_s=drain_s)


ROUTES: Final = (list_tools, *(_operation(tool) for tool in TOOLS), call_unknown_tool)
