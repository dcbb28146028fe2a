"""Webhooks: what happens in sessions, posted to endpoints of the operator, and to those that callers name for one.

Only durable events are posted, each with an id that is the same however often it is sent, so that receivers can drop
repetitions. Each endpoint has a bounded queue and a task of its own, which posts one message after the other, in order:
a slow endpoint delays neither sessions nor other endpoints. The endpoint of a session needs no queue: its task follows
the session's log, which keeps what it has not read.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Final

import anyio
import httpx
import structlog
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from standardwebhooks.webhooks import EmptyWebhookSecretError, Webhook

from engines.public_http import NOT_PUBLIC, PublicTransport, Resolve, refused, resolved
from schemas.errors import ErrorCode, SpeechError
from schemas.events import ServerEvent
from schemas.principal import Principal
from schemas.webhooks import SessionWebhook
from server.settings import WebhookSettings
from server.webhook_messages import EVENT_TYPES, Message, message_of
from server.webhook_receiver import DELIVERY_S, STOPPING, Receiver, Tally
from session.log import Published
from session.own_sessions import OwnSessions
from session.runner import Session

_log = structlog.stdlib.get_logger("antiphon.webhooks")

QUEUED_MAX: Final = 1_000
"""Messages that wait for an endpoint."""
FOLLOWED_EACH: Final = 100
"""Sessions of one tenant whose events are posted to endpoints of their own; one that is over counts until its last
message is delivered or given up."""
_FULL_RETRY_S: Final = 60.0
_FORM_OF_SECRETS: Final = "must be whsec_ and 24 to 64 bytes in base64"


class Webhooks:
    """The endpoints of the settings, and of sessions. Logs of sessions call :meth:`observe`; :meth:`running` delivers.

    Args:
        settings: Endpoints, secret, which events, whether sessions may have their own.
        resolve: The resolver.

    Raises:
        SpeechError: ``invalid_setting``.
    """

    def __init__(self, settings: WebhookSettings, resolve: Resolve = resolved) -> None:
        self._settings = settings
        self._events = _checked_events(settings)
        self._transport = PublicTransport(settings.trusted_hosts, resolve)
        # What the operator trusts in is not for callers to reach.
        self._way_of_sessions = PublicTransport(settings.session_trusted_hosts, resolve)
        self._tally = Tally()
        self._following = Counter[str]()
        signer = _signer(settings)
        urls = enumerate(_checked_urls(settings), start=1)
        self._endpoints = [_Endpoint(self._receiver(url, str(number), signer, self._transport)) for number, url in urls]

    @property
    def queued(self) -> int:
        """Messages that wait."""
        return sum(endpoint.queued for endpoint in self._endpoints)

    @property
    def delivered(self) -> int:
        """Messages that an endpoint took."""
        return self._tally.delivered

    @property
    def dead(self) -> int:
        """Messages that were given up."""
        return self._tally.dead

    def observe(self, session_id: str, events: Sequence[ServerEvent]) -> None:
        """Take events of a session, which are durable by now. Returns at once."""
        if not self._endpoints:
            return
        for event in events:
            if event.__struct_config__.tag in self._events:
                message = message_of(session_id, event, with_text=self._settings.include_text)
                for endpoint in self._endpoints:
                    endpoint.offer(message)

    @asynccontextmanager
    async def running(self, *, drain_s: float) -> AsyncGenerator[None]:
        """Post what is observed, inside the block; after it for ``drain_s`` at most what waits still."""
        async with aclosing(self._transport), aclosing(self._way_of_sessions), anyio.create_task_group() as tasks:
            self._tasks = tasks
            for endpoint in self._endpoints:
                tasks.start_soon(endpoint.run)
            yield
            for endpoint in self._endpoints:
                endpoint.close()
            tasks.cancel_scope.deadline = anyio.current_time() + drain_s
        for endpoint in self._endpoints:
            endpoint.bury_rest()

    async def admit(self, webhook: SessionWebhook, caller: Principal) -> Receiver:
        """The receiver of a session that is about to be opened.

        Raises:
            SpeechError: ``url_refused``; ``invalid_request`` for a secret or events that are none; ``quota_exceeded``.
        """
        if not self._settings.by_session:
            raise refused("It posts to addresses that callers name only if webhooks.by_session is set.")
        if unknown := _unknown(webhook.events):
            raise SpeechError(ErrorCode.INVALID_REQUEST, unknown, param="webhook.events")
        try:
            signer = Webhook(webhook.secret)
        except (ValueError, EmptyWebhookSecretError) as error:
            raise SpeechError(
                ErrorCode.INVALID_REQUEST, f"The secret {_FORM_OF_SECRETS}.", param="webhook.secret"
            ) from error
        if self._following[caller.tenant] >= FOLLOWED_EACH:
            raise SpeechError(
                ErrorCode.QUOTA_EXCEEDED,
                f"{FOLLOWED_EACH} sessions are posted to webhooks of their own, which is the most. Try again later, or "
                "follow the event stream.",
                param="webhook",
                retry_after_s=_FULL_RETRY_S,
            )
        try:
            with anyio.fail_after(self._settings.timeout_s):
                await self._way_of_sessions.destination(httpx.URL(webhook.url))
        except httpx.InvalidURL as error:
            raise refused("It is not a valid http or https URL.") from error
        except (httpx.HTTPError, TimeoutError) as error:
            raise refused(NOT_PUBLIC) from error
        return self._receiver(webhook.url, "session", signer, self._way_of_sessions)

    def follow(self, receiver: Receiver, webhook: SessionWebhook, session: Session, sessions: OwnSessions) -> None:
        """Post the events of a session to a receiver, from its first to its last. Returns at once."""
        self._following[sessions.principal.tenant] += 1
        self._tasks.start_soon(self._follow, receiver, webhook, session, sessions)

    async def _follow(
        self, receiver: Receiver, webhook: SessionWebhook, session: Session, sessions: OwnSessions
    ) -> None:
        structlog.contextvars.clear_contextvars()  # not the request that opened it
        structlog.contextvars.bind_contextvars(session_id=session.session_id)
        try:
            async with sessions.subscribe(session.session_id) as events:
                is_told = await _post_all(receiver, webhook, session, events)
            if not is_told:
                _log.error("webhook_ended", reason="a message was not taken: no more are posted for this session")
        except SpeechError as error:
            _log.error("webhook_ended", reason=error.message)
        except Exception:  # noqa: BLE001  the boundary: one session's must not stop the others
            _log.exception("webhook_failed", endpoint="session")
        finally:
            self._following[sessions.principal.tenant] -= 1
            self._following = +self._following

    def _receiver(self, url: str, name: str, signer: Webhook, transport: PublicTransport) -> Receiver:
        return Receiver(
            url,
            name,
            signer=signer,
            tally=self._tally,
            transport=transport,
            timeout_s=self._settings.timeout_s,
        )


async def _post_all(
    receiver: Receiver, webhook: SessionWebhook, session: Session, events: AsyncIterator[Published]
) -> bool:
    """Whether all was taken that was asked for, and in time."""
    deadline_s = math.inf
    async for published in events:
        event = published.event
        if event.__struct_config__.tag not in webhook.events:
            continue
        if session.ended.is_set():
            deadline_s = min(deadline_s, anyio.current_time() + DELIVERY_S)
        message = message_of(session.session_id, event, with_text=webhook.include_text)
        if anyio.current_time() > deadline_s or not await receiver.take(message):
            return False
    return True


class _Endpoint:
    """One receiver of the settings: its queue, and the task that empties it."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        streams = anyio.create_memory_object_stream[Message](QUEUED_MAX)
        self._incoming: MemoryObjectSendStream[Message] = streams[0]
        self._queue: MemoryObjectReceiveStream[Message] = streams[1]

    @property
    def queued(self) -> int:
        return self._queue.statistics().current_buffer_used

    def offer(self, message: Message) -> None:
        try:
            self._incoming.send_nowait(message)
        except anyio.WouldBlock:
            self._receiver.bury(message, f"{QUEUED_MAX} others wait already")
        except (anyio.ClosedResourceError, anyio.BrokenResourceError):
            self._receiver.bury(message, STOPPING)

    def close(self) -> None:
        self._incoming.close()

    def bury_rest(self) -> None:
        with self._queue:
            while True:
                try:
                    self._receiver.bury(self._queue.receive_nowait(), STOPPING)
                except (anyio.WouldBlock, anyio.EndOfStream):
                    return

    async def run(self) -> None:
        async for message in self._queue:
            await self._receiver.take(message)


