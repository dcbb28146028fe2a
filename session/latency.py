"""The latency of a turn: where the time goes between the end of the user's speech and the agent's first sound.

Two clocks meet here. The end of speech and the decision lie on the session's clock, in samples received; all that
follows happens on the machine's, in microseconds. They are joined at the decision: the audio up to it had just come
in, so speech had ended as long before as there is silence in it. For audio that comes faster than it is spoken, from a
file, that is earlier than the real moment: the account is of what a speaker would feel.

Sans-I/O: times come in.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from schemas.events import SayAudio, SayEnded, ServerEvent, TurnEnded, TurnLatencyMeasured, TurnReopened
from schemas.sessions import TurnLatency
from session.turn_state import TurnState


class TurnMoments(Struct, frozen=True, kw_only=True):
    """One turn and its answer on the machine's monotonic clock, in microseconds. None lies before the one above it."""

    turn: int
    speech_end_us: int
    decided_us: int
    final_us: int
    queued_us: int | None = None
    acked_us: int | None = None
    item_id: str | None = None
    """What the agent answered."""

    @property
    def latency(self) -> TurnLatency:
        """The parts in whole milliseconds. Each is rounded where it begins and ends, so that they add up."""
        moments = (self.speech_end_us, self.decided_us, self.final_us, self.queued_us, self.acked_us)
        marks_ms = [None if moment is None else (moment - self.speech_end_us) // 1000 for moment in moments]
        _, decided_ms, final_ms, queued_ms, acked_ms = marks_ms
        assert decided_ms is not None
        assert final_ms is not None
        return TurnLatency(
            decision_ms=decided_ms,
            final_ms=final_ms - decided_ms,
            queued_ms=None if queued_ms is None else queued_ms - final_ms,
            acked_ms=None if acked_ms is None or queued_ms is None else acked_ms - queued_ms,
            total_ms=max(mark_ms for mark_ms in marks_ms if mark_ms is not None),
        )


class LatencyLedger:
    """Of one session: keeps the account of the newest turn.

    Args:
        publish: Takes the event that a turn was answered.
        on_closed: Gets the account of each turn once, when its answer was heard or will not be any more.
    """

    def __init__(self, publish: Callable[[ServerEvent], None], on_closed: Callable[[TurnMoments], None]) -> None:
        self._publish = publish
        self._on_closed = on_closed
        self._heard_us = 0
        """When the newest audio came in."""
        self._decided_us = 0
        self._decision_heard_us = 0
        """When the audio up to the decision came in."""
        self._open: TurnMoments | None = None

    def stepped(self, before: TurnState, after: TurnState, now_us: int) -> None:
        """The turn core took an event."""
        if after.now_samples != before.now_samples:
            self._heard_us = now_us
        if after.decided_samples != before.decided_samples:
            self._decided_us, self._decision_heard_us = now_us, self._heard_us

    def published(self, event: ServerEvent, now_us: int) -> ServerEvent:
        """Take an event that is to be published; a turn's end comes back with how long it took."""
        match event:
            case TurnEnded():
                self.close()
                self._open = self._moments(event, now_us)
                return replace(event, latency=self._open.latency)
            case TurnReopened():
                self._open = None  # it will end again
            case SayAudio(offset_ms=0) if self._open is not None and self._open.item_id is None:
                self._open = replace(self._open, item_id=event.item_id, queued_us=max(now_us, self._open.final_us))
            case SayEnded() if self._open is not None and event.item_id == self._open.item_id:
                self.close()
            case _:
                pass
        return event

    def _moments(self, ended: TurnEnded, now_us: int) -> TurnMoments:
        silence_us = (ended.decided_ms - ended.ended_ms) * 1000
        return TurnMoments(
            turn=ended.turn,
            speech_end_us=self._decision_heard_us - silence_us,
            # Later than the audio, if the decision was that no more comes.
            decided_us=self._decided_us,
            final_us=max(self._decided_us, now_us),
        )

    def acked(self, item_id: str, played_ms: int, now_us: int) -> None:
        """The client says how much it has played of an item."""
        if self._open is not None and self._open.queued_us is not None and item_id == self._open.item_id and played_ms:
            self._open = replace(self._open, acked_us=max(now_us, self._open.queued_us))
            self.close()

    def close(self) -> None:
        """What has not happened by now will not."""
        if self._open is None:
            return
        closed, self._open = self._open, None
        if closed.item_id is not None:
            self._publish(TurnLatencyMeasured(turn=closed.turn, item_id=closed.item_id, latency=closed.latency))
        self._on_closed(closed)
