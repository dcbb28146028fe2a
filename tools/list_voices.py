"""The tool ``list_voices``: who can speak."""

from __future__ import annotations

from typing import Final

from schemas import examples
from schemas.principal import Scope
from schemas.tools import ListVoicesInput, ListVoicesOutput, ToolAnnotations
from tools.tool import Tool, ToolContext


async def _list_voices(context: ToolContext, arguments: ListVoicesInput) -> ListVoicesOutput:
    voices = context.host.voices()
    wanted = arguments.language
    return ListVoicesOutput(
        voices=tuple(voice for voice in voices if wanted is None or _is_language(voice.language, wanted)),
        default=voices[0].id if voices else None,
    )


def _is_language(tag: str, wanted: str) -> bool:
    """Whether a BCP 47 tag is the one wanted or a kind of it, as ``en-US`` is of ``en``."""
    tag, wanted = tag.lower(), wanted.replace("_", "-").lower()
    return tag == wanted or tag.startswith(f"{wanted}-")


TOOL: Final = Tool(
    name="list_voices",
    title="List the voices",
    description="Lists the voices that synthesize, say and open_session can use, with their languages.",
    scope=Scope.AUDIO,
    input=ListVoicesInput,
    output=ListVoicesOutput,
    handler=_list_voices,
    example=(
        ListVoicesInput(language="en"),
        ListVoicesOutput(voices=(examples.VOICE,), default=examples.VOICE.id),
    ),
    annotations=ToolAnnotations(read_only=True, idempotent=True, open_world=False),
)
