"""The tools there are, and the one way to call them.

A new tool is a module with a ``TOOL`` and a line in :data:`TOOLS`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, cast

from msgspec import Struct

from schemas.errors import ErrorCode, SpeechError
from schemas.validation import converted, json_object
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
        """A tool's arguments, checked. Null stands for an argument that was left out, as strict function calling needs.

        Raises:
            SpeechError: ``unknown_tool``; ``invalid_json``; ``invalid_request``, which names the field and what is
                allowed.
        """
        kind: type[Struct] = self[name].input
        given = json_object(arguments) if isinstance(arguments, bytes) else arguments
        return converted(_without_nulls(given), kind)

    async def call(self, name: str, arguments: Arguments, context: ToolContext) -> Struct:
        """The result of a tool.

        Raises:
            SpeechError: As :meth:`decode`, and whatever the tool raises.
        """
        return await self[name].run(context, self.decode(name, arguments))


def _without_nulls(arguments: Mapping[str, object]) -> dict[str, object]:
    """Arguments without fields that are null, at any depth. No argument means anything else by it."""
    given: dict[str, object] = {}
    for name, value in arguments.items():
        match value:
            case None:
                continue
            case dict():
                given[name] = _without_nulls(cast("dict[str, object]", value))
            case list():
                items = cast("list[object]", value)
                given[name] = [
                    _without_nulls(cast("dict[str, object]", item)) if isinstance(item, dict) else item
                    for item in items
                ]
            case _:
                given[name] = value
    return given


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
