"""Many microphones at once in which nobody speaks: real-time frames over WebSockets, by one thread.

The general WebSocket clients mask and frame each message anew; here the frame of silence is built once and sent to
all, so that one core can feed over a thousand sessions.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self, cast

from msgspec import Struct
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.uri import parse_uri

from benchmarks.clips import hush
from benchmarks.processes import LOOPBACK
from benchmarks.turn_client import FRAME_BYTES, FRAME_MS

_HANDSHAKE_S: Final = 30.0
_DRAIN_BYTES: Final = 65_536
_FRAMES: Final = 50
"""Different frames of silence, sent in turn."""


class Fed(Struct, frozen=True):
    """How feeding went."""

    ticks: int
    late_p99_ms: float
    """How late the load generator itself was."""
    blocked: int
    """Frames that a connection did not take at once: the server does not read fast enough."""


class IdleMicrophones:
    """Connections to sessions. A context manager."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._sockets: list[socket.socket] = []
        self._selector = selectors.DefaultSelector()
        pcm = hush(_FRAMES * FRAME_MS / 1000)
        pieces = [pcm[start : start + FRAME_BYTES] for start in range(0, len(pcm), FRAME_BYTES)]
        self._frames = [Frame(Opcode.BINARY, piece).serialize(mask=True) for piece in pieces]
        self.sent_ticks: list[int] = []
        """Frames sent to each session."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for one in self._sockets:
            one.close()
        self._selector.close()

    def connect(self, session_ids: Sequence[str]) -> None:
        """Open a stream to each session. Raises ``OSError`` if the server does not take them."""
        for session_id in session_ids:
            one = socket.create_connection((LOOPBACK, self._port), timeout=_HANDSHAKE_S)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            protocol = ClientProtocol(parse_uri(f"ws://{LOOPBACK}:{self._port}/v1/sessions/{session_id}/stream"))
            protocol.send_request(protocol.connect())
            one.sendall(b"".join(protocol.data_to_send()))
            while protocol.handshake_exc is None and protocol.state.name == "CONNECTING":
                data = one.recv(_DRAIN_BYTES)
                if not data:
                    raise ConnectionError("the server closed the connection during the handshake")
                protocol.receive_data(data)
            if protocol.handshake_exc is not None:
                raise ConnectionError(str(protocol.handshake_exc))
            one.settimeout(0)
            self._sockets.append(one)
            self._selector.register(one, selectors.EVENT_READ)
            self.sent_ticks.append(0)

    def feed(self, for_s: float) -> Fed:
        """Send every session a frame each 20 ms; sessions are spread over that time."""
        count = len(self._sockets)
        gap_s = FRAME_MS / 1000 / max(1, count)
        began = time.perf_counter()
        late_s: list[float] = []
        blocked = 0
        ticks = round(for_s * 1000 / FRAME_MS)
        for tick in range(ticks):
            frame = self._frames[tick % len(self._frames)]
            for number, one in enumerate(self._sockets):
                due = began + tick * FRAME_MS / 1000 + number * gap_s
                if (ahead_s := due - time.perf_counter()) > 0.0005:  # noqa: PLR2004  sleeping is not finer than that
                    time.sleep(ahead_s)
                blocked += not _send(one, frame)
                self.sent_ticks[number] += 1
            late_s.append(max(0.0, time.perf_counter() - (began + (tick + 1) * FRAME_MS / 1000)))
            self._drain()
        late_s.sort()
        return Fed(ticks, 1000 * late_s[int(0.99 * (len(late_s) - 1))], blocked)

    def _drain(self) -> None:
        """Take and forget what the server sends, or it would stop reading."""
        for key, _ in self._selector.select(0):
            with contextlib.suppress(BlockingIOError):
                cast("socket.socket", key.fileobj).recv(_DRAIN_BYTES)


def _send(one: socket.socket, frame: bytes) -> bool:
    """Whether it was taken at once. If not, it is sent all the same."""
    try:
        sent = one.send(frame)
    except BlockingIOError:
        sent = 0
    if sent == len(frame):
        return True
    one.settimeout(_HANDSHAKE_S)
    one.sendall(frame[sent:])
    one.settimeout(0)
    return False
