"""Row 10: audio by URL reaches public addresses alone, whatever a URL, a name or a redirect says."""

from __future__ import annotations

import itertools
import socket
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import Any, cast

import anyio
import httpx
import numpy as np
import pytest

from engines.codec.encoder import encode_all
from engines.fake import fake_engines
from engines.host import EngineHost
from engines.public_http import (
    FETCHES_EACH,
    FETCHES_MAX,
    FETCHES_WAITING_EACH,
    Fetcher,
    FetchLimits,
    PublicTransport,
    is_public,
)
from engines.spec import HostSettings
from engines.tones import encode_word
from schemas.audio import AudioFormat
from schemas.errors import ErrorCode, SpeechError
from server.app import create_app
from server.settings import FetchSettings, ModelSettings, Settings, StoreSettings

pytestmark = pytest.mark.anyio

FORMS_OF_THIS_MACHINE = [
    "127.0.0.1",
    "localhost",
    "localhost.",
    "127.1",
    "2130706433",
    "0177.0.0.1",
    "0x7f000001",
    "0x7f.0.0.1",
    "0.0.0.0",
    "0",
    "[::1]",
    "[::]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[2002:7f00:1::]",
    "127。0。0。1",
    "①②⑦.0.0.1",
]
FOREIGN_NETWORKS = [
    "10.0.0.1",
    "172.16.0.1",
    "192.168.0.1",
    "169.254.169.254",
    "100.64.0.1",
    "192.0.2.1",
    "198.18.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "[fc00::1]",
    "[fd12:3456::1]",
    "[fe80::1]",
    "[fec0::1]",
    "[ff02::1]",
    "[2001:db8::1]",
    "[2001::1]",
    "[::ffff:10.0.0.1]",
]
TENANT = "a"
OTHER_SCHEMES = ["file:///etc/passwd", "ftp://127.0.0.1/a", "gopher://127.0.0.1/", "data:audio/wav;base64,AAAA", "//a"]
NO_URLS = ["", "http://", "http://[::1", "http://a b/", "http:///etc/passwd", "http://\x00/", "x" * 2_000]


