"""A conversation's history, folded from its events. The same events always give the same history."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from schemas.events import SayEnded, SayStarted, SayText, ServerEvent, TurnAmended, TurnEnded, TurnLatencyMeasured
from schemas.sessions import AgentTurn, ConversationItem, SpeechStatus, UserTurn


class History:
    """Turns of the user and of the agent, in the order in which they began to be said."""

    def __init__(self, events: Iterable[ServerEvent] = ()) -> None:
        self._users: dict[int, UserTurn] = {}
        self._agents: dict[str, AgentTurn] = {}
        self._turns_before: dict[str, int] = {}
        self._order: list[int | str] = []
        for event in events:
            self.add(event)

    @property
    def items(self) -> tuple[ConversationItem, ...]:
        """The history so far."""
        return tuple(self._users[key] if isinstance(key, int) else self._agents[key] for key in self._order)

    def user_turns(self, after_turn: int) -> list[UserTurn]:
        """Complete turns of the user with a greater number, in order."""
        return [turn for number, turn in self._users.items() if number > after_turn]

    def turns_before(self, item_id: str) -> int:
        """The number of the user's last turn before the agent began this item; 0 if it has not begun."""
        return self._turns_before.get(item_id, 0)

    def agent_turn(self, item_id: str) -> AgentTurn | None:
        """One item of the agent."""
        return self._agents.get(item_id)

    def add(self, event: ServerEvent) -> None:
        """Take the next event into account."""
        match event:
            case TurnEnded():
                before = self._users.get(event.turn)
                if before is None:
                    self._order.append(event.turn)
                self._users[event.turn] = UserTurn(
                    turn=event.turn,
                    text=event.text,
                    language=event.language,
                    started_ms=event.started_ms,
                    ended_ms=event.ended_ms,
                    words=event.words,
                    latency=event.latency,
                    error=event.error,
                    revision=1 if before is None else before.revision + 1,
                    provisional=event.provisional,
                )
            case TurnAmended() if event.turn in self._users:
                self._users[event.turn] = replace(
                    self._users[event.turn],
                    text=event.text,
                    language=event.language,
                    words=event.words,
                    provisional=False,
                )
            case TurnLatencyMeasured():
                if event.turn in self._users:
                    self._users[event.turn] = replace(self._users[event.turn], latency=event.latency)
            case SayText():
                known = self._agent(event.item_id)
                self._agents[event.item_id] = replace(known, text=known.text + event.text)
            case SayStarted():
                self._turns_before[event.item_id] = max(self._users, default=0)
                self._agents[event.item_id] = replace(self._agent(event.item_id), status=SpeechStatus.SPEAKING)
            case SayEnded():
                self._agents[event.item_id] = replace(
                    self._agent(event.item_id),
                    status=event.status,
                    heard_text=event.heard_text,
                    remaining_text=event.remaining_text,
                    heard_ms=event.heard_ms,
                    heard_source=event.heard_source,
                    words=event.words,
                    error=event.error,
                )
            case _:
                pass

    def _agent(self, item_id: str) -> AgentTurn:
        """An item so far; new ones, and those whose beginning is no longer kept, begin here."""
        if item_id not in self._agents:
            self._agents[item_id] = AgentTurn(item_id=item_id, text="", status=SpeechStatus.QUEUED)
            self._order.append(item_id)
        return self._agents[item_id]
