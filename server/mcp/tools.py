"""The tools of the registry as the protocol has them."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Final, assert_never

import msgspec
import structlog
from anyio import to_thread
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
from msgspec import Struct

from schemas.errors import ErrorCode, SpeechError
from schemas.principal import Principal
from schemas.tools import ToolAudio, ToolEvent, ToolProgress, ToolSegment
from server.callers import Callers
from server.idempotency import Answer, KeyedRequest
from server.mcp.results import result_of
from server.mcp.services import RequestContext, admitted, tool_context
from tools.export import mcp_tool
from tools.registry import TOOLS
from tools.tool import AnyTool, ToolContext

_log = structlog.stdlib.get_logger("antiphon.server")

ERROR_KEY: Final = "antiphon/error"
"""In ``_meta`` of a result that is an error: its code, and whether it helps to try again, for programs."""
IDEMPOTENCY_KEY: Final = "antiphon/idempotency-key"
"""In ``_meta`` of a call, what ``Idempotency-Key`` is of an HTTP request. The protocol has no word for it."""
REPLAYED_KEY: Final = "antiphon/idempotent-replayed"
"""In ``_meta`` of a result that was given before."""


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
            key = _idempotency_key(params)
            with admitted(context):
                own = tool_context(self._callers, context, self._client, _reporter(context))
                if key is not None:
                    return await self._once(key, tool, own, arguments)
                return result_of(arguments, await tool.run(own, arguments))
        except SpeechError as error:
            return _failed(error)
        except Exception:  # noqa: BLE001  the boundary: the model is told, the log has the details
            _log.exception("mcp_tool_failed", tool=params.name)
            return _failed(SpeechError(ErrorCode.INTERNAL, "Something failed inside the server."))

    async def _once(self, key: str, tool: AnyTool, own: ToolContext, arguments: Struct) -> CallToolResult:
        """The result of a call that may come again: each time the same."""
        fingerprint = await to_thread.run_sync(_fingerprint, arguments)
        keyed = KeyedRequest(own.principal.account, f"mcp:{tool.name}", key, fingerprint)
        async with self._callers.idempotency.attempt(keyed) as attempt:
            if attempt.answer is not None:
                result = CallToolResult.model_validate_json(attempt.answer.body)
                return result.model_copy(update={"meta": {**(result.meta or {}), REPLAYED_KEY: True}})
            try:
                result = result_of(arguments, await tool.run(own, arguments))
            except SpeechError as error:
                if error.retryable or error.http_status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                    raise  # it may yet succeed
                result = _failed(error)
            attempt.answer = Answer(fingerprint, result.model_dump_json(by_alias=True).encode())
            return result


def _idempotency_key(params: CallToolRequestParams) -> str | None:
    key: object = (params.meta or {}).get(IDEMPOTENCY_KEY)
    if key is None or isinstance(key, str):
        return key
    raise SpeechError(ErrorCode.INVALID_REQUEST, "An idempotency key is a text.", param=IDEMPOTENCY_KEY)


def _fingerprint(arguments: Struct) -> bytes:
    return hashlib.sha256(msgspec.json.encode(arguments)).digest()


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
