"""Files from the Hugging Face hub, or from a mirror that answers like it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Final, Self

import httpx
import stamina
from msgspec import Struct

from engines.models.catalog import HuggingFaceOrigin, ModelFile
from engines.models.weights import OnProgress, OriginError, Progress, write_checked
from schemas.errors import ErrorCode, SpeechError

_TIMEOUT = httpx.Timeout(30.0, connect=10.0)
_FILE_DEADLINE_S: Final = 1_800.0
_ATTEMPTS: Final = 4
_RETRY_WAIT_MAX_S: Final = 20.0


class HuggingFaceAccess(Struct, frozen=True):
    """Which hub to ask, and as whom."""

    endpoint: str = "https://huggingface.co"
    token: str | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """As the hub's own tools read it: ``HF_ENDPOINT`` and ``HF_TOKEN``.

        Raises:
            SpeechError: ``invalid_setting`` if the token cannot be sent.
        """
        token = environment.get("HF_TOKEN", "").strip()
        if not (token.isascii() and token.isprintable()):
            raise SpeechError(ErrorCode.INVALID_SETTING, "HF_TOKEN has characters that no token has.", param="HF_TOKEN")
        endpoint = environment.get("HF_ENDPOINT", "").strip().rstrip("/")
        return cls(endpoint or cls().endpoint, token or None)

    def __repr__(self) -> str:
        return f"HuggingFaceAccess({self.endpoint!r}, token={'set' if self.token else None})"


class _BusyError(Exception):
    """The hub asks to come back later."""

    def __init__(self, response: httpx.Response) -> None:
        super().__init__(f"it answered HTTP {response.status_code}")
        wait = response.headers.get("retry-after", "")
        self.wait_s = min(float(wait), _RETRY_WAIT_MAX_S) if wait.isdecimal() else None


def download(
    origin: HuggingFaceOrigin,
    files: Sequence[ModelFile],
    into: Path,
    access: HuggingFaceAccess,
    on_progress: OnProgress,
) -> None:
    """Fetch files into a folder; each is checked as it arrives.

    A transport failure and the statuses 429 and 5xx are tried again. The token goes to the hub alone: httpx drops
    the header on a redirect to another host.

    Raises:
        OriginError: a file could not be had.
    """
    headers = {"Authorization": f"Bearer {access.token}"} if access.token else {}
    total_bytes = sum(file.size_bytes for file in files)
    before_bytes = 0
    with httpx.Client(headers=headers, timeout=_TIMEOUT, follow_redirects=True) as client:
        for file in files:

            def report(file_bytes: int, before_bytes: int = before_bytes) -> None:
                on_progress(Progress(str(origin), before_bytes + file_bytes, total_bytes))

            url = f"{access.endpoint}/{origin.repo}/resolve/{origin.revision}/{origin.members(file.path)[0]}"
            try:
                for attempt in stamina.retry_context(
                    on=_backoff, attempts=_ATTEMPTS, timeout=_FILE_DEADLINE_S, wait_max=_RETRY_WAIT_MAX_S
                ):
                    with attempt, client.stream("GET", url) as response:
                        _check(response, file)
                        write_checked(file, _body(response, file, report), into)
            except _BusyError as error:
                raise OriginError(str(error)) from None
            except httpx.HTTPError as error:
                raise OriginError(f"it could not be reached ({type(error).__name__})") from None
            except httpx.InvalidURL:
                raise OriginError("HF_ENDPOINT is not a web address") from None
            before_bytes += file.size_bytes


def _backoff(error: Exception) -> bool | float:
    if isinstance(error, _BusyError):
        return True if error.wait_s is None else error.wait_s
    return isinstance(error, httpx.TransportError) and not isinstance(error, httpx.UnsupportedProtocol)


def _check(response: httpx.Response, file: ModelFile) -> None:
    status = response.status_code
    if status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise _BusyError(response)
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        raise OriginError("it refused access; set HF_TOKEN to a token that may read this repository")
    if status == HTTPStatus.NOT_FOUND:
        raise OriginError(f"it has no {file.path}")
    if status != HTTPStatus.OK:
        raise OriginError(f"it answered HTTP {status}")


def _body(response: httpx.Response, file: ModelFile, report: Callable[[int], None]) -> Iterator[bytes]:
    deadline_s = time.monotonic() + _FILE_DEADLINE_S
    done_bytes = 0
    for chunk in response.iter_bytes():
        if time.monotonic() > deadline_s:
            raise OriginError(f"{file.path} took longer than {_FILE_DEADLINE_S / 60:.0f} minutes")
        done_bytes += len(chunk)
        report(done_bytes)
        yield chunk
