"""HTTP to addresses that callers name: to public ones, whatever a name resolves to or a redirect says.

A server that fetches what it is told to can be told to fetch from the network it stands in (server-side request
forgery). So each request, the first as each redirect, is resolved here, once; every address of the name must be public;
and the connection goes to the address that was checked, not to the name, which could resolve differently by then. The
certificate is still that of the name.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from functools import cache
from http import HTTPStatus
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

import anyio
import httpx
from msgspec import Struct, field

from schemas.errors import ErrorCode, SpeechError

Address = IPv4Address | IPv6Address
Resolve = Callable[[str, int], Awaitable[list[Address]]]
"""The addresses of a host, for a port.

Raises:
    OSError: It has none.
"""

MAX_REDIRECTS: Final = 3
FETCHES_MAX: Final = 4
"""At the same time: each holds a file in memory. Others wait for their turn, which is part of their time."""
FETCHES_EACH: Final = 2
"""Of one tenant. So its files, however slowly they come, leave turns to the others, whose line is never longer than
that of the tenants times this."""
FETCHES_WAITING_EACH: Final = 16
"""Of one tenant. One more is refused."""
_BUSY_RETRY_S: Final = 5.0
_PORTS: Final = {"http": 80, "https": 443}
NOT_PUBLIC: Final = "Its host has no address, or one that is not public."
"""One reason for both, or a caller could try which names a private network has."""
_NO_SUCH_NAME: Final = frozenset({socket.EAI_NONAME, socket.EAI_NODATA})


@cache
def _tls() -> ssl.SSLContext:
    return httpx.create_ssl_context(trust_env=False)


def is_public(address: Address) -> bool:
    """Whether an address is one of the internet at large.

    Private, loopback, link-local, shared, multicast, documentation and reserved addresses are not; nor are addresses
    of IPv6 that hold one of IPv4 (mapped, NAT64, 6to4, Teredo): they may lead to any of those.
    """
    if isinstance(address, IPv6Address) and (address.sixtofour or address.teredo or address.is_site_local):
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved)


async def resolved(host: str, port: int) -> list[Address]:
    """What the system's resolver says, which reads decimal, octal and hexadecimal forms as well."""
    found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [ip_address(str(sockaddr[0]).partition("%")[0]) for *_, sockaddr in found]


