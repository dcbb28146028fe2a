"""A server that passes everything on to another one."""

from __future__ import annotations

from typing import cast

from mcp.client.client import Client
from mcp.server.lowlevel import Server
from mcp_types import (
    CallToolRequestParams,
    CallToolResult,
    GetPromptRequestParams,
    GetPromptResult,
    ListPromptsResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListToolsResult,
    PaginatedRequestParams,
    ReadResourceRequestParams,
    ReadResourceResult,
    RequestParamsMeta,
)

from server.mcp.services import McpServer, RequestContext
from server.mcp.tools import IDEMPOTENCY_KEY


def bridge(client: Client) -> McpServer:
    """A server that answers with what another one says, to whichever revision its own client speaks.

    Progress comes through, and a call that is cancelled here is cancelled there.

    Args:
        client: Of the other one, connected.
    """

    async def list_tools(_context: RequestContext, params: PaginatedRequestParams | None) -> ListToolsResult:
        return await client.list_tools(cursor=_cursor(params))

    async def call_tool(context: RequestContext, params: CallToolRequestParams) -> CallToolResult:
        key: object = (params.meta or {}).get(IDEMPOTENCY_KEY)
        return await client.call_tool(
            params.name,
            params.arguments,
            progress_callback=context.session.report_progress,
            meta=None if key is None else cast("RequestParamsMeta", {IDEMPOTENCY_KEY: key}),
        )

    async def list_resources(_context: RequestContext, params: PaginatedRequestParams | None) -> ListResourcesResult:
        return await client.list_resources(cursor=_cursor(params))

    async def list_templates(
        _context: RequestContext, params: PaginatedRequestParams | None
    ) -> ListResourceTemplatesResult:
        return await client.list_resource_templates(cursor=_cursor(params))

    async def read_resource(_context: RequestContext, params: ReadResourceRequestParams) -> ReadResourceResult:
        return await client.read_resource(params.uri)

    async def list_prompts(_context: RequestContext, params: PaginatedRequestParams | None) -> ListPromptsResult:
        return await client.list_prompts(cursor=_cursor(params))

    async def get_prompt(_context: RequestContext, params: GetPromptRequestParams) -> GetPromptResult:
        return await client.get_prompt(params.name, params.arguments)

    info = client.server_info
    return Server(
        info.name if info is not None else "antiphon",
        title=info.title if info is not None else None,
        version=info.version if info is not None else "",
        description=info.description if info is not None else None,
        instructions=client.instructions,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_list_resources=list_resources,
        on_list_resource_templates=list_templates,
        on_read_resource=read_resource,
        on_list_prompts=list_prompts,
        on_get_prompt=get_prompt,
    )


def _cursor(params: PaginatedRequestParams | None) -> str | None:
    return None if params is None else params.cursor
