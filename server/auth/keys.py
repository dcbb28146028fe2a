"""API keys: made, listed and revoked on the command line, kept as hashes in one file.

A key is ``antiphon_ID_SECRET``. Its secret has 256 random bits, so that a plain SHA-256 keeps it: there is nothing to
guess that a slow hash would have to slow down. Whoever reads the file learns who may do what, and no key.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import msgspec
from filelock import FileLock
from msgspec import Meta, Struct
from msgspec.structs import replace
from platformdirs import user_data_path

from schemas.errors import ErrorCode, SpeechError
from schemas.principal import Principal, Quotas, Scope, Tenant

PREFIX: Final = "antiphon_"
_ID_BYTES: Final = 6
_SECRET_BYTES: Final = 32
_NO_HASH: Final = "0" * 64
"""Compared with when no such key is known, so that it takes as long to say so."""
_LOCK_TIMEOUT_S: Final = 10.0


class KeyRecord(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key as it is kept."""

    id: Annotated[str, Meta(pattern="^[0-9a-f]{12}$")]
    name: str
    """What it is for, for people."""
    tenant: Tenant
    scopes: tuple[Scope, ...]
    quotas: Quotas = Quotas()
    """What is left out is that of the settings."""
    created_at: str
    """RFC 3339, UTC."""
    revoked_at: str | None = None
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    """Of the whole key."""


class _Contents(Struct, frozen=True, forbid_unknown_fields=True):
    keys: tuple[KeyRecord, ...] = ()


def default_keys_path() -> Path:
    """Beside the sessions, in the user's data folder."""
    return user_data_path("antiphon") / "keys.json"


class KeyFile:
    """The file of all keys.

    Args:
        path: It need not exist: there are no keys then.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def version(self) -> tuple[int, int, int] | None:
        """Changes when the file does; ``None`` while there is none."""
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size

    def read(self) -> tuple[KeyRecord, ...]:
        """Every key, revoked ones included, oldest first.

        Raises:
            SpeechError: ``invalid_setting`` if the file cannot be read or holds something else.
        """
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=_Contents).keys
        except FileNotFoundError:
            return ()
        except (OSError, msgspec.DecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise SpeechError(
                ErrorCode.INVALID_SETTING,
                f"The file of API keys {self._path} cannot be used: {reason}. Point auth.keys_file "
                "(ANTIPHON_AUTH_KEYS_FILE) at another, or make it anew with antiphon keys create.",
                param="auth.keys_file",
            ) from error

    def create(self, *, name: str, tenant: str, scopes: Sequence[Scope], quotas: Quotas) -> tuple[str, KeyRecord]:
        """A new key, which is known only now, and its record, which is kept.

        Raises:
            SpeechError: ``invalid_setting`` as :meth:`read`, or if the file cannot be written.
        """
        key_id = secrets.token_hex(_ID_BYTES)
        key = f"{PREFIX}{key_id}_{secrets.token_urlsafe(_SECRET_BYTES)}"
        record = KeyRecord(
            id=key_id,
            name=name,
            tenant=tenant,
            scopes=tuple(scopes),
            quotas=quotas,
            created_at=_now(),
            sha256=_sha256(key),
        )
        with self._locked():
            self._write((*self.read(), record))
        return key, record

    def revoke(self, key_id: str) -> KeyRecord:
        """Let nobody in by that key any more. Its record stays.

        Raises:
            SpeechError: ``not_found``; ``invalid_setting`` as :meth:`create`.
        """
        with self._locked():
            records = {record.id: record for record in self.read()}
            if key_id not in records:
                raise SpeechError(ErrorCode.NOT_FOUND, f"There is no key {key_id!r}. See: antiphon keys list")
            if records[key_id].revoked_at is None:
                records[key_id] = replace(records[key_id], revoked_at=_now())
                self._write(tuple(records.values()))
            return records[key_id]

    def _locked(self) -> FileLock:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._unwritable(error) from error
        return FileLock(self._path.with_name(f"{self._path.name}.lock"), timeout=_LOCK_TIMEOUT_S)

    def _write(self, records: tuple[KeyRecord, ...]) -> None:
        data = msgspec.json.format(msgspec.json.encode(_Contents(records)))
        try:
            # Readable by its owner alone from the start; a server that reads it meanwhile sees the old one or the new.
            descriptor, name = tempfile.mkstemp(prefix=f".{self._path.name}-", dir=self._path.parent)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            Path(name).replace(self._path)
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> SpeechError:
        return SpeechError(
            ErrorCode.INVALID_SETTING,
            f"The file of API keys {self._path} cannot be written: {error.strerror}.",
            param="auth.keys_file",
        )


class KeyRing:
    """The keys of a file, to find a caller's by.

    Args:
        records: As the file has them.
        quotas: For what a key's own quotas leave out.
    """

    def __init__(self, records: Sequence[KeyRecord], quotas: Quotas) -> None:
        self._records = {record.id: record for record in records if record.revoked_at is None}
        self._quotas = quotas

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, key_id: str) -> bool:
        return key_id in self._records

    def principal(self, key: str) -> tuple[str, Principal] | None:
        """The id of a key and whose it is; ``None`` if it is none, or revoked."""
        key_id, _, _ = key.removeprefix(PREFIX).partition("_")
        record = self._records.get(key_id)
        matches = hmac.compare_digest(_sha256(key), record.sha256 if record else _NO_HASH)
        if record is None or not matches:
            return None
        own = {name: value for name, value in msgspec.structs.asdict(record.quotas).items() if value is not None}
        return record.id, Principal(
            tenant=record.tenant,
            subject=f"key:{record.id}",
            scopes=frozenset(record.scopes),
            quotas=replace(self._quotas, **own),
        )


def _sha256(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
