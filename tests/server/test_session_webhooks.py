"""Webhooks that callers name for a session: ``POST /v1/sessions`` with ``webhook``."""

from __future__ import annotations

import itertools
import json
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from ipaddress import ip_address
from typing import Any

import anyio
import httpx
import pytest
import stamina
from standardwebhooks import Webhook
from structlog.testing import capture_logs

from server import webhooks as webhooks_module
from server.settings import ModelSettings, Settings, WebhookSettings
from server.webhook_receiver import ATTEMPTS
from server.webhooks import Webhooks

pytestmark = pytest.mark.anyio

OPERATORS = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"

OpenApp = Callable[..., AbstractAsyncContextManager[Any]]
Client = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture(autouse=True)
def no_waits() -> Any:
    with stamina.set_testing(True, attempts=ATTEMPTS, cap=True):
        yield


@pytest.fixture
def client(open_app: OpenApp) -> Client:
    """A client of an application that takes webhooks of sessions; what they still wait for is posted when it closes."""

    @asynccontextmanager
    async def open_client(
        webhooks: Webhooks | None = None, *, by_session: bool = True, **settings: Any
    ) -> AsyncGenerator[httpx.AsyncClient]:
        everything = Settings(
            models=ModelSettings(warm=False), webhooks=WebhookSettings(by_session=by_session, **settings)
        )
        with anyio.fail_after(30):
            async with open_app(everything, webhooks=webhooks) as app:
                transport = httpx.ASGITransport(app)
                async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
                    yield client

    return open_client


def webhook(url: str, **more: Any) -> dict[str, Any]:
    return {"webhook": {"url": url, "secret": SECRET, **more}}


async def opened(client: httpx.AsyncClient, body: dict[str, Any]) -> str:
    response = await client.post("/v1/sessions", json=body)
    assert response.status_code == 201, response.text
    assert SECRET not in response.text
    return response.json()["session_id"]


async def refused(client: httpx.AsyncClient, body: dict[str, Any]) -> tuple[int, str, str]:
    response = await client.post("/v1/sessions", json=body)
    error = response.json()["error"]
    assert SECRET not in response.text
    return response.status_code, error["code"], error["param"]


async def test_a_session_is_posted_to_its_own_address_from_first_to_last_and_no_other_is(
    client: Client, web_server: Any
) -> None:
    async with client(session_trusted_hosts=(web_server.host,)) as caller:
        session_id = await opened(caller, {"prompt": "my secret", **webhook(f"{web_server.url}/hook?key=k")})
        other = await opened(caller, {})
        events = (await caller.get(f"/v1/sessions/{session_id}")).text
        for closed in (session_id, other):
            await caller.delete(f"/v1/sessions/{closed}")
    verified = [Webhook(SECRET).verify(hit.body, hit.headers) for hit in web_server.hits]
    assert [message["type"] for message in verified] == ["session.opened", "session.closed"]
    assert {message["data"]["session_id"] for message in verified} == {session_id}
    assert {hit.path for hit in web_server.hits} == {"/hook?key=k"}
    assert not [hit for hit in web_server.hits if b"secret" in hit.body]
    assert "webhook" not in events


async def test_who_asks_for_texts_gets_those_of_the_session(client: Client, web_server: Any) -> None:
    async with client(session_trusted_hosts=(web_server.host,)) as caller:
        await opened(caller, {"prompt": "my secret", **webhook(web_server.url, include_text=True)})
    assert json.loads(web_server.hits[0].body)["data"]["settings"]["prompt"] == "my secret"


async def test_the_operators_endpoint_and_a_sessions_own_are_signed_by_their_own_secrets(
    client: Client, web_server: Any
) -> None:
    hosts = (web_server.host,)
    settings = {"urls": (f"{web_server.url}/all",), "secret": OPERATORS, "trusted_hosts": hosts}
    async with client(**settings, session_trusted_hosts=hosts) as caller:
        await opened(caller, webhook(f"{web_server.url}/one", events=["session.opened"]))
    by_path: dict[str, list[Any]] = {"/all": [], "/one": []}
    for hit in web_server.hits:
        secret = OPERATORS if hit.path == "/all" else SECRET
        by_path[hit.path].append(Webhook(secret).verify(hit.body, hit.headers)["type"])
    assert by_path == {"/all": ["session.opened", "session.closed"], "/one": ["session.opened"]}


async def test_nothing_is_posted_to_addresses_of_callers_unless_it_is_allowed(client: Client, web_server: Any) -> None:
    async with client(by_session=False, session_trusted_hosts=(web_server.host,)) as caller:
        assert await refused(caller, webhook(web_server.url)) == (403, "url_refused", "url")
    assert web_server.hits == []


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:{port}/", "http://localhost:{port}/", "http://2130706433:{port}/", "http://[::ffff:127.0.0.1]/"],
)
async def test_a_session_with_an_address_that_is_not_public_is_not_opened(
    client: Client, canary: Any, url: str
) -> None:
    async with client() as caller:
        assert await refused(caller, webhook(url.format(port=canary.port))) == (403, "url_refused", "url")
        assert "antiphon_sessions_open 0.0" in (await caller.get("/metrics")).text
    assert canary.hits == []


