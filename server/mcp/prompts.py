"""Prompts: how an agent holds a spoken conversation, for those that have not read the documentation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    GetPromptRequestParams,
    GetPromptResult,
    ListPromptsResult,
    PaginatedRequestParams,
    Prompt,
    PromptArgument,
    PromptMessage,
    TextContent,
)
from msgspec import Struct

from server.mcp.services import RequestContext

_RULES: Final = """\
Rules of a spoken conversation:
- Speak in short sentences, one thought each, and ask one question at a time. No lists, headings, links or emoji; say \
numbers, dates and names the way people say them.
- After each say, keep heard_text as what you said. If status is interrupted, the user did not hear remaining_text: do \
not refer to it. user_turn is what they said meanwhile; answer that, and come back to the rest only if it still matters.
- If you need time to think, first say half a sentence with more=true, then the rest with append_to. Silence of more \
than two seconds sounds like a lost connection.
- A listen with status timeout means that the user was silent. Listen again once; then ask whether they are still there.
- A turn with an error was not understood. Say so, and ask them to repeat it.
- What you heard may be misrecognised. Confirm names, numbers and anything that cannot be undone, and read digits back.
- status closed means that the user has left: stop, and summarise what was agreed.
"""


class _Template(Struct, frozen=True, kw_only=True):
    prompt: Prompt
    write: Callable[[Mapping[str, str]], str]


def _conversation(given: Mapping[str, str]) -> str:
    settings = {key: given[key] for key in ("language", "voice") if given.get(key)}
    arguments = ", ".join(f"{key}={value!r}" for key, value in settings.items()) or "the defaults"
    return f"""\
Hold a spoken conversation with a person. Your task in it: {given["task"]}

1. Call open_session with {arguments}. Give the client with the user's microphone and loudspeaker the stream_path of \
the result (a WebSocket of this server); go on once it is connected.
2. Greet the user with say, and say in one sentence what this is about.
3. Call listen. Answer what you heard with say. Go on so, in turns, until the task is done or the user wants to stop.
4. Say goodbye with say, wait until it was heard, then call close_session.

{_RULES}"""


def _resumption(given: Mapping[str, str]) -> str:
    return f"""\
Take over the spoken conversation in session {given["session_id"]}.

1. Call get_conversation. Of the agent's turns count only heard_text: that is what the user knows of.
2. If the last turn is the user's, answer it with say; otherwise call listen first.
3. Go on in turns of listen and say. If the session is closed, say so here, and sum up what was agreed.

{_RULES}"""


def _speech_text(given: Mapping[str, str]) -> str:
    return f"""\
Rewrite the text below so that it can be listened to, then call synthesize with it and give me the link.

Write what a good speaker would say: short sentences, no markup, no lists, abbreviations and symbols in words. Do not \
add or leave out facts. Numbers, dates, units and sums of money may stay in digits: they are read out properly. Spell \
out how unusual names are said in the argument lexicon, and choose a voice of the text's language from list_voices.

{given["text"]}"""


def _argument(name: str, description: str, *, required: bool = False) -> PromptArgument:
    return PromptArgument(name=name, description=description, required=required)


_TEMPLATES: Final = {
    template.prompt.name: template
    for template in (
        _Template(
            prompt=Prompt(
                name="hold_conversation",
                title="Hold a spoken conversation",
                description="How to talk with a person, in turns, with interruptions.",
                arguments=[
                    _argument("task", "What the conversation is for, such as: take a pizza order.", required=True),
                    _argument("language", "ISO 639-1 code of the user's language, such as en. Detected if left out."),
                    _argument("voice", "Id of the agent's voice, from list_voices."),
                ],
            ),
            write=_conversation,
        ),
        _Template(
            prompt=Prompt(
                name="resume_conversation",
                title="Take over a conversation",
                description="How to go on with a session that another agent, or an earlier run, has begun.",
                arguments=[_argument("session_id", "Of the session, from open_session.", required=True)],
            ),
            write=_resumption,
        ),
        _Template(
            prompt=Prompt(
                name="read_aloud",
                title="Read a text aloud",
                description="Makes a text fit to be listened to, and speaks it into a file.",
                arguments=[_argument("text", "What is to be read.", required=True)],
            ),
            write=_speech_text,
        ),
    )
}


async def list_prompts(_context: RequestContext, _params: PaginatedRequestParams | None) -> ListPromptsResult:
    """Every prompt."""
    return ListPromptsResult(prompts=[template.prompt for template in _TEMPLATES.values()])


async def get_prompt(_context: RequestContext, params: GetPromptRequestParams) -> GetPromptResult:
    """A prompt, filled in.

    Raises:
        MCPError: There is no such prompt, or it lacks an argument.
    """
    template = _TEMPLATES.get(params.name)
    if template is None:
        message = f"There is no prompt {params.name[:64]!r}. There are: {', '.join(_TEMPLATES)}."
        raise MCPError(INVALID_PARAMS, message)
    given = params.arguments or {}
    arguments = template.prompt.arguments or []
    missing = [argument.name for argument in arguments if argument.required and not given.get(argument.name)]
    if missing:
        raise MCPError(INVALID_PARAMS, f"The prompt {params.name} needs {', '.join(missing)}.")
    unknown = sorted(set(given) - {argument.name for argument in arguments})
    if unknown:
        raise MCPError(INVALID_PARAMS, f"The prompt {params.name} does not take {', '.join(unknown)[:200]}.")
    return GetPromptResult(
        description=template.prompt.description,
        messages=[PromptMessage(role="user", content=TextContent(text=template.write(given)))],
    )
