"""The tools there are, and the one way to call them.

A new tool is a module with a ``TOOL`` and a line in :data:`TOOLS`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct

from schemas.errors import ErrorCode, SpeechError
from schemas.validation import converted, decoded_json
from tools import (
    close_session,
    detect_language,
    get_conversation,
    list_voices,
    listen,
    open_session,
    say,
    stop_speaking,
    synthesize,
    transcribe,
)
from tools.tool import AnyTool, ToolContext

Arguments = Mapping[str, object] | bytes
"""Plain data, or JSON."""


class ToolRegistry:
    """Tools by name, in the order given.

    Args:
        tools: Their names differ.
    """

    def __init__(self, tools: Sequence[AnyTool]) -> None:
        self._tools = {tool.name: tool for tool in tools}
        assert len(self._tools) == len(tools)

    def __iter__(self) -> Iterator[AnyTool]:
        return iter(self._tools.values())

    def __getitem__(self, name: str) -> AnyTool:
        """The tool of that name.

        Raises:
            SpeechError: ``unknown_tool``.
        """
        tool = self._tools.get(name)
        if tool is None:
            message = f"There is no tool {name[:64]!r}. There are: {', '.join(self._tools)}."
            raise SpeechError(ErrorCode.UNKNOWN_TOOL, message, param="name")
        return tool

    def decode(self, name: str, arguments: Arguments) -> Struct:
        """A tool's arguments, checked.

        Raises:
            SpeechError: ``unknown_tool``; ``invalid_json``; ``invalid_request``, which names the field and what is
                allowed.
        """
        kind: type[Struct] = self[name].input
        if isinstance(arguments, bytes):
            return decoded_json(arguments, kind)
        return converted(arguments, kind)

    async def call(self, name: str, arguments: Arguments, context: ToolContext) -> Struct:
        """The result of a tool.

        Raises:
            SpeechError: As :meth:`decode`, and whatever the tool raises.
        """
        return await self[name].run(context, self.decode(name, arguments))


TOOLS: Final = ToolRegistry(
    (
        transcribe.TOOL,
        synthesize.TOOL,
        detect_language.TOOL,
        list_voices.TOOL,
        open_session.TOOL,
        listen.TOOL,
        say.TOOL,
        stop_speaking.TOOL,
        get_conversation.TOOL,
        close_session.TOOL,
    )
)
"""The tools of this server."""
