"""Decision logs replay: fuzzed ones through bytes, and those that sessions write."""

from __future__ import annotations

from collections.abc import Callable
from enum import EnumMeta
from pathlib import Path
from random import Random
from typing import Any, Protocol, get_args

import anyio
import msgspec
import pytest
from msgspec import Struct
from msgspec import inspect as types
from msgspec.structs import replace as changed

from engines.host import EngineHost
from schemas.audio import VAD_FRAME_SAMPLES
from schemas.errors import ErrorCode, SpeechError
from schemas.models import ModelKind
from schemas.sessions import SessionSettings, TurnProfile, TurnSettings
from session.clock import FakeClock
from session.decision_log import (
    FORMAT,
    DecisionLog,
    Entry,
    Header,
    encoded_actions,
    read_decision_log,
    written_decision_log,
)
from session.decision_recorder import DecisionLogs, DecisionLogSettings
from session.end_of_turn import WEIGHTS
from session.limits import SessionLimits
from session.manager import SessionManager
from session.redaction import Redactor, open_fields
from session.replay import redact, replay
from session.stores.memory import MemoryStore
from session.turn import step
from session.turn_actions import BumpEpoch, TurnAction
from session.turn_events import TurnEvent, VadFrame
from session.turn_state import TurnState

pytestmark = pytest.mark.anyio

LOGS = 1_000
EVENTS = 150
TEXTS = ("", "yes", "stop stop stop", "My number is four two", "and then", "Straße, bitte.")


class User(Protocol):
    def speech(self, text: str) -> bytes: ...

    def silence(self, ms: int) -> bytes: ...


