"""Webhooks: what happens in sessions, posted to endpoints of the operator, signed by the Standard Webhooks scheme.

Only durable events are posted, each with an id that is the same however often it is sent, so that receivers can drop
repetitions. Each endpoint has a bounded queue and a task of its own, which posts one message after the other, in order:
a slow endpoint delays neither sessions nor other endpoints. What cannot be delivered is logged and counted, without
its content.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final, get_args

import anyio
import httpx
import msgspec
import stamina
import structlog
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from msgspec import Struct
from standardwebhooks.webhooks import EmptyWebhookSecretError, Webhook

from engines.public_http import PublicTransport, Resolve, resolved
from schemas.errors import ErrorCode, ErrorInfo, SpeechError
from schemas.events import ServerEvent
from server.settings import WebhookSettings
from session.redaction import open_fields

_log = structlog.stdlib.get_logger("antiphon.webhooks")

ATTEMPTS: Final = 8
WAIT_FIRST_S: Final = 1.0
WAIT_LONGEST_S: Final = 60.0
DELIVERY_S: Final = 300.0
"""For all attempts of one message; those behind it wait that long at most."""
QUEUED_MAX: Final = 1_000
"""Messages that wait for an endpoint."""
STOPPING: Final = "the server stops"
_PRIVATE: Final = frozenset({"digit", "settings"})
"""Besides all that may be text: keys can spell a card's number, and settings are nobody else's business."""


class Message(Struct, frozen=True):
    """One event, ready to be posted."""

    webhook_id: str
    type: str
    body: bytes


class Undelivered(Exception):  # noqa: N818  not an error of ours
    """An attempt failed. It names no URL: that may hold a secret of the endpoint's."""

    def __init__(self, reason: str, *, is_final: bool = False, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.is_final = is_final
        self.retry_after_s = retry_after_s


class Webhooks:
    """The endpoints of the settings. Logs of sessions call :meth:`observe`; :meth:`running` delivers.

    Args:
        settings: Endpoints, secret, which events.
        resolve: The resolver.

    Raises:
        SpeechError: ``invalid_setting``.
    """

    def __init__(self, settings: WebhookSettings, resolve: Resolve = resolved) -> None:
        self._settings = settings
        self._events = _checked_events(settings)
        signer = _signer(settings)
        urls = enumerate(_checked_urls(settings), start=1)
        self._endpoints = [_Endpoint(url, number, signer, settings, resolve) for number, url in urls]

    @property
    def queued(self) -> int:
        """Messages that wait."""
        return sum(endpoint.queued for endpoint in self._endpoints)

    @property
    def delivered(self) -> int:
        """Messages that an endpoint took."""
        return sum(endpoint.delivered for endpoint in self._endpoints)

    @property
    def dead(self) -> int:
        """Messages that were given up."""
        return sum(endpoint.dead for endpoint in self._endpoints)

    def observe(self, session_id: str, events: Sequence[ServerEvent]) -> None:
        """Take events of a session, which are durable by now. Returns at once."""
        if not self._endpoints:
            return
        for event in events:
            if event.__struct_config__.tag in self._events:
                message = _message(session_id, event, with_text=self._settings.include_text)
                for endpoint in self._endpoints:
                    endpoint.offer(message)

    @asynccontextmanager
    async def running(self, *, drain_s: float) -> AsyncGenerator[None]:
        """Post what is observed, inside the block; after it for ``drain_s`` at most what waits still."""
        async with anyio.create_task_group() as tasks:
            for endpoint in self._endpoints:
                tasks.start_soon(endpoint.run)
            yield
            for endpoint in self._endpoints:
                endpoint.close()
            tasks.cancel_scope.deadline = anyio.current_time() + drain_s
        for endpoint in self._endpoints:
            endpoint.bury_rest()


class _Endpoint:
    """One receiver: its queue, and the task that empties it."""

    def __init__(self, url: str, number: int, signer: Webhook, settings: WebhookSettings, resolve: Resolve) -> None:
        self.delivered = 0
        self.dead = 0
        self._url = url
        self._number = number
        self._signer = signer
        self._settings = settings
        self._resolve = resolve
        self._is_gone = False
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
            self._bury(message, f"{QUEUED_MAX} others wait already")
        except (anyio.ClosedResourceError, anyio.BrokenResourceError):
            self._bury(message, STOPPING)

    def close(self) -> None:
        self._incoming.close()

    def bury_rest(self) -> None:
        with self._queue:
            while True:
                try:
                    self._bury(self._queue.receive_nowait(), STOPPING)
                except (anyio.WouldBlock, anyio.EndOfStream):
                    return

    async def run(self) -> None:
        async with aclosing(PublicTransport(self._settings.trusted_hosts, self._resolve)) as transport:
            async for message in self._queue:
                try:
                    await self._deliver(message, transport)
                except Undelivered as error:
                    self._bury(message, error.reason)
                except anyio.get_cancelled_exc_class():
                    self._bury(message, STOPPING)
                    raise
                except Exception:  # noqa: BLE001  the boundary: one message must not stop the others
                    _log.exception("webhook_failed", endpoint=self._number)
                    self._bury(message, "the server failed")
                else:
                    self.delivered += 1

    async def _deliver(self, message: Message, transport: PublicTransport) -> None:
        if self._is_gone:
            raise Undelivered("the endpoint said that it is gone")
        attempts = stamina.retry_context(
            on=wait_before_retry,
            attempts=ATTEMPTS,
            timeout=DELIVERY_S,
            wait_initial=WAIT_FIRST_S,
            wait_max=WAIT_LONGEST_S,
        )
        async for attempt in attempts:
            with attempt:
                await self._post(message, transport)

    async def _post(self, message: Message, transport: PublicTransport) -> None:
        now = datetime.now(UTC)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "Antiphon",
            "webhook-id": message.webhook_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self._signer.sign(message.webhook_id, now, message.body.decode()),
        }
        request = httpx.Request("POST", self._url, headers=headers, content=message.body)
        try:
            with anyio.fail_after(self._settings.timeout_s):
                # The transport, not a client: redirects are failures, and the answer's body is of no interest.
                response = await transport.handle_async_request(request)
                await response.aclose()
        except SpeechError as error:
            raise Undelivered(error.message, is_final=True) from error
        except TimeoutError as error:
            raise Undelivered(f"no answer within {self._settings.timeout_s:g} s") from error
        except httpx.HTTPError as error:
            raise Undelivered(f"the connection failed ({type(error).__name__})") from error
        if response.status_code == HTTPStatus.GONE:
            self._is_gone = True
            raise Undelivered("the endpoint said that it is gone", is_final=True)
        if not response.is_success:
            raise Undelivered(f"status {response.status_code}", retry_after_s=_retry_after_s(response.headers))

    def _bury(self, message: Message, reason: str) -> None:
        """The dead letter: what was not delivered, and why."""
        self.dead += 1
        _log.error(
            "webhook_dead", webhook_id=message.webhook_id, event_type=message.type, endpoint=self._number, reason=reason
        )