async def test_what_the_operator_trusts_in_is_not_for_callers_to_reach(client: Client, canary: Any) -> None:
    async with client(trusted_hosts=(canary.host,)) as caller:
        assert await refused(caller, webhook(canary.url)) == (403, "url_refused", "url")
    assert canary.hits == []


async def test_callers_are_not_told_which_names_a_private_network_has(client: Client) -> None:
    async def resolve(host: str, _port: int) -> list[Any]:
        if host == "unknown.test":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [ip_address("10.0.0.1")]

    async with client(Webhooks(WebhookSettings(by_session=True), resolve)) as caller:
        private, unknown = [
            (await caller.post("/v1/sessions", json=webhook(f"http://{host}.test/"))).json()["error"]["message"]
            for host in ("private", "unknown")
        ]
    assert private == unknown


async def test_a_name_that_leads_somewhere_else_later_is_not_followed(client: Client, canary: Any) -> None:
    addresses = itertools.chain([ip_address("93.184.216.34")], itertools.repeat(ip_address("127.0.0.1")))

    async def resolve(_host: str, _port: int) -> list[Any]:
        return [next(addresses)]

    webhooks = Webhooks(WebhookSettings(by_session=True), resolve)
    async with client(webhooks) as caller:
        await opened(caller, webhook(f"http://rebound.test:{canary.port}/"))
    assert canary.hits == []
    assert webhooks.dead == 1


@pytest.mark.parametrize(
    ("more", "status", "code", "param"),
    [
        ({"secret": "whsec_ä"}, 400, "invalid_request", "webhook.secret"),
        ({"secret": ""}, 400, "invalid_request", "webhook.secret"),
        ({"events": ["turn.begun"]}, 400, "invalid_request", "webhook.events"),
        ({"url": "ftp://example.com/"}, 403, "url_refused", "url"),
        ({"url": "http://[::1"}, 403, "url_refused", "url"),
        ({"url": "x" * 3_000}, 400, "invalid_request", "webhook.url"),
        ({"evnets": []}, 400, "invalid_request", "webhook.evnets"),
    ],
)
async def test_what_is_wrong_with_one_is_told_before_the_session_is_opened(
    client: Client, more: dict[str, Any], status: int, code: str, param: str
) -> None:
    async with client() as caller:
        asked = {**webhook("http://example.com/")["webhook"], **more}
        assert await refused(caller, {"webhook": asked}) == (status, code, param)
        assert "antiphon_sessions_open 0.0" in (await caller.get("/metrics")).text


async def test_an_address_that_takes_nothing_is_posted_to_no_more(client: Client, web_server: Any) -> None:
    web_server.statuses = itertools.repeat(503)
    with capture_logs() as logs:
        async with client(session_trusted_hosts=(web_server.host,)) as caller:
            await opened(caller, webhook(f"{web_server.url}/hook?key=k"))
    assert len(web_server.hits) == ATTEMPTS
    assert {"webhook_dead", "webhook_ended"} <= {entry["event"] for entry in logs}
    assert "key=k" not in str(logs)
    assert SECRET not in str(logs)


async def test_a_fault_of_the_server_ends_one_and_no_other(
    client: Client, web_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = webhooks_module.message_of
    failing = iter([RuntimeError("bug")])

    def make_or_fail(*arguments: Any, **options: Any) -> Any:
        if (error := next(failing, None)) is not None:
            raise error
        return make(*arguments, **options)

    monkeypatch.setattr(webhooks_module, "message_of", make_or_fail)
    with capture_logs() as logs:
        async with client(session_trusted_hosts=(web_server.host,)) as caller:
            failed = await opened(caller, webhook(f"{web_server.url}/failed"))
            with anyio.fail_after(10):
                while "webhook_failed" not in [entry["event"] for entry in logs]:
                    await anyio.wait_all_tasks_blocked()
            await opened(caller, webhook(f"{web_server.url}/other"))
            assert (await caller.get(f"/v1/sessions/{failed}")).json()["state"] == "open"
    assert [hit.path for hit in web_server.hits] == ["/other"] * 2


async def test_a_tenant_has_so_many_at_a_time(client: Client, web_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks_module, "FOLLOWED_EACH", 1)
    async with client(session_trusted_hosts=(web_server.host,)) as caller:
        session_id = await opened(caller, webhook(web_server.url))
        assert await refused(caller, webhook(web_server.url)) == (429, "quota_exceeded", "webhook")
        await caller.delete(f"/v1/sessions/{session_id}")
        with anyio.fail_after(10):
            while (await caller.post("/v1/sessions", json=webhook(web_server.url))).status_code == 429:
                await anyio.wait_all_tasks_blocked()
