from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import ErrorCode, SpeechError
from server.http.hosts import HostPolicy


def allowed(policy: HostPolicy, host: str, origin: str | None = None) -> bool:
    try:
        policy.check(host, origin)
    except SpeechError as error:
        return error.code is not ErrorCode.FORBIDDEN
    return True


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:8080", "LOCALHOST:1", "127.0.0.1:8080", "[::1]:8080", "192.168.1.7:80", "[fe80::1]"],
)
def test_this_machine_and_addresses_are_answered_to(host: str) -> None:
    assert allowed(HostPolicy(()), host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "evil.example:8080",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "[::1",
        "a b",
        "@",
        "1",
        "evil.example@localhost",
        "localhost:80:80",
    ],
)
def test_other_names_are_refused(host: str) -> None:
    assert not allowed(HostPolicy(()), host)


def test_listed_names_are_answered_to() -> None:
    policy = HostPolicy(("speech.example", "*.corp.example"))
    assert allowed(policy, "speech.example:443")
    assert allowed(policy, "Speech.Example")
    assert allowed(policy, "a.corp.example")
    assert not allowed(policy, "corp.example")
    assert not allowed(policy, "xcorp.example")
    assert not allowed(policy, "other.example")


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("localhost:8080", "http://localhost:3000"),
        ("127.0.0.1:8080", "http://localhost:3000"),
        ("localhost:8080", "http://127.0.0.1:3000"),
        ("192.168.1.7:8080", "http://192.168.1.7:8080"),
        ("192.168.1.7:8080", "https://speech.example"),
    ],
)
def test_pages_of_this_machine_of_the_same_host_and_of_listed_names_may_call(host: str, origin: str) -> None:
    assert allowed(HostPolicy(("speech.example",)), host, origin)


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "", "http://192.168.1.9", "file://", "http://localhost.evil.example"]
)
def test_pages_from_elsewhere_may_not(origin: str) -> None:
    assert not allowed(HostPolicy(()), "192.168.1.7:8080", origin)
    assert not allowed(HostPolicy(()), "localhost", origin)


def test_a_star_allows_everything() -> None:
    assert allowed(HostPolicy(("*",)), "evil.example", "http://worse.example")


@given(host=st.text(), origin=st.none() | st.text())
def test_no_header_makes_it_fail_otherwise(host: str, origin: str | None) -> None:
    allowed(HostPolicy(("speech.example",)), host, origin)