def wait_before_retry(error: Exception) -> bool | float:
    """Whether to try again, or when."""
    if not isinstance(error, Undelivered) or error.is_final:
        return False
    return True if error.retry_after_s is None else max(error.retry_after_s, WAIT_FIRST_S)


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    text = headers.get("Retry-After", "")
    seconds = float(text) if text.isascii() and text.isdigit() and len(text) <= len(str(int(DELIVERY_S))) else math.inf
    return seconds if seconds <= DELIVERY_S else None


def _message(session_id: str, event: ServerEvent, *, with_text: bool) -> Message:
    data: dict[str, Any] = msgspec.to_builtins(event) if with_text else _without_text(event)
    name = str(data.pop("type"))
    moment = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return Message(
        # Whoever has a session's id has the session; this one is often in logs.
        webhook_id=f"msg_{hashlib.sha256(f'{session_id}:{event.seq}'.encode()).hexdigest()[:32]}",
        type=name,
        body=msgspec.json.encode({"type": name, "timestamp": moment, "data": {"session_id": session_id, **data}}),
    )


def _without_text(value: ServerEvent | ErrorInfo) -> dict[str, Any]:
    """What is known to hold no text; of an error, its code."""
    private = _PRIVATE.union(open_fields(type(value)))
    fields: dict[str, Any] = msgspec.to_builtins(value)
    kept = {name: field for name, field in fields.items() if field is None or name not in private}
    if (error := getattr(value, "error", None)) is not None:
        kept["error"] = _without_text(error)
    return kept


def _checked_events(settings: WebhookSettings) -> frozenset[str]:
    known = [str(kind.__struct_config__.tag) for kind in get_args(ServerEvent)]
    if unknown := sorted(set(settings.events) - set(known)):
        raise _invalid("events", f"{unknown[0]!r} is not an event. There are: {', '.join(known)}.")
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
        raise _invalid("secret", "it must be whsec_ and 24 to 64 bytes in base64.") from error


def _invalid(name: str, problem: str) -> SpeechError:
    return SpeechError(ErrorCode.INVALID_SETTING, f"webhooks.{name}: {problem}", param=f"webhooks.{name}")
