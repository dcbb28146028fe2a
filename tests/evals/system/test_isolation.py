"""The harness against a server that is made up, whole and then with a defect planted."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import httpx
import pytest

from evals.system.canaries import MOST_SESSIONS, Leak, leaks, secrets
from evals.system.event_stream import Event, events, followed
from evals.system.figures import Resumption, isolation_rows, resumption_rows
from evals.system.measure import isolated_requests, isolated_sessions
from evals.system.resumption import compared, resume_all
from evals.targets.base import Heard
from schemas.errors import ErrorCode, SpeechError
from schemas.transcripts import LanguageGuess

pytestmark = pytest.mark.anyio

Stored = list[tuple[int, str, str]]


class FakeServer:
    """Sessions whose users say the bytes that are sent, and whose events can be followed.

    Args:
        leaky: Whether a turn begins with the text of the turn before, of whatever session.
        forgets: Whether a stream that is resumed leaves out an event.
        repeats: Whether it begins with the last event again.
        deaf: A session that it will not hear.
    """

    def __init__(self, *, leaky: bool = False, forgets: bool = False, repeats: bool = False, deaf: str = "") -> None:
        self._leaky = leaky
        self._forgets = forgets
        self._repeats = repeats
        self._deaf = deaf
        self._logs: dict[str, Stored] = {}
        self._changed = anyio.Event()
        self._last = ""

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.MockTransport(self.handle), base_url="http://fake")

    async def handle(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/v1/")
        content = await request.aread()
        match request.method, path.split("/"):
            case "POST", ["sessions"]:
                session = f"s{len(self._logs)}"
                self._logs[session] = []
                self._publish(session, "session.opened")
                return httpx.Response(201, json={"session_id": session})
            case "POST", ["sessions", self._deaf, "audio"]:
                return httpx.Response(503, text="The engine is gone.")
            case "POST", ["sessions", session, "audio"]:
                text = content.decode()
                self._publish(session, "turn.ended", text=f"{self._last} {text}" if self._leaky else text)
                self._last = text
                return httpx.Response(200, json={})
            case "POST", ["tools", "say"]:
                said: dict[str, Any] = json.loads(content)
                self._publish(said["session_id"], "say.ended", heard_text=said["text"])
                return httpx.Response(200, json={"heard_text": said["text"]})
            case "GET", ["sessions", session, "conversation"]:
                return httpx.Response(200, json={"items": self._logs[session]})
            case "DELETE", ["sessions", session]:
                self._publish(session, "session.closed")
                return httpx.Response(200, json={})
            case "GET", ["sessions", session, "events"]:
                after = int(request.headers.get("Last-Event-ID", 0))
                if after and after == len(self._logs[session]) and self._logs[session][-1][1] == "session.closed":
                    return httpx.Response(204)
                return httpx.Response(200, content=self._stream(session, after))
            case _:
                return httpx.Response(404, json={})

    async def _stream(self, session: str, after: int) -> AsyncIterator[bytes]:
        place = after
        if after and self._repeats:
            place -= 1
        if after and self._forgets:
            place += 1
        while True:
            log = self._logs[session]
            while place < len(log):
                number, name, data = log[place]
                place += 1
                yield f"id: {number}\nevent: {name}\ndata: {data}\n\n".encode()
                if name == "session.closed":
                    return
            if log[-1][1] == "session.closed":
                return
            await self._changed.wait()

    def _publish(self, session: str, name: str, **fields: str) -> None:
        log = self._logs[session]
        log.append((len(log) + 1, name, json.dumps({"type": name, **fields})))
        self._changed.set()
        self._changed = anyio.Event()


CHOSEN = secrets(4)
FILES = [one.spoken.encode() for one in CHOSEN]


async def sessions(server: FakeServer, at_once: int = 2) -> tuple[str, ...]:
    with anyio.fail_after(20):
        async with server.client() as http:
            found = await isolated_sessions(http, CHOSEN, FILES, at_once=at_once, advance=lambda: None)
    assert found.pairs == 4 * 2 * 3
    assert all(found.recognised)
    return found.leaked


async def test_sessions_that_are_kept_apart_leak_nothing() -> None:
    assert await sessions(FakeServer()) == ()


@pytest.mark.parametrize("at_once", [1, 4])
async def test_a_word_of_one_session_in_another_is_found(at_once: int) -> None:
    leaked = await sessions(FakeServer(leaky=True), at_once)
    assert leaked
    assert "“pineapple” of session 0 in session" in " ".join(leaked)


def test_words_are_seen_in_whatever_was_told_and_only_as_whole_words() -> None:
    words = [("lemon", "castle"), ("tiger",)]
    assert leaks(words, ["castles of lemon", '{"text":"Tiger, lemon!"}']) == [Leak("lemon", 0, 1)]
    assert leaks(words, ["", ""]) == []


def test_no_secret_word_is_in_what_other_sessions_say() -> None:
    chosen = secrets(MOST_SESSIONS)
    told = [f"{one.spoken} {one.answer}" for one in chosen]
    assert leaks([(one.user, one.agent) for one in chosen], told) == []
    assert len({word for one in chosen for word in (one.user, one.agent)}) == 2 * MOST_SESSIONS


class FakeEar:
    """Answers what was asked; or what another caller asked at the same time."""

    identity = "fake ear"

    def __init__(self, mixes: Callable[[int], int]) -> None:
        self._mixes = mixes

    async def transcribe(self, audio: bytes, language: str | None, *, words: bool = False) -> Heard:  # noqa: ARG002  the Protocol's
        return Heard(text=FILES[self._mixes(FILES.index(audio))].decode())

    async def detect_language(self, audio: bytes) -> LanguageGuess | None:  # noqa: ARG002  the Protocol's
        return None


async def test_an_answer_to_another_request_is_found() -> None:
    apart = await isolated_requests(FakeEar(lambda n: n), CHOSEN, FILES, lambda: None)
    assert apart.leaked == ()
    assert all(apart.recognised)
    mixed = await isolated_requests(FakeEar(lambda n: {0: 1, 1: 0}.get(n, n)), CHOSEN, FILES, lambda: None)
    assert len(mixed.leaked) == 2
    assert mixed.recognised == (False, False, True, True)


async def test_a_session_that_fails_is_counted_and_the_others_are_searched_for_leaks() -> None:
    server = FakeServer(leaky=True, deaf="s1")
    with anyio.fail_after(20):
        async with server.client() as http:
            found = await isolated_sessions(http, CHOSEN, FILES, at_once=1, advance=lambda: None)
    assert found.failed == ("Antiphon answered with status 503: The engine is gone.",)
    assert found.recognised == (True, True, True)
    assert found.leaked
    verdicts = {row.id: row.verdict for row in isolation_rows("leaks", "Leaks", found)}
    assert verdicts == {"system.leaks": "missed", "system.leaks_failed": "missed"}


async def test_a_request_that_fails_is_counted_and_the_others_are_searched_for_leaks() -> None:
    class Failing(FakeEar):
        async def transcribe(self, audio: bytes, language: str | None, *, words: bool = False) -> Heard:
            if audio == FILES[2]:
                raise SpeechError(ErrorCode.OVERLOADED, "Full.")
            return await super().transcribe(audio, language, words=words)

    found = await isolated_requests(Failing(lambda n: {0: 1}.get(n, n)), CHOSEN, FILES, lambda: None)
    assert found.failed == ("Full.",)
    assert len(found.leaked) == 1
    assert found.recognised == (False, True, True)


async def test_a_session_that_cannot_be_resumed_since_it_fails_is_counted() -> None:
    with anyio.fail_after(20):
        async with FakeServer(deaf="s1").client() as http:
            found = await resume_all(http, FILES[:3], cuts_each=4)
    assert found.failed == ("session 1: Antiphon answered with status 503: The engine is gone.",)
    assert found.cuts >= 2 * 4
    assert not found.mismatches
    assert [row.verdict for row in resumption_rows(found)] == ["met", "missed"]


def test_more_mismatches_than_cuts_are_all_of_them() -> None:
    [row, _] = resumption_rows(Resumption(cuts=2, mismatches=("a", "b", "c")))
    assert row.estimate is not None
    assert row.estimate.value == 1.0


async def resumed(server: FakeServer) -> tuple[str, ...]:
    with anyio.fail_after(20):
        async with server.client() as http:
            found = await resume_all(http, FILES[:3], cuts_each=4)
    assert found.cuts >= 3 * 4
    return found.mismatches


async def test_streams_that_are_resumed_rightly_are_the_same_when_joined() -> None:
    assert await resumed(FakeServer()) == ()


@pytest.mark.parametrize("server", [FakeServer(forgets=True), FakeServer(repeats=True)], ids=["forgets", "repeats"])
async def test_an_event_that_is_lost_or_repeated_in_a_resumption_is_found(server: FakeServer) -> None:
    mismatches = await resumed(server)
    assert any("while it lasted" in one for one in mismatches)
    assert any("after 1 events" in one for one in mismatches)


async def test_a_stream_is_followed_over_connections_that_break() -> None:
    server = FakeServer()
    async with server.client() as http:
        await http.post("/v1/sessions")
        await http.post("/v1/sessions/s0/audio", content=b"Hello.")
        await http.delete("/v1/sessions/s0")
        whole = [event async for event in events(http, "/v1/sessions/s0")]
        assert [event.type for event in whole] == ["session.opened", "turn.ended", "session.closed"]
        assert whole[1].content["text"] == "Hello."
        for cut_after in (1, 2, 5):
            assert await followed(http, "/v1/sessions/s0", cut_after=cut_after) == whole
        assert [event async for event in events(http, "/v1/sessions/s0", 3)] == []
        with pytest.raises(SpeechError, match="404"):
            await anext(events(http, "/v1/nothing"))


def test_gaps_in_the_numbers_are_found() -> None:
    whole = [Event(1, "session.opened", "{}"), Event(3, "session.closed", "{}")]
    assert compared(0, whole, whole, {}) == ["session 0: its events are not numbered from 1 without gaps"]
