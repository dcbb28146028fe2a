"""The user's complete turns, handed out to who listens: each once, and each when it is there."""

from __future__ import annotations

import anyio

from schemas.sessions import UserTurn
from session.history import History


class HeardTurns:
    """Those of one session. Only turns with words count, or with an error in their place.

    Args:
        history: Where turns are written down.
    """

    def __init__(self, history: History) -> None:
        self._history = history
        self._handed_out: dict[int, int] = {}
        """Turns and their revisions."""
        self._eager: UserTurn | None = None
        self._reopened: int | None = None
        self._changed = anyio.Event()

    def take(self, after_turn: int | None, *, is_eager: bool = False) -> UserTurn | None:
        """The first turn after that number; of ``None``, the first that was not handed out. ``None`` if not yet.

        A turn that was handed out and then reopened counts as new when it ends again. With ``is_eager`` one that is
        probably over will do, once for each time that it is thought to be.
        """
        for turn in self._history.user_turns(max(0, (after_turn or 0) - 1)):
            if self._is_new(turn, after_turn) and (turn.text or turn.error) and turn.turn != self._reopened:
                self._handed_out[turn.turn] = turn.revision
                return turn
        eager = self._eager
        if not is_eager or eager is None or eager.turn <= (after_turn or 0):
            return None
        self._eager = None
        return eager

    def _is_new(self, turn: UserTurn, after_turn: int | None) -> bool:
        if after_turn is None or turn.turn == after_turn:
            # Who names a turn knows it as it was when it ended first.
            return turn.revision > self._handed_out.get(turn.turn, 0 if after_turn is None else 1)
        return turn.turn > after_turn

    def offer_eager(self, turn: UserTurn) -> None:
        """This turn is probably over."""
        self._eager = turn
        self.changed()

    def void_eager(self) -> None:
        """It is not, or it is known to be."""
        self._eager = None

    def reopen(self, turn: int) -> None:
        """The user goes on with this turn: it is not handed out as it is."""
        self._reopened = turn

    def close(self) -> None:
        """The turn has ended, or will not."""
        self._eager = self._reopened = None
        self.changed()

    async def wait(self) -> None:
        """Wait until a turn has ended, or probably has, or the session."""
        await self._changed.wait()

    def changed(self) -> None:
        """A turn has ended, or the session."""
        self._changed.set()
        self._changed = anyio.Event()
