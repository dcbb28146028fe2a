"""Who may come in: finds the principal of a key or token, and notices when it is one no longer.

Off where only this machine can connect, on where others can: :func:`is_required` says which. A server that would have
to turn everybody away does not start.
"""

from __future__ import annotations

import ipaddress
import math
from collections import defaultdict
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import anyio
import structlog
from anyio import to_thread
from msgspec import Struct

from schemas.errors import ErrorCode, SpeechError
from schemas.principal import LOCAL, Principal
from server.auth.keys import PREFIX, KeyFile, KeyRing, default_keys_path
from server.auth.tokens import TokenVerifier
from server.settings import Settings

_log = structlog.stdlib.get_logger("antiphon.server")

RELOAD_S: Final = 1.0
"""How often the file of keys is looked at. A revoked key is of no use after that."""


class Credential(Struct, frozen=True):
    """What a caller came in by."""

    principal: Principal
    key_id: str | None = None
    """Of an API key."""
    valid_s: float = math.inf
    """Of a token: for how long."""


class Access:
    """Checks credentials.

    Args:
        settings: Where the server listens, and what lets callers in.

    Raises:
        SpeechError: ``invalid_setting`` if nobody could be let in, or the file of keys cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        auth = settings.auth
        self.required = is_required(settings)
        self.resource = auth.resource
        """The address under which clients know the server, if it is set."""
        self._quotas = settings.quotas
        self._file = KeyFile(Path(auth.keys_file) if auth.keys_file else default_keys_path())
        self._version = self._file.version()
        self._keys = KeyRing(self._file.read() if self.required else (), settings.quotas)
        self._tokens = TokenVerifier(auth, settings.quotas) if self.required and auth.issuer else None
        self._held: dict[str, set[anyio.CancelScope]] = defaultdict(set)
        if self.required and not self._keys and self._tokens is None:
            raise SpeechError(
                ErrorCode.INVALID_SETTING,
                f"The server would listen on {settings.server.host} and let nobody in: there is no API key and no "
                "issuer of tokens. Make a key with antiphon keys create, or set auth.issuer; or, if everyone who "
                "reaches this address may use the server, set auth.mode to off (--insecure).",
                param="auth.mode",
            )
        if not self.required and not is_loopback(settings.server.host):
            _log.warning("open_to_everyone", host=settings.server.host)
        if not self.required and auth.mode == "auto" and auth.issuer:
            _log.warning(
                "issuer_not_used",
                host=settings.server.host,
                remedy="Tokens are not asked for on an address of this machine alone. Set auth.mode to on.",
            )

    async def credential(self, token: str | None) -> Credential:
        """What that key or token stands for.

        Raises:
            SpeechError: ``unauthenticated``; ``overloaded`` if a token cannot be checked now.
        """
        if not self.required:
            return Credential(LOCAL)
        if token is None:
            raise SpeechError(
                ErrorCode.UNAUTHENTICATED,
                "This server wants to know who asks. Send an API key or an access token: Authorization: Bearer ….",
            )
        if token.startswith(PREFIX) and (found := self._keys.principal(token)) is not None:
            key_id, principal = found
            return Credential(principal, key_id)
        if self._tokens is not None and not token.startswith(PREFIX):
            principal, valid_s = await self._tokens.principal(token)
            return Credential(principal, valid_s=valid_s)
        raise SpeechError(
            ErrorCode.UNAUTHENTICATED, "The key or token is not valid. It may be mistyped, out of date or revoked."
        )

    @contextmanager
    def held(self, credential: Credential) -> Generator[anyio.CancelScope]:
        """A scope that is cancelled when the credential ceases to be valid: streams can outlive it by hours."""
        with anyio.CancelScope(deadline=anyio.current_time() + credential.valid_s) as scope:
            if credential.key_id is None:
                yield scope
                return
            scopes = self._held[credential.key_id]
            scopes.add(scope)
            try:
                yield scope
            finally:
                scopes.discard(scope)
                if not scopes:
                    self._held.pop(credential.key_id, None)

    async def watch(self) -> None:
        """Follow the file of keys, for as long as the server runs."""
        while self.required:
            await anyio.sleep(RELOAD_S)
            await self.reload()

    async def reload(self) -> None:
        """Look at the file of keys now."""
        version = await to_thread.run_sync(self._file.version)
        if version == self._version:
            return
        try:
            records = await to_thread.run_sync(self._file.read)
        except SpeechError as error:
            _log.error("keys_not_read", reason=error.message)
            return
        self._version = version
        self._keys = KeyRing(records, self._quotas)
        for key_id in [key_id for key_id in self._held if key_id not in self._keys]:
            for scope in self._held[key_id]:
                scope.cancel()
        _log.info("keys_read", count=len(self._keys))


def is_required(settings: Settings) -> bool:
    """Whether callers must say who they are."""
    match settings.auth.mode:
        case "on":
            return True
        case "off":
            return False
        case "auto":
            return not is_loopback(settings.server.host)


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect to that address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
