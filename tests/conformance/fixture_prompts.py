"""Prompts that the conformance suite gets."""

from __future__ import annotations

from typing import Final

from fixture_inputs import accepted, asked
from fixture_resources import PIXEL_PNG
from mcp_types import (
    EmbeddedResource,
    GetPromptRequestParams,
    GetPromptResult,
    ImageContent,
    InputRequiredResult,
    Prompt,
    PromptArgument,
    PromptMessage,
    TextContent,
    TextResourceContents,
)

from server.mcp.services import RequestContext


def _prompt(name: str, *arguments: str) -> Prompt:
    return Prompt(
        name=name,
        description=f"The suite's {name}",
        arguments=[PromptArgument(name=argument, description=argument, required=True) for argument in arguments],
    )


PROMPTS: Final = {
    prompt.name: prompt
    for prompt in (
        _prompt("test_simple_prompt"),
        _prompt("test_prompt_with_arguments", "arg1", "arg2"),
        _prompt("test_prompt_with_embedded_resource", "resourceUri"),
        _prompt("test_prompt_with_image"),
        _prompt("test_input_required_result_prompt"),
    )
}


async def get_prompt(
    _context: RequestContext, params: GetPromptRequestParams
) -> GetPromptResult | InputRequiredResult | None:
    """A prompt of the suite; ``None`` for others."""
    given = params.arguments or {}
    match params.name:
        case "test_simple_prompt":
            return _said("This is a simple prompt for testing.")
        case "test_prompt_with_arguments":
            return _said(f"Prompt with arguments: arg1='{given['arg1']}', arg2='{given['arg2']}'")
        case "test_prompt_with_embedded_resource":
            embedded = EmbeddedResource(
                resource=TextResourceContents(
                    uri=given["resourceUri"], mime_type="text/plain", text="Embedded resource content for testing."
                )
            )
            return _said(embedded, "Please process the embedded resource above.")
        case "test_prompt_with_image":
            return _said(ImageContent(data=PIXEL_PNG, mime_type="image/png"), "Please analyze the image above.")
        case "test_input_required_result_prompt":
            context = accepted(params.input_responses, "user_context", "context")
            if context is None:
                return asked(user_context=("What context should the prompt use?", {"context": "string"}))
            return _said(f"Use this context: {context}")
        case _:
            return None


def _said(*contents: str | ImageContent | EmbeddedResource) -> GetPromptResult:
    return GetPromptResult(
        messages=[
            PromptMessage(role="user", content=TextContent(text=content) if isinstance(content, str) else content)
            for content in contents
        ]
    )
