"""What the terminal shows while the conversation goes on: a moving picture, or plain lines where there is none."""

from __future__ import annotations

import sys
from collections.abc import Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Final, Protocol

from rich.console import Console
from rich.live import Live
from rich.text import Text

from schemas.events import ServerEvent, TurnEnded
from server.demo.headset import Tick
from server.demo.narration import narrate, word_times
from server.demo.picture import Picture

_REFRESH_MS: Final = 100
_PROGRESS_MS: Final = 1_000


class View(Protocol):
    """Who watches."""

    def step(self, text: str) -> AbstractContextManager[object]:
        """While something is done that takes a moment."""
        ...

    def conversation(self) -> AbstractContextManager[object]:
        """While the conversation is held, with the next two."""
        ...

    def on_event(self, event: ServerEvent) -> None:
        """An event of the session."""
        ...

    def on_tick(self, tick: Tick) -> None:
        """A frame of the headset."""
        ...


class PlainView:
    """One line an event, with its time: for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._told: tuple[str | None, int] = (None, 0)

    @contextmanager
    def step(self, text: str) -> Generator[None]:
        """Says so."""
        self._print(Text(f"{text} …"))
        yield

    @contextmanager
    def conversation(self) -> Generator[None]:
        """Nothing of its own."""
        yield

    def on_event(self, event: ServerEvent) -> None:
        """A line."""
        line = narrate(event)
        if line is not None:
            self._print(_stamped(event.at_ms, line.side, line.text))
        if isinstance(event, TurnEnded) and event.words:
            self._print(_stamped(event.at_ms, "user", f"word by word: {word_times(event.words)}"))

    def on_tick(self, tick: Tick) -> None:
        """A line for each second of playback."""
        if tick.item_id is None:
            return
        second = tick.played_ms // _PROGRESS_MS
        if second and (tick.item_id, second) != self._told:
            self._told = (tick.item_id, second)
            self._print(_stamped(tick.now_ms, "agent", f"has been heard for {second} s"))

    def _print(self, text: Text) -> None:
        self._console.print(text, soft_wrap=True)


def _stamped(at_ms: int, side: str, text: str) -> Text:
    return Text(f"[{at_ms / 1000:6.2f} s] {side:<8}{text}")


class LiveView:
    """A picture that moves."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._picture = Picture()
        self._live: Live | None = None

    def step(self, text: str) -> AbstractContextManager[object]:
        """A spinner."""
        return self._console.status(f"{text} …")

    @contextmanager
    def conversation(self) -> Generator[None]:
        """The picture."""
        with Live(self._picture, console=self._console, auto_refresh=False) as self._live:
            yield
            self._live.refresh()

    def on_event(self, event: ServerEvent) -> None:
        """Into the picture."""
        self._picture.add_event(event)

    def on_tick(self, tick: Tick) -> None:
        """Into the picture, and that on the screen ten times a second."""
        self._picture.add_tick(tick)
        if self._live is not None and tick.now_ms % _REFRESH_MS == 0:
            self._live.refresh()


def make_view(console: Console, environ: Mapping[str, str]) -> View:
    """The picture on a terminal; lines in a file, in CI, and on a terminal that cannot move its cursor."""
    moves = sys.stdout.isatty() and not console.is_dumb_terminal and not environ.get("CI")
    return LiveView(console) if moves else PlainView(console)
