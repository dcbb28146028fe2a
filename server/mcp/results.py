"""Results of tools as content: text for the model, the same as data for programs, links to what belongs to it."""

from __future__ import annotations

import msgspec
from mcp_types import AudioContent, CallToolResult, ContentBlock, ResourceLink, TextContent
from msgspec import Struct
from msgspec.structs import replace

from schemas.sessions import SpeechStatus
from schemas.tools import OpenSessionOutput, SayInput, SayOutput, SynthesizeOutput
from server.mcp import uris


def result_of(arguments: Struct, result: Struct) -> CallToolResult:
    """A tool's result.

    Args:
        arguments: What the tool was called with.
        result: What it returned.
    """
    beside: list[ContentBlock] = []
    match arguments, result:
        case _, SynthesizeOutput(audio_id=str(audio_id)):
            beside.append(
                ResourceLink(
                    uri=uris.AUDIO.expand({"audio_id": audio_id}),
                    name=f"{audio_id}.{result.format.value}",
                    description=f"{result.duration_s:.1f} s of speech",
                    mime_type=result.content_type,
                )
            )
        case _, SynthesizeOutput(audio=str(audio)):
            beside.append(AudioContent(data=audio, mime_type=result.content_type))
            result = replace(result, audio=None)
        case _, OpenSessionOutput(session_id=session_id):
            beside.append(
                ResourceLink(
                    uri=uris.CONVERSATION.expand({"session_id": session_id}),
                    name="conversation",
                    description="What was said and heard so far",
                    mime_type="application/json",
                )
            )
        case SayInput(session_id=session_id), SayOutput(item_id=item_id) if result.status is not SpeechStatus.QUEUED:
            beside.append(
                ResourceLink(
                    uri=uris.AGENT_AUDIO.expand({"session_id": session_id, "item_id": item_id}),
                    name=f"{item_id}.wav",
                    description="What the agent said",
                    mime_type="audio/wav",
                )
            )
        case _:
            pass
    return CallToolResult(
        content=[TextContent(text=msgspec.json.encode(result).decode()), *beside],
        structured_content=msgspec.to_builtins(result),
    )
