"""The tools of the registry as the protocol has them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, assert_never

import structlog
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
)

from schemas.errors import ErrorCode, SpeechError
from schemas.principal import Principal
from schemas.tools import ToolAudio, ToolEvent, ToolProgress, ToolSegment
from server.callers import Callers
from server.mcp.results import result_of
from server.mcp.services import RequestContext, admitted, tool_context
from tools.export import mcp_tool
from tools.registry import TOOLS

_log = structlog.stdlib.get_logger("antiphon.server")

ERROR_KEY: Final = "antiphon/error"
"""In ``_meta`` of a result that is an error: its code, and whether it helps to try again, for programs."""


class McpTools:
    """Handlers of ``tools/list`` and ``tools/call``.

    Args:
        callers: What the tools work with.
        client: Who calls where no HTTP request says so.
    """

    def __init__(self, callers: Callers, client: Principal | None) -> None:
        self._callers = callers
        self._client = client
        self._tools = [Tool.model_validate(mcp_tool(tool)) for tool in TOOLS]
        self._input_schemas = {tool.name: tool.input_schema for tool in self._tools}

    def input_schema(self, name: str) -> dict[str, Any] | None:
        """The schema of a tool's arguments; ``None`` if there is no such tool."""
        return self._input_schemas.get(name)

    async def list(self, _context: RequestContext, _params: PaginatedRequestParams | None) -> ListToolsResult:
        """Every tool, in the order of the documentation."""
        return ListToolsResult(tools=self._tools)

    async def call(self, context: RequestContext, params: CallToolRequestParams) -> CallToolResult:
        """The result of a tool. Its failures are results too: the model that called it can do something about them.

        Raises:
            MCPError: There is no such tool.
        """
        try:
            tool = TOOLS[params.name]
        except SpeechError as error:
            raise MCPError(INVALID_PARAMS, error.message) from error
        try:
            arguments = TOOLS.decode(params.name, params.arguments or {})
            with admitted(context):
                own = tool_context(self._callers, context, self._client, _reporter(context))
                return result_of(arguments, await tool.run(own, arguments))
        except SpeechError as error:
            return _failed(error)
        except Exception:  # noqa: BLE001  the boundary: the model is told, the log has the details
            _log.exception("mcp_tool_failed", tool=params.name)
            return _failed(SpeechError(ErrorCode.INTERNAL, "Something failed inside the server."))


def _failed(error: SpeechError) -> CallToolResult:
    info = error.info
    return CallToolResult(
        content=[TextContent(text=error.message)],
        is_error=True,
        _meta={
            ERROR_KEY: {
                "code": info.code.value,
                "retryable": info.retryable,
                "param": info.param,
                "retry_after_s": info.retry_after_s,
            }
        },
    )


def _reporter(context: RequestContext) -> Callable[[ToolEvent], Awaitable[None]]:
    """Tells the caller of a tool's progress; the SDK drops it if they did not ask for that."""
    text: str | None = None

    async def report(event: ToolEvent) -> None:
        nonlocal text
        match event:
            case ToolProgress():
                await context.session.report_progress(event.done_s, event.total_s, event.message or text)
                text = None
            case ToolSegment():
                text = event.segment.text
            case ToolAudio():
                pass
            case _:
                assert_never(event)

    return report
