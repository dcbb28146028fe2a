"""Which names the server answers to.

A web page anywhere can make a browser send requests to ``localhost``, or to its own name after pointing that name
at a private address (DNS rebinding). Both are told by the ``Host`` and ``Origin`` headers:

- ``Host`` must be ``localhost``, an IP address (which no rebinding can produce) or a name in ``allowed_hosts``;
- ``Origin``, which only browsers send, must be that same host, this machine itself or a name in ``allowed_hosts``.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from urllib.parse import urlsplit

from schemas.errors import ErrorCode, SpeechError


class HostPolicy:
    """Checks ``Host`` and ``Origin``.

    Args:
        allowed_hosts: Names besides ``localhost`` and IP addresses; ``*.example.com`` allows subdomains of
            ``example.com``, ``*`` everything.
    """

    def __init__(self, allowed_hosts: Sequence[str]) -> None:
        self._everything = "*" in allowed_hosts
        self._names = frozenset(name.lower() for name in allowed_hosts if not name.startswith("*"))
        self._suffixes = tuple(name[1:].lower() for name in allowed_hosts if name.startswith("*."))

    def check(self, host: str, origin: str | None) -> None:
        """Raise ``SpeechError(forbidden)`` unless the request may come in.

        Args:
            host: The ``Host`` header, with or without port; empty if absent.
            origin: The ``Origin`` header, if any.
        """
        if self._everything:
            return
        host_name = _name(f"//{host}")
        if host_name is None or not (self._is_listed(host_name) or _is_address(host_name)):
            raise SpeechError(
                ErrorCode.FORBIDDEN,
                "This server does not answer to that host name. Use localhost or its IP address, or have its "
                "operator add the name to server.allowed_hosts.",
            )
        if origin is None:
            return
        origin_name = _name(origin)
        if origin_name is None or not (origin_name == host_name or self._is_listed(origin_name)):
            raise SpeechError(
                ErrorCode.FORBIDDEN,
                "Web pages of that origin may not use this server. Its operator can add the host of the page to "
                "server.allowed_hosts.",
            )

    def _is_listed(self, name: str) -> bool:
        return name in self._names or name.endswith(self._suffixes) or name == "localhost" or _is_loopback(name)


def _name(url: str) -> str | None:
    """Its host, if it has one and no more than a host and a port."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return None if "@" in parts.netloc else parts.hostname


def _is_address(name: str) -> bool:
    return _address(name) is not None


def _is_loopback(name: str) -> bool:
    address = _address(name)
    return address is not None and address.is_loopback


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None
