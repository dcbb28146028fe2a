"""A dialogue being performed: what the user does next and what the agent says, from what happens. Sans-I/O.

The user follows the script: takes a turn when the agent is silent, and speaks over it where the script says so. The
agent is a simple one: some time after ``turn.ended`` it says its next line, unless the user has gone on; cut off in it
while the user was still in the middle of their line, it says it again later, as an agent that was told too early does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from evals.turns.dialogue import AgentLine, UserLine
from evals.turns.performance import Utterance
from evals.turns.rendering import SpokenLine
from schemas.audio import SESSION_RATE_HZ

THINK_SAMPLES: Final = SESSION_RATE_HZ * 300 // 1000
"""From the end of the user's turn to the agent's answer: a quick language model."""
GAP_SAMPLES: Final = SESSION_RATE_HZ * 600 // 1000
"""From the agent's last sound to the user's first."""
OVERDUE_SAMPLES: Final = 6 * SESSION_RATE_HZ
"""After the user's last sound: the turn's end was missed, and the agent speaks all the same."""
TOLERANCE_SAMPLES: Final = SESSION_RATE_HZ * 250 // 1000
"""A turn that ends so shortly before the last sound was heard to its end: the VAD decides what is sound."""


class UserPart(Struct, frozen=True, eq=False):
    """A line of the user, as sound."""

    line: UserLine
    spoken: SpokenLine


Part = UserPart | AgentLine


class Uttered(Struct, frozen=True, eq=False):
    """A part of the user's that was performed."""

    part: UserPart
    place: int
    """In the script."""
    start_samples: int
    item_id: str | None
    """What the agent was saying."""

    @property
    def end_samples(self) -> int:
        """Of the last sound."""
        return self.start_samples + len(self.part.spoken.samples)


class Play:
    """One performance.

    Args:
        parts: The dialogue, rendered.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = list(parts)
        self._next = 0
        self._say_at: int | None = None
        self._quiet_since = 0
        self._item_id: str | None = None
        self._audible_since: int | None = None
        self._agent_busy = False
        self._heard_to_end = True
        """Whether the turn of the newest line of the user has ended."""
        self.uttered: list[Uttered] = []
        self.skipped = 0
        """Lines that were to be spoken over something the agent had already said."""
        self.overdue = 0
        """Turns whose end was never told."""

    @property
    def done(self) -> bool:
        """Whether all has been performed, and heard."""
        return self._next >= len(self._parts) and not self._agent_busy and self._heard_to_end

    @property
    def line(self) -> AgentLine | None:
        """The agent's line, if it is the agent's turn."""
        part = self._parts[self._next] if self._next < len(self._parts) else None
        return part if isinstance(part, AgentLine) else None

    # What happens

    def turn_ended(self, now_samples: int) -> None:
        """The server says that the user's turn is over."""
        last = self.uttered[-1] if self.uttered else None
        if (
            last is not None
            and last.part.line.intent.takes_floor
            and now_samples + TOLERANCE_SAMPLES >= last.end_samples
        ):
            self._heard_to_end = True
        if self.line is not None and not self._agent_busy:
            self._say_at = now_samples + THINK_SAMPLES

    def user_goes_on(self) -> None:
        """The server says that the user speaks."""
        self._say_at = None

    def item_created(self, item_id: str) -> None:
        """The agent's line has become an item of the session."""
        self._item_id, self._agent_busy = item_id, True

    def item_audible(self, item_id: str, now_samples: int) -> None:
        """The item is heard."""
        if item_id == self._item_id and self._audible_since is None:
            self._audible_since = now_samples

    def item_ended(self, item_id: str, now_samples: int) -> None:
        """The item is over, played or cut off."""
        if item_id != self._item_id:
            return
        last = self.uttered[-1] if self.uttered else None
        told_too_early = last is not None and last.item_id is None and last.end_samples > now_samples
        self._agent_busy, self._quiet_since = False, now_samples
        if told_too_early:
            self._next -= 1  # it says its line again, when the user is really done
            self._heard_to_end = False

    # What is to happen now

    def user_speaks(self, now_samples: int, *, agent_is_silent: bool) -> Uttered | None:
        """The part that the user begins now, if any. Asked every frame."""
        part = self._parts[self._next] if self._next < len(self._parts) else None
        if not isinstance(part, UserPart) or (self.uttered and self.uttered[-1].end_samples > now_samples):
            return None
        if part.line.at_s is None:
            return self._takes_turn(part, now_samples, agent_is_silent=agent_is_silent)
        if self._audible_since is None or not self._agent_busy:
            if not self._agent_busy:  # over before its place came
                self.skipped += 1
                self._next += 1
            return None
        if now_samples < self._audible_since + part.line.at_s * SESSION_RATE_HZ:
            return None
        return self._utter(part, now_samples, self._item_id)

    def agent_speaks(self, now_samples: int) -> AgentLine | None:
        """The line that the agent begins now, if any. Asked every frame."""
        line = self.line
        if line is None or self._agent_busy:
            return None
        last = self.uttered[-1] if self.uttered else None
        if last is not None and self._say_at is None and now_samples >= last.end_samples + OVERDUE_SAMPLES:
            self.overdue += 1
            self._heard_to_end = True
            self._say_at = now_samples
        if self._say_at is None or now_samples < self._say_at:
            return None
        self._say_at = None
        self._next += 1
        self._agent_busy, self._audible_since = True, None
        return line

    def _takes_turn(self, part: UserPart, now_samples: int, *, agent_is_silent: bool) -> Uttered | None:
        if not agent_is_silent:
            self._quiet_since = now_samples
            return None
        last_end = self.uttered[-1].end_samples if self.uttered else 0
        if self._agent_busy or now_samples < max(self._quiet_since, last_end) + GAP_SAMPLES:
            return None
        return self._utter(part, now_samples, None)

    def _utter(self, part: UserPart, now_samples: int, item_id: str | None) -> Uttered:
        self.uttered.append(Uttered(part, self._next, now_samples, item_id))
        self._next += 1
        if part.line.intent.takes_floor:
            self._heard_to_end = False
        return self.uttered[-1]


def performed(one: Uttered) -> Utterance:
    """The record of a part that was performed."""
    return Utterance(
        place=one.place,
        intent=one.part.line.intent,
        text=one.part.line.text,
        start_samples=one.start_samples,
        end_samples=one.end_samples,
        holds=tuple(hold.shifted(one.start_samples) for hold in one.part.spoken.holds),
        item_id=one.item_id,
    )