def _unknown(events: Collection[str]) -> str | None:
    """What is wrong with types of events."""
    if unknown := sorted(set(events) - set(EVENT_TYPES)):
        return f"{unknown[0][:64]!r} is not an event. There are: {', '.join(EVENT_TYPES)}."
    return None


def _checked_events(settings: WebhookSettings) -> frozenset[str]:
    if problem := _unknown(settings.events):
        raise _invalid("events", problem)
    return frozenset(settings.events)


def _checked_urls(settings: WebhookSettings) -> tuple[str, ...]:
    for url in settings.urls:
        try:
            parts = httpx.URL(url)
            is_valid = parts.scheme in {"http", "https"} and bool(parts.host)
        except httpx.InvalidURL:
            is_valid = False
        if not is_valid:
            raise _invalid("urls", "each must be an http or https URL.")
    return settings.urls


def _signer(settings: WebhookSettings) -> Webhook:
    if not settings.urls:
        return Webhook(b"nothing to sign")
    try:
        return Webhook(settings.secret or "")
    except (ValueError, EmptyWebhookSecretError) as error:
        raise _invalid("secret", f"it {_FORM_OF_SECRETS}.") from error


def _invalid(name: str, problem: str) -> SpeechError:
    return SpeechError(ErrorCode.INVALID_SETTING, f"webhooks.{name}: {problem}", param=f"webhooks.{name}")
