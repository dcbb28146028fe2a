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
        self._handed_out: set[int] = set()
        self._changed = anyio.Event()

    def take(self, after_turn: int | None) -> UserTurn | None:
        """The first turn after that number; of ``None``, the first that was not handed out. ``None`` if not yet."""
        for turn in self._history.user_turns(after_turn or 0):
            is_new = after_turn is not None or turn.turn not in self._handed_out
            if is_new and (turn.text or turn.error):
                self._handed_out.add(turn.turn)
                return turn
        return None

    async def wait(self) -> None:
        """Wait until a turn has ended, or the session."""
        await self._changed.wait()

    def changed(self) -> None:
        """A turn has ended, or the session."""
        self._changed.set()
        self._changed = anyio.Event()
