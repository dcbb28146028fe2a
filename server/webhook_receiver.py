"""One address that messages are posted to: signed by the Standard Webhooks scheme, and again until they are taken.

What cannot be delivered is logged and counted, without its content.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final

import anyio
import httpx
import stamina
import structlog
from msgspec import Struct
from standardwebhooks.webhooks import Webhook

from engines.public_http import PublicTransport
from schemas.errors import SpeechError
from server.webhook_messages import Message

_log = structlog.stdlib.get_logger("antiphon.webhooks")

ATTEMPTS: Final = 8
WAIT_FIRST_S: Final = 1.0
WAIT_LONGEST_S: Final = 60.0
DELIVERY_S: Final = 300.0
"""For all attempts of one message; those behind it wait that long at most."""
STOPPING: Final = "the server stops"


class Tally(Struct):
    """What became of messages."""

    delivered: int = 0
    dead: int = 0
    """Given up."""


class Undelivered(Exception):  # noqa: N818  not an error of ours
    """An attempt failed. It names no URL: that may hold a secret of the receiver's."""

    def __init__(self, reason: str, *, is_final: bool = False, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.is_final = is_final
        self.retry_after_s = retry_after_s


class Receiver:
    """Posts to one address.

    Args:
        url: The address.
        name: For the log.
        signer: Knows the secret.
        tally: Counts.
        transport: The way out.
        timeout_s: For one attempt.
    """

    def __init__(
        self, url: str, name: str, *, signer: Webhook, tally: Tally, transport: PublicTransport, timeout_s: float
    ) -> None:
        self._url = url
        self._name = name
        self._signer = signer
        self._tally = tally
        self._transport = transport
        self._timeout_s = timeout_s
        self._is_gone = False

    async def take(self, message: Message) -> bool:
        """Whether the message was delivered, by as many attempts as it took."""
        try:
            await self._deliver(message)
        except Undelivered as error:
            self.bury(message, error.reason)
        except anyio.get_cancelled_exc_class():
            self.bury(message, STOPPING)
            raise
        except Exception:  # noqa: BLE001  the boundary: one message must not stop the others
            _log.exception("webhook_failed", endpoint=self._name)
            self.bury(message, "the server failed")
        else:
            self._tally.delivered += 1
            return True
        return False

    def bury(self, message: Message, reason: str) -> None:
        """The dead letter: what was not delivered, and why."""
        self._tally.dead += 1
        _log.error(
            "webhook_dead", webhook_id=message.webhook_id, event_type=message.type, endpoint=self._name, reason=reason
        )

    async def _deliver(self, message: Message) -> None:
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
                await self._post(message)

    async def _post(self, message: Message) -> None:
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
            with anyio.fail_after(self._timeout_s):
                # The transport, not a client: redirects are failures, and the answer's body is of no interest.
                response = await self._transport.handle_async_request(request)
                await response.aclose()
        except SpeechError as error:
            raise Undelivered(error.message, is_final=True) from error
        except TimeoutError as error:
            raise Undelivered(f"no answer within {self._timeout_s:g} s") from error
        except httpx.HTTPError as error:
            raise Undelivered(f"the connection failed ({type(error).__name__})") from error
        if response.status_code == HTTPStatus.GONE:
            self._is_gone = True
            raise Undelivered("the endpoint said that it is gone", is_final=True)
        if not response.is_success:
            raise Undelivered(f"status {response.status_code}", retry_after_s=_retry_after_s(response.headers))


def wait_before_retry(error: Exception) -> bool | float:
    """Whether to try again, or when."""
    if not isinstance(error, Undelivered) or error.is_final:
        return False
    return True if error.retry_after_s is None else max(error.retry_after_s, WAIT_FIRST_S)


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    text = headers.get("Retry-After", "")
    seconds = float(text) if text.isascii() and text.isdigit() and len(text) <= len(str(int(DELIVERY_S))) else math.inf
    return seconds if seconds <= DELIVERY_S else None
