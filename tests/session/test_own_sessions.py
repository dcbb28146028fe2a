from __future__ import annotations

import pytest

from schemas.errors import ErrorCode, SpeechError
from schemas.principal import Principal, Quotas, Scope
from schemas.sessions import SessionSettings
from session.manager import SessionManager
from session.own_sessions import OwnSessions
from session.runner import Session
from session.stores.memory import MemoryStore

pytestmark = pytest.mark.anyio


def principal(tenant: str, subject: str = "key:1", **quotas: int) -> Principal:
    return Principal(tenant=tenant, subject=subject, scopes=frozenset(Scope), quotas=Quotas(**quotas))


async def answers(sessions: OwnSessions, session_id: str) -> list[SpeechError]:
    """What every way to a session says."""
    errors: list[SpeechError] = []
    for ask in (sessions.find, sessions.info, sessions.conversation, sessions.close):
        with pytest.raises(SpeechError) as caught:
            await ask(session_id)
        errors.append(caught.value)
    with pytest.raises(SpeechError) as caught:
        async with sessions.subscribe(session_id):
            pass
    return [*errors, caught.value]


@pytest.mark.parametrize("closed", [False, True])
async def test_a_session_of_another_tenant_looks_like_one_that_never_was(
    sessions: SessionManager, *, closed: bool
) -> None:
    ours, theirs = OwnSessions(sessions, principal("a")), OwnSessions(sessions, principal("b"))
    session_id = (await ours.open(SessionSettings())).session_id
    if closed:
        await ours.close(session_id)
    no_id = "ses_none"
    for error, of_none in zip(await answers(theirs, session_id), await answers(theirs, no_id), strict=True):
        assert error.code is ErrorCode.UNKNOWN_SESSION
        assert error.message == of_none.message.replace(no_id, session_id)
    assert (await ours.info(session_id)).session_id == session_id


async def test_all_of_a_tenant_share_its_sessions(sessions: SessionManager) -> None:
    session = await OwnSessions(sessions, principal("a", "key:1")).open(SessionSettings())
    assert await OwnSessions(sessions, principal("a", "key:2")).find(session.session_id) is session


@pytest.mark.parametrize("closed", [False, True])
async def test_who_asks_for_itself_alone_finds_what_it_opened_and_nothing_else(
    sessions: SessionManager, *, closed: bool
) -> None:
    one, other = [OwnSessions(sessions, principal("a", subject), alone=True) for subject in ("key:1", "key:2")]
    session_id = (await one.open(SessionSettings())).session_id
    if closed:
        await one.close(session_id)
    assert (await one.info(session_id)).session_id == session_id
    no_id = "ses_none"
    for error, of_none in zip(await answers(other, session_id), await answers(other, no_id), strict=True):
        assert error.code is ErrorCode.UNKNOWN_SESSION
        assert error.message == of_none.message.replace(no_id, session_id)


async def test_a_quota_of_sessions_is_that_of_one_key_and_is_given_back(sessions: SessionManager) -> None:
    one = OwnSessions(sessions, principal("a", "key:1", sessions=1))
    other = OwnSessions(sessions, principal("a", "key:2", sessions=1))
    session = await one.open(SessionSettings())
    with pytest.raises(SpeechError) as caught:
        await one.open(SessionSettings())
    assert caught.value.code is ErrorCode.QUOTA_EXCEEDED
    assert caught.value.retry_after_s
    await other.open(SessionSettings())
    await one.close(session.session_id)
    await one.open(SessionSettings())


async def test_a_session_that_could_not_be_stored_takes_nothing_of_the_quota(
    sessions: SessionManager, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: object) -> None:
        raise OSError

    own = OwnSessions(sessions, principal("a", sessions=1))
    with monkeypatch.context() as patched:
        patched.setattr(store, "create", fail)
        with pytest.raises(OSError):  # noqa: PT011  the store's own
            await own.open(SessionSettings())
    assert isinstance(await own.open(SessionSettings()), Session)
