"""What a tool is, and what it is given to work with.

Above: :class:`tools.registry.ToolRegistry`, and through it every surface that offers tools (HTTP, the command line,
the documentation). Below: the engines and the sessions. A tool is one definition; its schema, endpoint, subcommand
and page are derived from it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

import anyio
from msgspec import Struct

from engines.codec.decoder import Decoder
from engines.host import EngineHost
from engines.public_http import Fetcher
from schemas.principal import Principal, Scope
from schemas.tools import MAX_SYNTHESIZE_CHARS, AudioAs, ToolAnnotations, ToolEvent
from session.own_sessions import OwnSessions
from tools.audio_shelf import AudioShelf

In = TypeVar("In", bound=Struct)
Out = TypeVar("Out", bound=Struct)


class ToolLimits(Struct, frozen=True, kw_only=True):
    """What one call may use. The length of audio is limited by the decoder."""

    max_text_chars: int = MAX_SYNTHESIZE_CHARS
    """Length of one text to synthesize."""
    engine_timeout_s: float = 300.0
    """How long a call may wait for an engine."""


async def ignore_event(_event: ToolEvent) -> None:
    """For callers who want the result alone."""


class ToolContext(Struct, frozen=True, kw_only=True, eq=False):
    """What handlers work with. One a call."""

    host: EngineHost
    decoder: Decoder
    sessions: OwnSessions
    fetcher: Fetcher = Fetcher()
    """Of audio by URL; left out, it refuses."""
    shelf: AudioShelf
    """For audio that results link to."""
    audio_as: AudioAs = "base64"
    """How audio is returned if the caller does not say."""
    limits: ToolLimits = ToolLimits()
    emit: Callable[[ToolEvent], Awaitable[None]] = ignore_event
    """Takes what is ready before the result is. It may wait: a slow reader slows the tool down."""

    @property
    def principal(self) -> Principal:
        """Who calls."""
        return self.sessions.principal

    def engine_deadline_s(self) -> float:
        """When an engine must have begun, on the clock of ``anyio.current_time()``."""
        return anyio.current_time() + self.limits.engine_timeout_s


class Tool(Struct, Generic[In, Out], frozen=True, kw_only=True, eq=False):
    """One tool.

    Its handler raises :class:`schemas.errors.SpeechError` for whatever a caller can meet, and stops its engines when
    it is cancelled.
    """

    name: str
    """In snake case."""
    title: str
    """For people."""
    description: str
    """For a language model that must choose: what it does, when to use it, what to do with the result."""
    scope: Scope
    """What its caller must be allowed to do."""
    input: type[In]
    output: type[Out]
    handler: Callable[[ToolContext, In], Awaitable[Out]]
    example: tuple[In, Out]
    """A call and its result, for documents."""
    annotations: ToolAnnotations

    async def run(self, context: ToolContext, arguments: In) -> Out:
        """The result, for a caller who may have it.

        Raises:
            SpeechError: ``insufficient_scope``, and whatever the handler raises.
        """
        context.principal.require(self.scope)
        return await self.handler(context, arguments)


AnyTool = Tool[Any, Any]
"""A tool of whatever arguments and result."""