class Fuzzer:
    """Events of every kind there is, with fields that are often those the core waits for."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self._voice = 0.0
        self._run = 0

    def event(self, state: TurnState) -> TurnEvent:
        if self.random.random() < 0.8:
            if not self._run:
                self._voice, self._run = self.random.choice((0.02, 0.4, 0.6, 0.95)), self.random.randrange(1, 60)
            self._run -= 1
            return VadFrame(self._voice + self.random.random() / 25)
        found = types.type_info(self.random.choice(get_args(TurnEvent)))
        assert isinstance(found, types.StructType)
        return self._struct(found, state)

    def _struct(self, kind: types.StructType, state: TurnState) -> Any:
        return kind.cls(**{field.name: self._value(field.name, field.type, state) for field in kind.fields})

    def _value(self, name: str, kind: types.Type, state: TurnState) -> object:
        choice = self.random.choice
        match kind:
            case types.UnionType(types=kinds):
                return self._value(name, choice(kinds), state)
            case types.Metadata(type=inner):
                return self._value(name, inner, state)
            case types.NoneType():
                return None
            case types.BoolType():
                return choice((True, False))
            case types.FloatType():
                return self.random.random()
            case types.IntType():
                near: int = getattr(state, name, state.now_samples)
                return max(0, near + choice((0, 0, 0, 1, -1, VAD_FRAME_SAMPLES)))
            case types.StrType() if name.endswith("_id"):
                return choice((f"item_{self.random.randrange(3)}", state.item_id or "item_0"))
            case types.StrType():
                return choice(("en", "de", "")) if name == "language" else choice(TEXTS)
            case types.EnumType(cls=cls):
                assert isinstance(cls, EnumMeta)
                return choice(list(cls))
            case types.LiteralType(values=values):
                return choice(values)
            case types.VarTupleType(item_type=inner):
                return tuple(self._value(name, inner, state) for _ in range(self.random.randrange(3)))
            case types.StructType():
                return self._struct(kind, state)
            case _:
                raise TypeError(f"The fuzzer makes no {kind}; teach it.")


def _header(settings: TurnSettings | None = None, state: TurnState | None = None) -> Header:
    return Header(
        antiphon="0.1.0",
        session_id="ses_fuzzed",
        redacted=False,
        settings=settings or TurnSettings(),
        state=state or TurnState(),
    )


def _fuzzed(seed: int, events: int = EVENTS) -> DecisionLog:
    fuzzer = Fuzzer(seed)
    settings = TurnSettings(
        onset_ms=fuzzer.random.choice((32, 96)),
        silence_duration_ms=fuzzer.random.choice((None, None, 200, 600)),
        profile=fuzzer.random.choice(list(TurnProfile)),
        barge_in=fuzzer.random.random() < 0.8,
        max_turn_s=fuzzer.random.choice((1, 60)),
    )
    state, entries = TurnState(), list[Entry]()
    for seq in range(1, events + 1):
        event = fuzzer.event(state)
        before = state
        state, actions = step(before, event, settings)
        entries.append(
            Entry(seq=seq, t=before.now_samples, us=seq * 32_000, event=event, actions=encoded_actions(actions))
        )
    return DecisionLog(_header(settings), tuple(entries))


def test_a_thousand_fuzzed_logs_replay_with_the_same_actions_byte_for_byte() -> None:
    seen: set[str] = set()
    for seed in range(LOGS):
        log = _fuzzed(seed)
        again = read_decision_log(written_decision_log(log))
        assert replay(again).differing == 0, seed
        seen.update(type(entry.event).__name__ for entry in log.entries)
        seen.update(action["type"] for entry in log.entries for action in msgspec.json.decode(entry.actions))
    assert seen >= {kind.__name__ for kind in get_args(TurnEvent)}
    assert {"CommitTurn", "TurnResumed", "StartItem", "TruncateItem"} <= seen


def test_fuzzed_logs_replay_without_their_texts() -> None:
    for seed in range(100):
        log = _fuzzed(seed)
        content = written_decision_log(redact(log, Redactor()))
        assert not any(text.encode() in content for text in TEXTS[2:])
        without = read_decision_log(content)
        assert without.header.redacted
        assert replay(without).differing == 0, seed


def test_a_log_replays_from_the_state_that_a_later_part_begins_with() -> None:
    log = _fuzzed(7, events=600)
    state = log.header.state
    for index, entry in enumerate(log.entries):
        if index % 50 == 0:
            part = DecisionLog(changed(log.header, part=2, state=state), log.entries[index:])
            assert replay(read_decision_log(written_decision_log(part))).differing == 0
        state, _ = step(state, entry.event, log.header.settings)


@pytest.mark.parametrize(("version", "turns"), [("0", 4), ("1", 4), ("3", 3), ("4", 2), ("5", 2)])
def test_a_log_of_a_version_with_other_weights_and_deadlines_replays_with_its_own(version: str, turns: int) -> None:
    log = read_decision_log(Path(__file__).with_name(f"decisions-{version}.jsonl").read_bytes())
    assert log.header.state.weights.version == version
    assert log.header.state.weights != WEIGHTS
    assert sum(b"CommitTurn" in bytes(entry.actions) for entry in log.entries) == turns
    assert replay(log).differing == 0


def test_what_was_decided_otherwise_is_a_difference() -> None:
    log = _fuzzed(3)
    index, entry = next((i, entry) for i, entry in enumerate(log.entries) if bytes(entry.actions) != b"[]")
    tampered = changed(entry, actions=encoded_actions([BumpEpoch()]))
    entries = (*log.entries[:index], tampered, *log.entries[index + 1 :])
    result = replay(DecisionLog(log.header, entries))
    assert (result.events, result.differing) == (EVENTS, 1)
    (difference,) = result.differences
    assert difference.entry.seq == entry.seq
    assert difference.replayed == bytes(entry.actions)


def test_another_core_or_other_settings_are_found_at_the_first_event_they_change() -> None:
    log = _fuzzed(1, events=600)
    settings = changed(log.header.settings, onset_ms=320)
    result = replay(DecisionLog(changed(log.header, settings=settings), log.entries))
    assert result.differing > 0
    assert b"TurnStarted" in bytes(result.differences[0].entry.actions)


# What is no log, or not this version's


def _code(content: bytes) -> tuple[ErrorCode, str]:
    with pytest.raises(SpeechError) as caught:
        read_decision_log(content)
    return caught.value.code, caught.value.message


@pytest.mark.parametrize("content", [b"", b"\n", b"hello\n", b"[1, 2]\n", b'{"type":"session.opened","format":1}\n'])
def test_what_is_no_decision_log_is_said_to_be_none(content: bytes) -> None:
    assert _code(content)[0] is ErrorCode.INVALID_LOG


def test_a_log_of_another_format_names_the_version_to_replay_it_with() -> None:
    line = {"type": "antiphon.decisions", "format": FORMAT + 1, "antiphon": "9.9.9", "what": "else"}
    code, message = _code(msgspec.json.encode(line) + b"\n")
    assert code is ErrorCode.UNSUPPORTED_LOG
    assert "Replay it with Antiphon 9.9.9" in message


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"type":"VadFrame"', b'"type":"Telepathy"'),
        (b'"VadFrame","probability":', b'"VadFrame","energy":'),
        (b'"is_muted":', b'"is_silenced":'),
        (b'"vad_on":', b'"vad_threshold":'),
        (b'"user":"idle"', b'"user":"dreaming"'),
    ],
)
def test_events_settings_and_states_that_this_version_does_not_know_are_an_error(old: bytes, new: bytes) -> None:
    content = written_decision_log(_fuzzed(1))
    assert old in content
    code, message = _code(content.replace(old, new, 1))
    assert code is ErrorCode.UNSUPPORTED_LOG
    assert "0.1.0" in message


def test_an_action_that_this_version_does_not_know_is_a_difference_and_cannot_be_redacted() -> None:
    content = written_decision_log(_fuzzed(1)).replace(b'"type":"TurnStarted"', b'"type":"TurnBegun"', 1)
    log = read_decision_log(content)
    assert replay(log).differing == 1
    with pytest.raises(SpeechError) as caught:
        redact(log, Redactor())
    assert caught.value.code is ErrorCode.UNSUPPORTED_LOG


def test_a_missing_line_is_an_error_and_a_torn_last_one_is_left_out() -> None:
    lines = written_decision_log(_fuzzed(1)).splitlines(keepends=True)
    code, message = _code(b"".join([*lines[:10], *lines[11:]]))
    assert code is ErrorCode.INVALID_LOG
    assert "Line 11 has event 11 after event 9" in message
    assert _code(b"".join([*lines[:10], lines[10][:20] + b"\n", *lines[11:]]))[0] is ErrorCode.INVALID_LOG
    torn = read_decision_log(b"".join(lines)[:-5])
    assert torn.is_torn
    assert len(torn.entries) == EVENTS - 1
    assert replay(torn).differing == 0


# Texts


class Said(Struct, frozen=True):
    text: str


class Heard(Struct, frozen=True):
    text: str
    stable: str
    words: tuple[str, ...]
    item_id: str
    language: str
    action: BumpEpoch
    said: Said | None


def test_texts_become_hashes_and_counts_alike_where_they_were_alike() -> None:
    text = "my secret word"
    redactor = Redactor(b"key")
    found = redactor.redacted(Heard(text, text, ("my", "secret"), "item_1", "en", BumpEpoch(), Said(text)))
    assert found.text == found.stable == redactor.text(text)
    assert found.text.endswith(" 3w")
    assert (found.item_id, found.language, found.action) == ("item_1", "en", BumpEpoch())
    assert found.said == Said(found.text)
    assert b"secret" not in msgspec.json.encode(found)
    assert redactor.text("") == ""
    assert Redactor().text("yes") != Redactor().text("yes")


@pytest.mark.parametrize(
    "kind", [*get_args(TurnEvent), *get_args(TurnAction), TurnState], ids=lambda kind: kind.__name__
)
def test_of_every_field_that_is_logged_it_is_known_whether_it_may_hold_text(kind: type[Struct]) -> None:
    assert set(open_fields(kind)) <= set(kind.__struct_fields__)


# As sessions write them


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "decisions"


def _files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def _logs(folder: Path) -> list[DecisionLog]:
    return [read_decision_log(path.read_bytes()) for path in _files(folder)]


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in _files(folder))


def _replace_by_file(folder: Path) -> None:
    folder.rmdir()
    folder.touch()


Manager = Callable[[DecisionLogSettings], SessionManager]


@pytest.fixture
def manager(host: EngineHost, clock: FakeClock) -> Manager:
    def make(settings: DecisionLogSettings) -> SessionManager:
        limits = SessionLimits(input_stall_s=0.3)
        return SessionManager(host, MemoryStore(), limits, clock, DecisionLogs(settings))

    return make


async def _converse(sessions: SessionManager, user: User, turns: int = 1) -> str:
    with anyio.fail_after(30):
        session = await sessions.open(SessionSettings())
        for _ in range(turns):
            await session.feed(user.speech("Hello there.") + user.silence(1_500))
            assert await session.listen(20)
        await sessions.close(session.session_id)
        return session.session_id


async def test_a_session_writes_a_log_that_replays_and_holds_no_text(
    manager: Manager, user: User, folder: Path
) -> None:
    async with manager(DecisionLogSettings(folder=folder)) as sessions:
        session_id = await _converse(sessions, user)
    (path,) = _files(folder)
    assert path.name == f"{session_id}.1.jsonl"
    assert path.stat().st_mode & 0o777 == 0o600
    assert b"Hello" not in path.read_bytes()
    log = read_decision_log(path.read_bytes())
    assert log.header.models[0].kind is ModelKind.ASR
    assert log.header.redacted
    result = replay(log)
    assert result.events > 20
    assert result.differing == 0
    assert any(b"CommitTurn" in bytes(entry.actions) for entry in log.entries)


async def test_of_a_long_session_the_last_two_parts_are_kept_and_each_replays(
    manager: Manager, user: User, folder: Path
) -> None:
    async with manager(DecisionLogSettings(folder=folder, texts=True, session_bytes=16_000)) as sessions:
        await _converse(sessions, user, turns=3)
    logs = _logs(folder)
    assert len(logs) == 2
    assert logs[0].header.part + 1 == logs[1].header.part >= 3
    assert logs[0].entries[-1].seq + 1 == logs[1].entries[0].seq
    assert _size(folder) < 20_000
    for log in logs:
        assert not log.header.redacted
        assert replay(log).differing == 0


async def test_all_together_have_a_bound_and_the_oldest_go(manager: Manager, user: User, folder: Path) -> None:
    async with manager(DecisionLogSettings(folder=folder, total_bytes=20_000)) as sessions:
        ids = [await _converse(sessions, user) for _ in range(4)]
    kept = {path.name.partition(".")[0] for path in _files(folder)}
    assert ids[-1] in kept
    assert ids[0] not in kept


async def test_a_log_that_cannot_be_written_does_not_disturb_the_session(
    manager: Manager, user: User, folder: Path
) -> None:
    settings = DecisionLogSettings(folder=folder)
    async with manager(settings) as sessions:
        _replace_by_file(folder)
        await _converse(sessions, user)


async def test_when_the_disk_does_not_keep_up_a_new_part_begins_that_replays(folder: Path) -> None:
    settings, turn = DecisionLogSettings(folder=folder), TurnSettings()
    recorder = DecisionLogs(settings).recorder("ses_slow", turn, (), 0)
    state, fuzzer = TurnState(), Fuzzer(1)
    for seq in range(12_000):  # 1 MiB of it may wait; nobody writes
        event = fuzzer.event(state)
        before = state
        state, actions = step(before, event, turn)
        recorder.record(before, event, actions, seq * 32_000)
    recorder.close()
    with anyio.fail_after(20):
        await recorder.run()
    (log,) = _logs(folder)
    assert log.header.part == 2
    assert log.entries[0].seq > 1
    assert log.entries[-1].seq == 12_000
    assert replay(log).differing == 0


async def test_a_log_that_was_deleted_is_not_begun_again_in_its_middle(folder: Path) -> None:
    recorder = DecisionLogs(DecisionLogSettings(folder=folder)).recorder("ses_gone", TurnSettings(), (), 0)
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(recorder.run)
            recorder.record(TurnState(), VadFrame(0.1), (), 0)
            while not _files(folder):
                await anyio.lowlevel.checkpoint()
            recorder.path(1).unlink()
            recorder.record(TurnState(), VadFrame(0.1), (), 0)
            recorder.close()
    assert _files(folder) == []
