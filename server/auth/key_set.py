"""The public keys of a token issuer: a JSON Web Key Set (RFC 7517), from a file or by HTTPS, kept for a while."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, cast

import anyio
import httpx
import msgspec
import structlog
from anyio import to_thread
from jwt import PyJWK
from jwt.exceptions import PyJWTError
from msgspec import Struct

from schemas.errors import ErrorCode, SpeechError

_log = structlog.stdlib.get_logger("antiphon.server")

KEPT_S: Final = 300.0
"""After this they are asked for again. A key that the issuer withdrew is good for as long."""
UNKNOWN_RETRY_S: Final = 10.0
"""For a key that is not among them they are asked for again, but not by everyone who makes up a name."""
STALE_S: Final = 3_600.0
"""While the issuer does not answer, those there are stay good for so long."""
_TIMEOUT_S: Final = 5.0
_MAX_BYTES: Final = 1_000_000


_RSA_ALGORITHMS: Final = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})


class PublicKey(Struct, frozen=True, eq=False):
    """A key that checks signatures."""

    material: Any
    """As PyJWT wants it."""
    algorithms: frozenset[str]
    """It may be used with: the one that it names, or else any of its kind."""


class KeySet:
    """Public keys by their id.

    Args:
        source: A URL, or the path of a file.
        clock: Seconds, monotonic.
    """

    def __init__(self, source: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._clock = clock
        self._keys: dict[str | None, PublicKey] = {}
        self._asked_s = -STALE_S
        self._read_s = -STALE_S
        self._reading = anyio.Lock()

    async def find(self, key_id: str | None) -> PublicKey | None:
        """The key of that id; of no id, the only one there is.

        Raises:
            SpeechError: ``overloaded`` if the keys cannot be had, which is not the caller's fault.
        """
        age_s = self._clock() - self._asked_s
        if age_s >= KEPT_S or (key_id not in self._keys and age_s >= UNKNOWN_RETRY_S):
            async with self._reading:
                if self._clock() - self._asked_s >= age_s:  # nobody else asked meanwhile
                    await self._refresh()
        if not self._keys or self._clock() - self._read_s > STALE_S:
            raise SpeechError(
                ErrorCode.OVERLOADED,
                "The keys of the token issuer cannot be had at the moment, so that no token can be checked.",
                retry_after_s=UNKNOWN_RETRY_S,
            )
        if key_id is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(key_id)

    async def _refresh(self) -> None:
        self._asked_s = self._clock()
        try:
            keys = _parsed(await self._read())
        except (OSError, httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            _log.warning("token_keys_not_read", reason=type(error).__name__)
            return
        self._keys = keys
        self._read_s = self._asked_s

    async def _read(self) -> bytes:
        if not self._source.startswith(("https://", "http://")):
            return await to_thread.run_sync(Path(self._source).read_bytes)
        data = bytearray()
        with anyio.fail_after(_TIMEOUT_S):  # a TimeoutError is an OSError
            async with httpx.AsyncClient(timeout=_TIMEOUT_S) as client, client.stream("GET", self._source) as response:
                response.raise_for_status()
                async for piece in response.aiter_bytes():
                    data += piece
                    if len(data) > _MAX_BYTES:
                        raise ValueError
        return bytes(data)


def _parsed(data: bytes) -> dict[str | None, PublicKey]:
    document = msgspec.json.decode(data, type=dict[str, Any])
    keys: dict[str | None, PublicKey] = {}
    for entry in cast("list[dict[str, Any]]", document.get("keys", [])):
        # A shared secret is no public key: whoever can check tokens by one can make them.
        if entry.get("kty") == "oct" or entry.get("use", "sig") != "sig":
            continue
        try:
            key = PyJWK(entry)
        except PyJWTError:
            continue  # of a kind that came after us
        is_free = key.key_type == "RSA" and "alg" not in entry
        keys[key.key_id] = PublicKey(key.key, _RSA_ALGORITHMS if is_free else frozenset({key.algorithm_name}))
    return keys
