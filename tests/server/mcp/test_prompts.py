from __future__ import annotations

import pytest
from mcp.client.client import Client
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, TextContent

from tools.registry import TOOLS

pytestmark = pytest.mark.anyio


async def prompt(agent: Client, name: str, **arguments: str) -> str:
    (message,) = (await agent.get_prompt(name, arguments)).messages
    assert message.role == "user"
    assert isinstance(message.content, TextContent)
    return message.content.text


async def test_prompts_are_listed_with_what_they_need(agent: Client) -> None:
    prompts = {entry.name: entry for entry in (await agent.list_prompts()).prompts}
    assert set(prompts) == {"hold_conversation", "resume_conversation", "read_aloud"}
    for entry in prompts.values():
        assert entry.title
        assert entry.description
        assert any(argument.required for argument in entry.arguments or [])


async def test_a_conversation_is_taught_with_its_task_and_the_tools_there_are(agent: Client) -> None:
    text = await prompt(agent, "hold_conversation", task="Take a pizza order.", language="it")
    assert "Take a pizza order." in text
    assert "language='it'" in text
    for tool in ("open_session", "listen", "say", "close_session"):
        assert tool in text
        assert TOOLS[tool]
    assert "heard_text" in text


async def test_a_conversation_needs_no_settings(agent: Client) -> None:
    assert "open_session with the defaults" in await prompt(agent, "hold_conversation", task="Chat.")


async def test_a_conversation_can_be_taken_over_and_a_text_read(agent: Client) -> None:
    assert "ses_1" in await prompt(agent, "resume_conversation", session_id="ses_1")
    assert (await prompt(agent, "read_aloud", text="Ten km.")).endswith("Ten km.")


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        ("sing", {}, "There are: hold_conversation"),
        ("hold_conversation", {}, "needs task"),
        ("hold_conversation", {"task": "x", "mood": "y"}, "does not take mood"),
    ],
)
async def test_a_prompt_that_cannot_be_written_is_an_error(
    agent: Client, name: str, arguments: dict[str, str], says: str
) -> None:
    with pytest.raises(MCPError, match=says) as caught:
        await agent.get_prompt(name, arguments)
    assert caught.value.code == INVALID_PARAMS