class PublicTransport(httpx.AsyncBaseTransport):
    """A transport of httpx that reaches public addresses alone.

    Args:
        trusted: Hosts that are reached wherever they are, as ``host:port``: exactly as a URL has them.
        resolve: The resolver.
    """

    def __init__(self, trusted: Collection[str] = (), resolve: Resolve = resolved) -> None:
        self._trusted = frozenset(trusted)
        self._resolve = resolve
        # A connection kept for one name must not serve another that has the same address.
        self._inner = httpx.AsyncHTTPTransport(verify=_tls(), limits=httpx.Limits(max_keepalive_connections=0))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, if it goes where it may.

        Raises:
            SpeechError: ``url_refused``.
            httpx.ConnectError: The name could not be resolved, or what it leads to not be reached.
        """
        url = request.url
        address = await self.destination(url)
        pinned = httpx.Request(
            request.method,
            url.copy_with(host=str(address)),
            headers=request.headers,  # Host is there already, with the name
            stream=request.stream,
            extensions={**request.extensions, "sni_hostname": url.raw_host.decode("ascii")},
        )
        return await self._inner.handle_async_request(pinned)

    async def destination(self, url: httpx.URL) -> Address:
        """Where a request to that URL would go, if it may.

        Raises:
            SpeechError: ``url_refused``.
            httpx.ConnectError: The name could not be resolved.
        """
        if url.scheme not in _PORTS or not url.host or url.userinfo:
            raise refused("It must be an http or https URL without a user name.")
        return await self._checked_address(url.raw_host.decode("ascii"), url.port or _PORTS[url.scheme])

    async def _checked_address(self, host: str, port: int) -> Address:
        try:
            addresses = await self._resolve(host, port)
        except OSError as error:
            raise httpx.ConnectError("the name was not resolved") from error  # it may be, a moment later
        except ValueError:
            addresses = []  # no name at all
        is_trusted = f"{host}:{port}" in self._trusted
        if not addresses or not (is_trusted or all(map(is_public, addresses))):
            raise refused(NOT_PUBLIC)
        return addresses[0]

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()


def refused(reason: str) -> SpeechError:
    """The error for a URL that is not to be followed. It tells nothing of what the name resolved to."""
    return SpeechError(ErrorCode.URL_REFUSED, f"The URL is not one this server follows. {reason}", param="url")


class FetchLimits(Struct, frozen=True, kw_only=True):
    """Whether, from where and how much may be fetched."""

    enabled: bool = False
    max_bytes: int = 100_000_000
    """Size of a file."""
    timeout_s: float = 30.0
    """For all of it, redirects included."""
    trusted_hosts: tuple[str, ...] = ()
    """As for :class:`PublicTransport`."""


class Fetcher:
    """Fetches files by URL.

    Args:
        limits: Left out, nothing is fetched.
        resolve: The resolver.
    """

    def __init__(self, limits: FetchLimits | None = None, resolve: Resolve = resolved) -> None:
        self._limits = limits or FetchLimits()
        self._resolve = resolve
        self._turns = _Turns()

    async def fetch(self, url: str, tenant: str) -> bytes:
        """The file.

        Args:
            url: Where it is.
            tenant: For whom: tenants take turns.

        Raises:
            SpeechError: ``url_refused``; ``fetch_failed`` if it cannot be had in time; ``body_too_large``;
                ``quota_exceeded`` if too many of the tenant's wait already.
        """
        if not self._limits.enabled:
            raise refused("It takes audio by URL only if fetch.enabled is set. Send the audio itself.")
        try:
            with anyio.fail_after(self._limits.timeout_s):
                async with self._turns.of(tenant):
                    return await self._fetched(url)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise refused("It is not a valid http or https URL.") from error
        except TimeoutError as error:
            raise _failed(f"It was not complete within {self._limits.timeout_s:g} s.") from error
        except httpx.TooManyRedirects as error:
            raise _failed(f"It redirects more than {MAX_REDIRECTS} times.") from error
        except httpx.HTTPError as error:
            if isinstance(cause := error.__cause__, socket.gaierror) and cause.errno in _NO_SUCH_NAME:
                raise refused(NOT_PUBLIC) from error
            raise _failed(f"The connection failed ({type(error).__name__}).") from error

    async def _fetched(self, url: str) -> bytes:
        client = httpx.AsyncClient(
            transport=PublicTransport(self._limits.trusted_hosts, self._resolve),
            follow_redirects=True,
            max_redirects=MAX_REDIRECTS,
            timeout=self._limits.timeout_s,
            trust_env=False,
            # What is unpacked on the way would have no limit.
            headers={"Accept-Encoding": "identity", "User-Agent": "Antiphon"},
        )
        async with client, client.stream("GET", url) as response:
            if response.status_code != HTTPStatus.OK:
                raise _failed(f"Its server answered with status {response.status_code}.")
            if response.headers.get("Content-Encoding", "identity") != "identity":
                raise _failed("Its server sent it compressed.")
            data = bytearray()
            async for piece in response.aiter_raw():
                data += piece
                if len(data) > self._limits.max_bytes:
                    raise SpeechError(
                        ErrorCode.BODY_TOO_LARGE,
                        f"What the URL leads to is larger than the {self._limits.max_bytes} bytes this server takes.",
                        param="url",
                    )
            return bytes(data)


class _Turns:
    """Who may fetch now: :data:`FETCHES_MAX` in all, first come first served, of whom a tenant is some only."""

    def __init__(self) -> None:
        self._all = anyio.CapacityLimiter(FETCHES_MAX)
        self._by_tenant: dict[str, _TenantTurns] = {}

    @asynccontextmanager
    async def of(self, tenant: str) -> AsyncGenerator[None]:
        own = self._by_tenant.setdefault(tenant, _TenantTurns())
        if own.asked >= FETCHES_EACH + FETCHES_WAITING_EACH:
            raise SpeechError(
                ErrorCode.QUOTA_EXCEEDED,
                f"{own.asked} files are being fetched for this key or token, or wait for it. Try again later, or send "
                "the audio itself.",
                param="url",
                retry_after_s=_BUSY_RETRY_S,
            )
        own.asked += 1
        try:
            async with own.limiter, self._all:
                yield
        finally:
            own.asked -= 1
            if not own.asked:
                del self._by_tenant[tenant]


class _TenantTurns(Struct, eq=False):
    """Of one tenant."""

    asked: int = 0
    """How many there are, those that wait included."""
    limiter: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(FETCHES_EACH))


def _failed(reason: str) -> SpeechError:
    return SpeechError(ErrorCode.FETCH_FAILED, f"What the URL leads to could not be fetched. {reason}", param="url")
