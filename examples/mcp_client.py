"""An agent's side of the Model Context Protocol, without the model: what there is, a file, and a conversation.

Run it beside a server (``antiphon serve``)::

    python examples/mcp_client.py

The official SDK does the protocol: ``pip install mcp``. A recording stands for the user's microphone.
"""

from __future__ import annotations

import argparse
import base64
import os
from pathlib import Path
from typing import Any

import anyio
import httpx
from mcp import Client
from mcp_types import BlobResourceContents, ResourceLink

RECORDING = Path(__file__).parent / "invention-of-printing.flac"


async def main(url: str) -> None:
    """Ask what there is, make a file, hold one exchange."""
    async with Client(f"{url}/mcp") as agent:
        tools = (await agent.list_tools()).tools
        print(f"{len(tools)} tools over {agent.protocol_version}: {', '.join(tool.name for tool in tools)}")

        spoken = await called(agent, "synthesize", text="Agents get a link to audio, not the audio.", format="mp3")
        (link,) = (content for content in spoken.content if isinstance(content, ResourceLink))
        (file,) = (await agent.read_resource(link.uri)).contents
        assert isinstance(file, BlobResourceContents)
        print(f"{link.uri[:20]}… is {len(base64.b64decode(file.blob))} bytes of {file.mime_type}")

        session: dict[str, Any] = (await called(agent, "open_session", language="en")).structured_content
        session_id = session["session_id"]
        heard: Any = None
        async with httpx.AsyncClient(base_url=url, timeout=60) as microphone, anyio.create_task_group() as tasks:
            tasks.start_soon(speak, microphone, session_id)
            heard = await called(agent, "listen", session_id=session_id)
        print(f"user: {heard.structured_content['turn']['text']}")

        said = await called(agent, "say", session_id=session_id, text="I heard you.")
        print(f"agent, as it was heard: {said.structured_content['heard_text']}")
        await called(agent, "close_session", session_id=session_id)


async def called(agent: Client, name: str, /, **arguments: Any) -> Any:  # noqa: ANN401  any tool's result
    """The result of a tool; progress is shown while it works."""
    result = await agent.call_tool(name, arguments, progress_callback=show)
    if result.is_error:
        raise SystemExit(f"{name}: {result.content[0]}")
    return result


async def show(progress: float, total: float | None, message: str | None) -> None:  # noqa: ARG001
    """What happens meanwhile."""
    if message:
        print(f"  … {message}")


async def speak(microphone: httpx.AsyncClient, session_id: str) -> None:
    """The user's turn."""
    response = await microphone.post(
        f"/v1/sessions/{session_id}/audio", content=RECORDING.read_bytes(), headers={"Content-Type": "audio/flac"}
    )
    response.raise_for_status()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Use Antiphon over the Model Context Protocol.")
    parser.add_argument("--url", default=os.environ.get("ANTIPHON_URL", "http://127.0.0.1:8080"), help="the server")
    anyio.run(main, parser.parse_args().url)
