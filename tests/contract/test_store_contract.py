"""Every event store keeps the same promises."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from schemas.errors import ErrorCode, SpeechError
from schemas.events import ServerEvent, SessionOpened, SpeechStarted, TurnEnded
from schemas.sessions import SessionSettings, SessionState, TurnSettings
from schemas.transcripts import Word
from session.stores.base import EventStore, SessionRecord
from session.stores.memory import MemoryStore
from session.stores.sqlite import SqliteStore

pytestmark = pytest.mark.anyio
RETENTION_EVENTS = 10
SETTINGS = SessionSettings(language="en", turn=TurnSettings(silence_duration_ms=300))


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[EventStore]:
    opened: EventStore = (
        MemoryStore(RETENTION_EVENTS)
        if request.param == "memory"
        else SqliteStore(tmp_path / "new" / "sessions.db", RETENTION_EVENTS)
    )
    yield opened
    await opened.aclose()


def record(session_id: str = "ses_1", created_at: str = "2026-01-01T00:00:00.000Z") -> SessionRecord:
    return SessionRecord(session_id=session_id, created_at=created_at, settings=SETTINGS, state=SessionState.OPEN)


def events(first: int, last: int) -> list[ServerEvent]:
    return [SpeechStarted(seq=seq, at_ms=seq * 10, turn=seq, started_ms=seq) for seq in range(first, last + 1)]


async def test_what_is_appended_is_read_back_in_order(store: EventStore) -> None:
    await store.create(record())
    word = Word("häß", 0.1, 0.2, 0.5)
    written: list[ServerEvent] = [
        SessionOpened(seq=1, at_ms=0, session_id="ses_1", settings=SETTINGS),
        TurnEnded(
            seq=2, at_ms=7, turn=1, text="häß", language="de", started_ms=1, ended_ms=2, decided_ms=3, words=(word,)
        ),
    ]
    await store.append("ses_1", written[:1])
    await store.append("ses_1", written[1:])
    assert await store.read("ses_1", 0, 100) == written
    assert await store.read("ses_1", 1, 100) == written[1:]
    assert await store.read("ses_1", 2, 100) == []


async def test_a_read_is_bounded(store: EventStore) -> None:
    await store.create(record())
    await store.append("ses_1", events(1, 9))
    assert [event.seq for event in await store.read("ses_1", 2, 3)] == [3, 4, 5]


async def test_the_record_follows_the_log(store: EventStore) -> None:
    await store.create(record())
    await store.append("ses_1", events(1, 4))
    kept = await store.record("ses_1")
    assert (kept.first_seq, kept.last_seq, kept.at_ms) == (1, 4, 40)
    assert kept.settings == SETTINGS


async def test_events_beyond_the_retention_expire(store: EventStore) -> None:
    await store.create(record())
    for seq in range(1, RETENTION_EVENTS + 6):
        await store.append("ses_1", events(seq, seq))
    assert (await store.record("ses_1")).first_seq == 6
    with pytest.raises(SpeechError) as error:
        await store.read("ses_1", 4, 100)
    assert error.value.code is ErrorCode.EVENTS_EXPIRED
    assert len(await store.read("ses_1", 5, 100)) == RETENTION_EVENTS


async def test_an_unknown_session_is_said_to_be_unknown(store: EventStore) -> None:
    for call in (store.record("ses_x"), store.read("ses_x", 0, 1), store.append("ses_x", events(1, 1))):
        with pytest.raises(SpeechError) as error:
            await call
        assert error.value.code is ErrorCode.UNKNOWN_SESSION


async def test_sessions_do_not_see_each_other(store: EventStore) -> None:
    await store.create(record("ses_1"))
    await store.create(record("ses_2"))
    await store.append("ses_1", events(1, 3))
    await store.append("ses_2", events(1, 1))
    assert len(await store.read("ses_2", 0, 100)) == 1


async def test_open_sessions_are_those_that_were_not_ended(store: EventStore) -> None:
    await store.create(record("ses_1"))
    await store.create(record("ses_2"))
    await store.set_state("ses_1", SessionState.CLOSED)
    assert [kept.session_id for kept in await store.open_sessions()] == ["ses_2"]


async def test_old_sessions_that_are_over_are_forgotten_with_their_events(store: EventStore) -> None:
    for session_id, created_at in (("old", "2025-01-01"), ("old_open", "2025-01-01"), ("new", "2026-06-01")):
        await store.create(record(session_id, created_at))
        await store.append(session_id, events(1, 1))
    await store.set_state("old", SessionState.CLOSED)
    await store.set_state("new", SessionState.CLOSED)
    assert await store.prune("2026-01-01") == 1
    with pytest.raises(SpeechError):
        await store.read("old", 0, 1)
    assert await store.read("old_open", 0, 1)
    assert await store.read("new", 0, 1)


async def test_sqlite_keeps_the_log_over_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "sessions.db"
    first = SqliteStore(path)
    await first.create(record())
    await first.append("ses_1", events(1, 3))
    await first.aclose()
    second = SqliteStore(path)
    assert await second.read("ses_1", 0, 100) == events(1, 3)
    await second.aclose()


async def test_sqlite_is_readable_while_another_process_has_it_open(tmp_path: Path) -> None:
    """The write-ahead log is the point: what is appended is durable without closing anything."""
    path = tmp_path / "sessions.db"
    writer = SqliteStore(path)
    await writer.create(record())
    await writer.append("ses_1", events(1, 2))
    with closing(sqlite3.connect(path)) as reader:
        assert reader.execute("SELECT seq FROM event").fetchall() == [(1,), (2,)]
    await writer.aclose()


async def test_sqlite_takes_one_server_at_a_time(tmp_path: Path) -> None:
    """A second one would take the sessions of the first for those of a dead process, and end them."""
    path = tmp_path / "sessions.db"
    first = SqliteStore(path)
    with pytest.raises(SpeechError, match="Another server") as error:
        SqliteStore(path)
    assert error.value.code is ErrorCode.INVALID_SETTING
    assert str(tmp_path) not in error.value.message
    await first.aclose()
    await SqliteStore(path).aclose()


async def test_sqlite_refuses_a_file_of_another_format(tmp_path: Path) -> None:
    path = tmp_path / "sessions.db"
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version=99")
    database.close()
    with pytest.raises(SpeechError) as error:
        SqliteStore(path)
    assert error.value.code is ErrorCode.INVALID_SETTING
    assert str(tmp_path) not in error.value.message


async def test_sqlite_rolls_back_a_batch_that_fails(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "sessions.db")
    await store.create(record())
    await store.append("ses_1", events(1, 2))
    with pytest.raises(SpeechError):
        await store.append("ses_1", [*events(3, 3), *events(2, 2)])
    assert [event.seq for event in await store.read("ses_1", 0, 100)] == [1, 2]
    await store.append("ses_1", events(3, 3))
    await store.aclose()


async def test_whose_a_session_is_is_kept(store: EventStore) -> None:
    await store.create(replace(record(), tenant="acme", subject="key:1"))
    for kept in (await store.record("ses_1"), *await store.open_sessions()):
        assert (kept.tenant, kept.subject) == ("acme", "key:1")


async def test_sessions_of_the_format_without_tenants_are_the_local_ones(tmp_path: Path) -> None:
    path = tmp_path / "sessions.db"
    first = SqliteStore(path)
    await first.create(record())
    await first.aclose()
    with closing(sqlite3.connect(path)) as database:
        database.executescript(
            "ALTER TABLE session DROP COLUMN subject; ALTER TABLE session DROP COLUMN tenant; PRAGMA user_version=1;"
        )
    again = SqliteStore(path)
    kept = await again.record("ses_1")
    assert (kept.tenant, kept.subject) == ("local", "local")
    await again.create(replace(record("ses_2"), tenant="acme", subject="key:1"))
    kept = await again.record("ses_2")
    assert (kept.tenant, kept.subject) == ("acme", "key:1")
    await again.aclose()


async def test_sessions_of_the_format_without_subjects_are_nobodys_of_their_tenant(tmp_path: Path) -> None:
    path = tmp_path / "sessions.db"
    first = SqliteStore(path)
    await first.create(record())
    await first.create(replace(record("ses_2"), tenant="acme", subject="key:1"))
    await first.aclose()
    with closing(sqlite3.connect(path)) as database:
        database.executescript("ALTER TABLE session DROP COLUMN subject; PRAGMA user_version=2;")
    again = SqliteStore(path)
    kept = [await again.record(session_id) for session_id in ("ses_1", "ses_2")]
    assert [(session.tenant, session.subject) for session in kept] == [("local", "local"), ("acme", "")]
    await again.aclose()