@asynccontextmanager
async def client_of(fetch: FetchSettings) -> AsyncGenerator[httpx.AsyncClient]:
    """A client of an application with those settings."""
    settings = Settings(models=ModelSettings(warm=False), store=StoreSettings(kind="memory"), fetch=fetch)
    app = create_app(settings, host=EngineHost(fake_engines(), HostSettings(grace_s=1.0)))
    async with app.lifespan():
        transport = httpx.ASGITransport(cast("Any", app), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
            yield client


@pytest.fixture(scope="module")
def spoken_wav() -> bytes:
    """A WAV file in which the fake voice says three words."""
    words = np.concatenate([encode_word(word, 16_000) for word in ("hello", "there.", "bye.")])
    return encode_all(words, AudioFormat.WAV, 16_000)


def fetcher(**limits: Any) -> Fetcher:
    return Fetcher(FetchLimits(enabled=True, **limits))


async def refusal(fetch: Awaitable[bytes], code: ErrorCode = ErrorCode.URL_REFUSED) -> str:
    with anyio.fail_after(30), pytest.raises(SpeechError) as caught:
        await fetch
    assert caught.value.code is code
    return caught.value.message


@pytest.mark.parametrize("host", FORMS_OF_THIS_MACHINE)
async def test_no_form_of_the_address_of_this_machine_is_reached(canary: Any, host: str) -> None:
    await refusal(fetcher().fetch(f"http://{host}:{canary.port}/a.wav", TENANT))
    assert canary.hits == []


@pytest.mark.parametrize("host", FOREIGN_NETWORKS)
async def test_no_address_of_another_network_is_reached(host: str) -> None:
    await refusal(fetcher().fetch(f"http://{host}/a.wav", TENANT))


@pytest.mark.parametrize("url", [*OTHER_SCHEMES, *NO_URLS])
async def test_what_is_no_http_url_is_refused(url: str) -> None:
    await refusal(fetcher().fetch(url, TENANT))


async def test_a_user_name_in_a_url_is_refused(canary: Any) -> None:
    await refusal(fetcher(trusted_hosts=(canary.host,)).fetch(f"http://example.org@{canary.host}/", TENANT))
    assert canary.hits == []


@pytest.mark.parametrize(
    "addresses", [["127.0.0.1"], ["93.184.216.34", "127.0.0.1"], ["::ffff:127.0.0.1"], []], ids=str
)
async def test_a_name_with_an_address_that_is_not_public_is_refused(canary: Any, addresses: list[str]) -> None:
    async def resolve(_host: str, _port: int) -> list[Any]:
        return [ip_address(address) for address in addresses]

    message = await refusal(
        Fetcher(FetchLimits(enabled=True), resolve).fetch(f"http://evil.test:{canary.port}/", TENANT)
    )
    assert "127.0.0.1" not in message
    assert canary.hits == []


async def test_a_name_that_is_not_resolved_may_be_tried_again() -> None:
    async def resolve(_host: str, _port: int) -> list[Any]:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    fetch = Fetcher(FetchLimits(enabled=True), resolve).fetch("http://public.test/", TENANT)
    assert "connection failed" in await refusal(fetch, ErrorCode.FETCH_FAILED)


async def test_a_name_that_does_not_exist_looks_like_a_private_one() -> None:
    async def resolve(host: str, _port: int) -> list[Any]:
        if host == "none.test":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [ip_address("10.0.0.1")]

    fetcher = Fetcher(FetchLimits(enabled=True), resolve)
    assert await refusal(fetcher.fetch("http://none.test/", TENANT)) == await refusal(
        fetcher.fetch("http://private.test/", TENANT)
    )


async def test_a_name_is_resolved_once_and_the_checked_address_is_connected_to(
    canary: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([["93.184.216.34"], ["127.0.0.1"]])  # a name that is bound to another address by then
    sent: list[httpx.Request] = []

    async def resolve(_host: str, _port: int) -> list[Any]:
        return [ip_address(address) for address in next(answers)]

    async def connect(_transport: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(200, stream=httpx.ByteStream(b"sound"))

    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", connect)
    url = f"https://rebinding.test:{canary.port}/a.wav"
    assert await Fetcher(FetchLimits(enabled=True), resolve).fetch(url, TENANT) == b"sound"
    (request,) = sent
    assert request.url.host == "93.184.216.34"
    assert request.headers["Host"] == f"rebinding.test:{canary.port}"
    assert request.extensions["sni_hostname"] == "rebinding.test"
    assert canary.hits == []


@pytest.mark.parametrize("location", ["{canary}/a.wav", "//localhost:{port}/", "file:///etc/passwd", "http://[::1]/"])
async def test_each_redirect_is_checked_again(web_server: Any, canary: Any, location: str) -> None:
    target = location.format(canary=canary.url, port=canary.port)
    web_server.statuses = itertools.repeat(302)
    web_server.headers = {"Location": target}
    with anyio.fail_after(30), pytest.raises(SpeechError) as caught:
        await fetcher(trusted_hosts=(web_server.host,)).fetch(f"{web_server.url}/a.wav", TENANT)
    assert caught.value.code in {ErrorCode.URL_REFUSED, ErrorCode.FETCH_FAILED}
    assert len(web_server.hits) == 1
    assert canary.hits == []


async def test_redirects_come_to_an_end(web_server: Any) -> None:
    web_server.statuses = itertools.repeat(302)
    web_server.headers = {"Location": f"{web_server.url}/again"}
    message = await refusal(
        fetcher(trusted_hosts=(web_server.host,)).fetch(web_server.url, TENANT), ErrorCode.FETCH_FAILED
    )
    assert "redirects" in message
    assert len(web_server.hits) == 4


async def test_no_more_than_the_limit_is_read(web_server: Any) -> None:
    web_server.body = itertools.repeat(b"x" * 65_536)
    fetch = fetcher(trusted_hosts=(web_server.host,), max_bytes=200_000).fetch(web_server.url, TENANT)
    assert "200000 bytes" in await refusal(fetch, ErrorCode.BODY_TOO_LARGE)


async def test_what_would_be_unpacked_is_not_taken(web_server: Any) -> None:
    web_server.headers = {"Content-Encoding": "gzip"}
    fetch = fetcher(trusted_hosts=(web_server.host,)).fetch(web_server.url, TENANT)
    assert "compressed" in await refusal(fetch, ErrorCode.FETCH_FAILED)
    assert web_server.hits[0].headers["accept-encoding"] == "identity"


async def test_a_file_that_does_not_come_in_time_is_given_up() -> None:
    async def resolve(_host: str, _port: int) -> list[Any]:
        await anyio.sleep_forever()
        raise AssertionError

    slow = Fetcher(FetchLimits(enabled=True, timeout_s=0.01), resolve)
    assert "0.01 s" in await refusal(slow.fetch("http://slow.test/", TENANT), ErrorCode.FETCH_FAILED)


async def test_who_fetches_much_leaves_turns_to_others_and_waits_in_a_line_with_an_end() -> None:
    """Hosts that never answer, asked by one tenant as often as it may, and by two more."""
    at_work: list[str] = []
    refusals: list[SpeechError] = []

    async def resolve(host: str, _port: int) -> list[Any]:
        at_work.append(host)
        await anyio.sleep_forever()
        return []

    fetcher = Fetcher(FetchLimits(enabled=True), resolve)

    async def fetch(tenant: str) -> None:
        try:
            await fetcher.fetch(f"http://{tenant}.test/", tenant)
        except SpeechError as error:
            refusals.append(error)

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            for tenant in ["greedy"] * (FETCHES_EACH + FETCHES_WAITING_EACH + 1) + ["modest", "late", "last"]:
                tasks.start_soon(fetch, tenant)
            while len(at_work) < FETCHES_MAX or not refusals:
                await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
    assert Counter(at_work) == {"greedy.test": FETCHES_EACH, "modest.test": 1, "late.test": 1}
    (refused,) = refusals
    assert (refused.code, refused.param) == (ErrorCode.QUOTA_EXCEEDED, "url")
    assert refused.retry_after_s


@pytest.mark.parametrize("status", [204, 404, 500])
async def test_another_status_is_a_failure(web_server: Any, status: int) -> None:
    web_server.statuses = itertools.repeat(status)
    fetch = fetcher(trusted_hosts=(web_server.host,)).fetch(web_server.url, TENANT)
    assert str(status) in await refusal(fetch, ErrorCode.FETCH_FAILED)


async def test_a_host_that_hangs_up_is_a_failure(web_server: Any) -> None:
    web_server.statuses = iter(())  # it fails, and closes the connection
    fetch = fetcher(trusted_hosts=(web_server.host,)).fetch(web_server.url, TENANT)
    assert "connection failed" in await refusal(fetch, ErrorCode.FETCH_FAILED)


async def test_a_trusted_host_is_trusted_on_its_port_alone(web_server: Any, canary: Any) -> None:
    web_server.body = [b"sound"]
    fetch = fetcher(trusted_hosts=(web_server.host,)).fetch
    assert await fetch(f"{web_server.url}/a.wav", TENANT) == b"sound"
    await refusal(fetch(f"{canary.url}/a.wav", TENANT))
    assert canary.hits == []


async def test_proxies_of_the_environment_are_not_used(
    web_server: Any, canary: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", canary.url)
    web_server.body = [b"sound"]
    assert await fetcher(trusted_hosts=(web_server.host,)).fetch(web_server.url, TENANT) == b"sound"
    assert canary.hits == []


def test_public_addresses_are_public() -> None:
    assert all(is_public(ip_address(text)) for text in ("93.184.216.34", "8.8.8.8", "2606:2800:220:1::1"))


async def test_the_transport_refuses_for_every_client(canary: Any) -> None:
    async with httpx.AsyncClient(transport=PublicTransport()) as client:
        with pytest.raises(SpeechError, match="not public"):
            await client.get(canary.url)
    assert canary.hits == []


async def test_a_server_fetches_nothing_unless_it_is_told_to(canary: Any) -> None:
    async with client_of(FetchSettings()) as client:
        tool = await client.post("/v1/tools/transcribe", json={"audio_url": f"{canary.url}/a.wav"})
        session_id = (await client.post("/v1/sessions", json={})).json()["session_id"]
        sent = await client.post(f"/v1/sessions/{session_id}/audio", json={"url": f"{canary.url}/a.wav"})
    for response in (tool, sent):
        assert response.status_code == 403
        assert response.json()["error"]["code"] == "url_refused"
        assert "fetch.enabled" in response.json()["error"]["message"]
    assert canary.hits == []


@pytest.mark.parametrize("tool", ["transcribe", "detect_language"])
async def test_a_tool_hears_audio_by_url(web_server: Any, spoken_wav: bytes, tool: str) -> None:
    web_server.body = [spoken_wav]
    async with client_of(FetchSettings(enabled=True, trusted_hosts=(web_server.host,))) as client:
        response = await client.post(f"/v1/tools/{tool}", json={"audio_url": f"{web_server.url}/a.wav"})
    assert response.status_code == 200
    assert response.json().get("text", "hello there. bye.") == "hello there. bye."


async def test_a_session_hears_audio_by_url(web_server: Any, spoken_wav: bytes) -> None:
    web_server.body = [spoken_wav]
    async with client_of(FetchSettings(enabled=True, trusted_hosts=(web_server.host,))) as client:
        session_id = (await client.post("/v1/sessions", json={})).json()["session_id"]
        response = await client.post(f"/v1/sessions/{session_id}/audio", json={"url": f"{web_server.url}/a.wav"})
    assert response.status_code == 200
    assert response.json()["accepted_ms"] > 0


@pytest.mark.parametrize("arguments", [{}, {"audio": "AAAA", "audio_url": "http://a.test/"}])
async def test_audio_comes_in_one_way(arguments: dict[str, str]) -> None:
    async with client_of(FetchSettings()) as client:
        response = await client.post("/v1/tools/transcribe", json=arguments)
    assert response.status_code == 400
    assert "either audio or audio_url" in response.json()["error"]["message"]
