"""The server of the Model Context Protocol: our tools, resources and prompts in its terms.

Above: :mod:`server.mcp.endpoint`, streamable HTTP inside the application, and ``antiphon mcp``, which speaks it on
standard input and output. Below: the tools' registry and the sessions. The official SDK does the protocol, in both
revisions: 2026-07-28, and 2025-11-25 for older clients.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Final

from mcp.server.caching import CacheHint
from mcp.server.lowlevel import Server

from schemas.principal import Principal
from server.callers import Callers
from server.mcp.prompts import get_prompt, list_prompts
from server.mcp.resources import McpResources
from server.mcp.services import McpServer
from server.mcp.tools import McpTools

INSTRUCTIONS: Final = """\
Antiphon hears and speaks. For recordings and texts use transcribe, detect_language and synthesize. To talk with a \
person, open_session, give the client with their microphone and loudspeaker the stream_path, and then take turns: \
listen returns what they said once they have finished, say speaks and returns what they heard of it. Keep heard_text, \
not the text you sent, as your part of the conversation: people interrupt, and do not know what they did not hear. \
Write as one speaks: short sentences, no lists, no markup. A listen that times out is no failure: listen again, or \
say something. Say goodbye before close_session.\
"""

_LASTING: Final = CacheHint(ttl_ms=3_600_000, scope="public")
"""What is the same for everybody until the server is restarted."""


def mcp_server(callers: Callers, client: Principal | None = None) -> McpServer:
    """A server over the engines and sessions of those who ask.

    Args:
        callers: What they work with.
        client: Who asks on standard input, where no request says so; left out, nobody can but over HTTP.
    """
    tools = McpTools(callers, client)
    resources = McpResources(callers, client)
    return Server(
        "antiphon",
        title="Antiphon",
        version=version("antiphon"),
        description="Speech recognition, synthesis and spoken conversations.",
        instructions=INSTRUCTIONS,
        cache_hints=dict.fromkeys(
            ("server/discover", "tools/list", "resources/list", "resources/templates/list", "prompts/list"), _LASTING
        ),
        get_tool_input_schema=tools.input_schema,
        on_list_tools=tools.list,
        on_call_tool=tools.call,
        on_list_resources=resources.list,
        on_list_resource_templates=resources.list_templates,
        on_read_resource=resources.read,
        on_list_prompts=list_prompts,
        on_get_prompt=get_prompt,
    )
