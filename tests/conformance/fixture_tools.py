"""Tools that the conformance suite calls."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, Final

import anyio
from fixture_inputs import accepted, asked, form
from fixture_resources import PIXEL_PNG
from mcp.shared.exceptions import MCPError
from mcp.shared.message import ServerMessageMetadata
from mcp_types import (
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    AudioContent,
    CallToolRequestParams,
    CallToolResult,
    ClientCapabilities,
    CreateMessageRequest,
    CreateMessageRequestParams,
    CreateMessageResult,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    EmbeddedResource,
    ImageContent,
    InputRequest,
    InputRequiredResult,
    ListRootsRequest,
    ListRootsResult,
    LoggingMessageNotification,
    LoggingMessageNotificationParams,
    MissingRequiredClientCapabilityErrorData,
    SamplingCapability,
    SamplingMessage,
    TextContent,
    TextResourceContents,
    Tool,
)

from server.mcp.services import RequestContext

Result = CallToolResult | InputRequiredResult
Fixture = Callable[[RequestContext, CallToolRequestParams], Awaitable[Result]]

_STEP_S: Final = 0.05
_SILENT_WAV: Final = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQIAAAAAAA=="
"""One sample at 8 kHz."""
_NAME: Final = ("What is your name?", {"name": "string"})


async def call_tool(context: RequestContext, params: CallToolRequestParams) -> Result | None:
    """The result of a tool of the suite; ``None`` for others."""
    fixture = _FIXTURES.get(params.name)
    return None if fixture is None else await fixture(context, params)


def _text(*texts: str) -> CallToolResult:
    return CallToolResult(content=[TextContent(text=text) for text in texts])


# Content


async def _simple_text(_context: RequestContext, _params: CallToolRequestParams) -> Result:
    return _text("This is a simple text response for testing.")


async def _image(_context: RequestContext, _params: CallToolRequestParams) -> Result:
    return CallToolResult(content=[ImageContent(data=PIXEL_PNG, mime_type="image/png")])


async def _audio(_context: RequestContext, _params: CallToolRequestParams) -> Result:
    return CallToolResult(content=[AudioContent(data=_SILENT_WAV, mime_type="audio/wav")])


async def _embedded(_context: RequestContext, _params: CallToolRequestParams) -> Result:
    resource = TextResourceContents(
        uri="test://embedded-resource", mime_type="text/plain", text="This is an embedded resource content."
    )
    return CallToolResult(content=[EmbeddedResource(resource=resource)])


async def _mixed(_context: RequestContext, _params: CallToolRequestParams) -> Result:
    resource = TextResourceContents(
        uri="test://mixed-content-resource",
        mime_type="application/json",
        text=json.dumps({"test": "data", "value": 123}),
    )
    return CallToolResult(
        content=[
            TextContent(text="Multiple content types test:"),
            ImageContent(data=PIXEL_PNG, mime_type="image/png"),
            EmbeddedResource(resource=resource),
        ]
    )


async def _error(_context: RequestContext, _params: CallToolRequestParams) -> Result:
    text = "This tool intentionally returns an error for testing"
    return CallToolResult(content=[TextContent(text=text)], is_error=True)


# Messages on the way


async def _logging(context: RequestContext, _params: CallToolRequestParams) -> Result:
    for text in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await context.session.send_notification(
            LoggingMessageNotification(params=LoggingMessageNotificationParams(level="info", data=text)),
            related_request_id=context.request_id,
        )
        await anyio.sleep(_STEP_S)
    return _text("Three messages were logged.")


async def _quiet(_context: RequestContext, _params: CallToolRequestParams) -> Result:
    return _text("Nothing was logged: nobody had asked for it.")


async def _progress(context: RequestContext, _params: CallToolRequestParams) -> Result:
    for done in (0, 50, 100):
        await context.session.report_progress(done, 100)
        await anyio.sleep(_STEP_S)
    return _text("Progress was reported three times.")


# Requests to the client, by the rules of 2025-11-25


async def _sampling(context: RequestContext, params: CallToolRequestParams) -> Result:
    prompt = str((params.arguments or {})["prompt"])
    answer = await context.session.send_request(
        _sample(prompt, 100), CreateMessageResult, metadata=ServerMessageMetadata(related_request_id=context.request_id)
    )
    assert isinstance(answer.content, TextContent)
    return _text(f"LLM response: {answer.content.text}")


def _eliciting(properties: dict[str, Any], *, required: tuple[str, ...] = ()) -> Fixture:
    schema = {"type": "object", "properties": properties, "required": list(required)}

    async def elicit(context: RequestContext, params: CallToolRequestParams) -> Result:
        message = str((params.arguments or {}).get("message", "Please fill in the form."))
        answer = await context.session.send_request(
            ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema)),
            ElicitResult,
            metadata=ServerMessageMetadata(related_request_id=context.request_id),
        )
        return _text(f"User response: action={answer.action}, content={json.dumps(answer.content)}")

    return elicit


_DEFAULTS: Final[dict[str, Any]] = {
    "name": {"type": "string", "default": "John Doe"},
    "age": {"type": "integer", "default": 30},
    "score": {"type": "number", "default": 95.5},
    "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
    "verified": {"type": "boolean", "default": True},
}
_OPTIONS: Final = ["option1", "option2", "option3"]
_TITLED: Final = [{"const": f"value{number}", "title": f"Option {number}"} for number in (1, 2, 3)]
_ENUMS: Final[dict[str, Any]] = {
    "untitledSingle": {"type": "string", "enum": _OPTIONS},
    "titledSingle": {"type": "string", "oneOf": _TITLED},
    "legacyEnum": {"type": "string", "enum": _OPTIONS, "enumNames": ["Option 1", "Option 2", "Option 3"]},
    "untitledMulti": {"type": "array", "items": {"type": "string", "enum": _OPTIONS}},
    "titledMulti": {"type": "array", "items": {"anyOf": _TITLED}},
}


# Results that ask for input, by the rules of 2026-07-28


def _sample(prompt: str, max_tokens: int) -> CreateMessageRequest:
    message = SamplingMessage(role="user", content=TextContent(text=prompt))
    return CreateMessageRequest(params=CreateMessageRequestParams(messages=[message], max_tokens=max_tokens))


async def _input_form(_context: RequestContext, params: CallToolRequestParams) -> Result:
    name = accepted(params.input_responses, "user_name", "name")
    return asked(user_name=_NAME) if name is None else _text(f"Hello, {name}!")


async def _input_sample(_context: RequestContext, params: CallToolRequestParams) -> Result:
    answer = (params.input_responses or {}).get("capital_question")
    if isinstance(answer, CreateMessageResult) and isinstance(answer.content, TextContent):
        return _text(answer.content.text)
    return InputRequiredResult(input_requests={"capital_question": _sample("What is the capital of France?", 100)})


async def _input_roots(_context: RequestContext, params: CallToolRequestParams) -> Result:
    answer = (params.input_responses or {}).get("client_roots")
    if isinstance(answer, ListRootsResult):
        return _text(*(f"Root: {root.uri}" for root in answer.roots))
    return InputRequiredResult(input_requests={"client_roots": ListRootsRequest()})


async def _input_state(_context: RequestContext, params: CallToolRequestParams) -> Result:
    confirmed = accepted(params.input_responses, "confirm", "ok")
    if confirmed is None or params.request_state != "asked":
        return asked(confirm=("Please confirm", {"ok": "boolean"}), state="asked")
    return _text("state-ok")


async def _input_many(_context: RequestContext, params: CallToolRequestParams) -> Result:
    requests: dict[str, InputRequest] = {
        "user_name": form(_NAME),
        "greeting": _sample("Generate a greeting", 50),
        "client_roots": ListRootsRequest(),
    }
    if set(requests) <= set(params.input_responses or {}) and params.request_state == "asked":
        return _text("All input is there.")
    return InputRequiredResult(input_requests=requests, request_state="asked")


async def _input_rounds(_context: RequestContext, params: CallToolRequestParams) -> Result:
    color = accepted(params.input_responses, "step2", "color")
    if color is not None and params.request_state is not None:
        return _text(f"{params.request_state} likes {color}.")
    name = accepted(params.input_responses, "step1", "name")
    if name is not None:
        return asked(step2=("Step 2: What is your favorite color?", {"color": "string"}), state=str(name))
    return asked(step1=("Step 1: What is your name?", {"name": "string"}), state="nobody yet")


async def _input_allowed(context: RequestContext, params: CallToolRequestParams) -> Result:
    """Asks only in ways that the client said it understands."""
    capabilities = context.session.client_capabilities
    if params.input_responses:
        return _text("All input is there.")
    requests: dict[str, InputRequest] = {}
    if capabilities is not None and capabilities.sampling is not None:
        requests["greeting"] = _sample("Generate a greeting", 50)
    if capabilities is not None and capabilities.elicitation is not None:
        requests["user_name"] = form(_NAME)
    return InputRequiredResult(input_requests=requests) if requests else _text("There is no way to ask.")


async def _needs_sampling(context: RequestContext, _params: CallToolRequestParams) -> Result:
    capabilities = context.session.client_capabilities
    if capabilities is not None and capabilities.sampling is not None:
        return _text("The client can sample.")
    needed = MissingRequiredClientCapabilityErrorData(
        required_capabilities=ClientCapabilities(sampling=SamplingCapability())
    )
    raise MCPError(
        MISSING_REQUIRED_CLIENT_CAPABILITY,
        "This tool needs a client that can sample.",
        needed.model_dump(by_alias=True, mode="json", exclude_none=True),
    )


_FIXTURES: Final[dict[str, Fixture]] = {
    "test_simple_text": _simple_text,
    "test_image_content": _image,
    "test_audio_content": _audio,
    "test_embedded_resource": _embedded,
    "test_multiple_content_types": _mixed,
    "test_error_handling": _error,
    "test_tool_with_logging": _logging,
    "test_logging_tool": _quiet,
    "test_tool_with_progress": _progress,
    "test_sampling": _sampling,
    "test_elicitation": _eliciting(
        {"username": {"type": "string"}, "email": {"type": "string"}}, required=("username", "email")
    ),
    "test_elicitation_sep1034_defaults": _eliciting(_DEFAULTS),
    "test_elicitation_sep1330_enums": _eliciting(_ENUMS),
    "test_missing_capability": _needs_sampling,
    "test_streaming_elicitation": _input_form,
    "test_input_required_result_elicitation": _input_form,
    "test_input_required_result_sampling": _input_sample,
    "test_input_required_result_list_roots": _input_roots,
    "test_input_required_result_request_state": _input_state,
    "test_input_required_result_tampered_state": _input_state,
    "test_input_required_result_multiple_inputs": _input_many,
    "test_input_required_result_multi_round": _input_rounds,
    "test_input_required_result_capabilities": _input_allowed,
}
_ARGUMENTS: Final = {"test_sampling": "prompt", "test_elicitation": "message"}
"""Of the tools that take one."""


def _tool(name: str) -> Tool:
    argument = _ARGUMENTS.get(name)
    schema: dict[str, Any] = {"type": "object", "properties": {}}
    if argument is not None:
        schema = {"type": "object", "properties": {argument: {"type": "string"}}, "required": [argument]}
    return Tool(name=name, description=f"The suite's {name}", input_schema=schema)


TOOLS: Final = {name: _tool(name) for name in _FIXTURES}
