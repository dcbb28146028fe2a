from __future__ import annotations

import itertools
import json
import socket
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from ipaddress import ip_address
from typing import Any, get_args

import anyio
import httpx
import msgspec
import pytest
import stamina
from click.testing import CliRunner
from msgspec import Struct
from msgspec import inspect as types
from standardwebhooks import Webhook
from structlog.testing import capture_logs

from schemas.errors import ErrorCode, ErrorInfo, SpeechError
from schemas.events import DtmfReceived, SayEnded, ServerEvent, SessionClosed, SessionError, SpeechStarted, TurnEnded
from schemas.sessions import HeardSource, SpeechStatus
from server import webhooks as webhooks_module
from server.cli.main import antiphon
from server.settings import ModelSettings, Settings, WebhookSettings
from server.webhook_receiver import ATTEMPTS, Undelivered, wait_before_retry
from server.webhooks import Webhooks

pytestmark = pytest.mark.anyio

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SESSION = "ses_one"
TURN = TurnEnded(seq=7, at_ms=900, turn=1, text="my secret", language="en", started_ms=0, ended_ms=500, decided_ms=900)

OpenApp = Callable[..., AbstractAsyncContextManager[Any]]


@pytest.fixture(autouse=True)
def no_waits() -> Iterator[None]:
    with stamina.set_testing(True, attempts=ATTEMPTS, cap=True):
        yield


def settings(web_server: Any, **more: Any) -> WebhookSettings:
    return WebhookSettings(
        urls=(f"{web_server.url}/hook?key=k",), secret=SECRET, trusted_hosts=(web_server.host,), **more
    )


@asynccontextmanager
async def posting(webhooks: Webhooks) -> AsyncGenerator[Webhooks]:
    with anyio.fail_after(30):
        async with webhooks.running(drain_s=20.0):
            yield webhooks


async def posted(web_server: Any, *events: ServerEvent, **more: Any) -> Webhooks:
    async with posting(Webhooks(settings(web_server, **more))) as webhooks:
        webhooks.observe(SESSION, events)
    return webhooks


async def test_an_event_is_posted_and_its_signature_verifies(web_server: Any) -> None:
    webhooks = await posted(web_server, TURN)
    (hit,) = web_server.hits
    assert (hit.method, hit.path) == ("POST", "/hook?key=k")
    verified = Webhook(SECRET).verify(hit.body, hit.headers)
    assert verified["type"] == "turn.ended"
    assert verified["timestamp"].endswith("Z")
    assert verified["data"]["session_id"] == SESSION
    assert verified["data"]["seq"] == 7
    assert (webhooks.delivered, webhooks.dead, webhooks.queued) == (1, 0, 0)


async def test_what_was_said_is_not_posted_unless_asked_for(web_server: Any) -> None:
    said = SayEnded(
        seq=8,
        item_id="item_1",
        status=SpeechStatus.COMPLETED,
        heard_text="my secret",
        remaining_text="my secret",
        heard_ms=1,
        duration_ms=1,
        heard_source=HeardSource.ESTIMATED,
    )
    await posted(web_server, TURN, said)
    assert len(web_server.hits) == 2
    assert not [hit for hit in web_server.hits if b"secret" in hit.body]
    await posted(web_server, TURN, said, include_text=True)
    assert [json.loads(hit.body)["data"].get("text") for hit in web_server.hits[2:]] == ["my secret", None]
    assert json.loads(web_server.hits[3].body)["data"]["heard_text"] == "my secret"


def filled(kind: type[Struct]) -> Struct:
    """One with a secret in the place of each text that is no id and no language."""
    found = types.type_info(kind)
    assert isinstance(found, types.StructType)
    return kind(**{field.name: part(field.name, field.type) for field in found.fields})


def part(name: str, kind: types.Type) -> Any:
    match kind:
        case types.StrType():
            return "en" if name == "language" or name.endswith(("_id", "_ids")) else "my secret"
        case types.UnionType(types=choices):
            return part(name, next(choice for choice in choices if not isinstance(choice, types.NoneType)))
        case types.VarTupleType(item_type=inner):
            return (part(name, inner),)
        case types.Metadata(type=inner):
            return part(name, inner)
        case types.StructType(cls=cls):
            return filled(cls)
        case types.LiteralType(values=values):
            return values[0]
        case types.EnumType(cls=cls):
            return next(iter(cls))
        case types.BoolType():
            return True
        case _:
            assert isinstance(kind, types.IntType | types.FloatType)
            return 1


@pytest.mark.parametrize("kind", get_args(ServerEvent), ids=lambda kind: kind.__name__)
async def test_no_event_of_any_kind_tells_a_text(web_server: Any, kind: type[ServerEvent]) -> None:
    event: Any = filled(kind)
    types_of_events = (str(kind.__struct_config__.tag),)
    await posted(web_server, event, events=types_of_events)
    await posted(web_server, event, events=types_of_events, include_text=True)
    without, with_text = (hit.body for hit in web_server.hits)
    assert b"secret" not in without
    assert (b"secret" in with_text) is (b"my secret" in msgspec.json.encode(event))
    assert json.loads(without)["data"]["seq"] == 1


async def test_keys_that_were_pressed_are_not_posted_and_of_an_error_its_code_is(web_server: Any) -> None:
    error = ErrorInfo(ErrorCode.UNKNOWN_VOICE, "There is no voice 'my secret'.", retryable=False, param="voice")
    events = (DtmfReceived(seq=1, digit="7"), SessionError(seq=2, error=error))
    await posted(web_server, *events, events=("dtmf", "error"))
    pressed, failed = (json.loads(hit.body)["data"] for hit in web_server.hits)
    assert "digit" not in pressed
    assert failed["error"] == {"code": "unknown_voice", "retryable": False, "retry_after_s": None}


async def test_only_events_that_were_asked_for_are_posted(web_server: Any) -> None:
    await posted(web_server, SpeechStarted(seq=1, turn=1, started_ms=0), SessionClosed(seq=2, reason="client"))
    assert [json.loads(hit.body)["type"] for hit in web_server.hits] == ["session.closed"]


async def test_an_event_is_posted_again_until_it_is_taken_with_the_same_id(web_server: Any) -> None:
    web_server.statuses = itertools.chain([500, 302, 400], itertools.repeat(200))
    webhooks = await posted(web_server, TURN)
    assert len(web_server.hits) == 4
    assert len({hit.headers["webhook-id"] for hit in web_server.hits}) == 1
    assert len({hit.body for hit in web_server.hits}) == 1
    assert (webhooks.delivered, webhooks.dead) == (1, 0)


async def test_an_id_is_that_of_the_event_and_does_not_tell_the_session(web_server: Any) -> None:
    await posted(web_server, TURN)
    await posted(web_server, TURN, SessionClosed(seq=8, reason="client"))
    first, again, other = (hit.headers["webhook-id"] for hit in web_server.hits)
    assert first == again != other
    assert SESSION not in first


async def test_events_of_an_endpoint_stay_in_order(web_server: Any) -> None:
    web_server.statuses = itertools.chain([500], itertools.repeat(200))
    events = [SessionClosed(seq=seq, reason="client") for seq in range(1, 6)]
    await posted(web_server, *events)
    assert [json.loads(hit.body)["data"]["seq"] for hit in web_server.hits] == [1, 1, 2, 3, 4, 5]


async def test_what_is_never_taken_is_given_up_logged_and_counted(web_server: Any) -> None:
    web_server.statuses = itertools.repeat(503)
    with capture_logs() as logs:
        webhooks = await posted(web_server, TURN)
    assert len(web_server.hits) == ATTEMPTS
    assert (webhooks.delivered, webhooks.dead) == (0, 1)
    (dead,) = [entry for entry in logs if entry["event"] == "webhook_dead"]
    assert dead["webhook_id"] == web_server.hits[0].headers["webhook-id"]
    assert dead["event_type"] == "turn.ended"
    assert "503" in dead["reason"]
    assert not {"my secret", "key=k", SESSION} & set(map(str, dead.values()))
    assert "my secret" not in str(logs)
    assert "key=k" not in str(logs)


async def test_an_endpoint_that_is_gone_is_left_alone(web_server: Any) -> None:
    web_server.statuses = itertools.repeat(410)
    webhooks = await posted(web_server, TURN, SessionClosed(seq=8, reason="client"))
    assert len(web_server.hits) == 1
    assert webhooks.dead == 2


async def test_an_endpoint_may_say_when_to_come_again(web_server: Any) -> None:
    web_server.statuses = itertools.chain([429], itertools.repeat(200))
    web_server.headers = {"Retry-After": "7"}
    webhooks = await posted(web_server, TURN)
    assert len(web_server.hits) == 2
    assert webhooks.delivered == 1
    assert wait_before_retry(Undelivered("status 429", retry_after_s=7.0)) == 7.0


async def test_an_endpoint_that_is_not_public_is_never_reached(canary: Any) -> None:
    async with posting(Webhooks(WebhookSettings(urls=(canary.url,), secret=SECRET))) as webhooks:
        webhooks.observe(SESSION, [TURN])
    assert canary.hits == []
    assert webhooks.dead == 1


async def test_an_endpoint_whose_name_leads_to_a_private_address_is_never_reached(canary: Any) -> None:
    async def resolve(_host: str, _port: int) -> list[Any]:
        return [ip_address("127.0.0.1")]

    url = f"http://hooks.test:{canary.port}"
    async with posting(Webhooks(WebhookSettings(urls=(url,), secret=SECRET), resolve)) as webhooks:
        webhooks.observe(SESSION, [TURN])
    assert canary.hits == []
    assert webhooks.dead == 1


async def test_a_failure_of_one_endpoint_does_not_delay_another(web_server: Any, canary: Any) -> None:
    canary.statuses = itertools.repeat(500)
    both = WebhookSettings(
        urls=(canary.url, web_server.url), secret=SECRET, trusted_hosts=(web_server.host, canary.host)
    )
    async with posting(Webhooks(both)) as webhooks:
        webhooks.observe(SESSION, [TURN])
    assert (webhooks.delivered, webhooks.dead) == (1, 1)


async def test_an_endpoint_that_hangs_up_or_does_not_answer_is_tried_again(web_server: Any) -> None:
    web_server.statuses = iter([])
    with capture_logs() as logs:
        assert (await posted(web_server, TURN)).dead == 1
    assert "connection failed" in next(entry["reason"] for entry in logs if entry["event"] == "webhook_dead")

    async def resolve(_host: str, _port: int) -> list[Any]:
        await anyio.sleep_forever()
        raise AssertionError

    slow = WebhookSettings(urls=("http://slow.test/",), secret=SECRET, timeout_s=0.001)
    with capture_logs() as logs:
        async with posting(Webhooks(slow, resolve)) as webhooks:
            webhooks.observe(SESSION, [TURN])
    assert "no answer" in next(entry["reason"] for entry in logs if entry["event"] == "webhook_dead")


async def test_a_moment_without_name_resolution_loses_nothing(web_server: Any) -> None:
    failures = iter([socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"), OSError("down")])

    async def resolve(_host: str, _port: int) -> list[Any]:
        if (error := next(failures, None)) is not None:
            raise error
        return [ip_address("127.0.0.1")]

    async with posting(Webhooks(settings(web_server), resolve)) as webhooks:
        webhooks.observe(SESSION, [TURN])
    assert (webhooks.delivered, webhooks.dead) == (1, 0)


async def test_a_fault_of_the_server_costs_one_message(web_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sign = Webhook.sign
    failing = iter([RuntimeError("bug")])

    def sign_or_fail(self: Webhook, *arguments: Any) -> str:
        if (error := next(failing, None)) is not None:
            raise error
        return sign(self, *arguments)

    monkeypatch.setattr(Webhook, "sign", sign_or_fail)
    webhooks = await posted(web_server, TURN, SessionClosed(seq=8, reason="client"))
    assert (webhooks.delivered, webhooks.dead) == (1, 1)


async def test_a_queue_takes_so_many_and_no_more(web_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks_module, "QUEUED_MAX", 2)
    webhooks = Webhooks(settings(web_server))
    webhooks.observe(SESSION, [TURN, TURN, TURN])
    assert (webhooks.queued, webhooks.dead) == (2, 1)
    async with posting(webhooks):
        pass
    assert webhooks.delivered == 2


async def test_what_waits_when_the_server_stops_is_given_up_and_logged() -> None:
    begun = anyio.Event()

    async def resolve(_host: str, _port: int) -> list[Any]:
        begun.set()
        await anyio.sleep_forever()
        raise AssertionError

    webhooks = Webhooks(WebhookSettings(urls=("http://slow.test/",), secret=SECRET), resolve)
    with anyio.fail_after(30), capture_logs() as logs:
        async with webhooks.running(drain_s=0.0):
            webhooks.observe(SESSION, [TURN, SessionClosed(seq=8, reason="client")])
            await begun.wait()
        webhooks.observe(SESSION, [TURN])
    assert webhooks.dead == 3
    assert {entry["reason"] for entry in logs if entry["event"] == "webhook_dead"} == {"the server stops"}


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"urls": ("ftp://a.test/",), "secret": SECRET}, "webhooks.urls"),
        ({"urls": ("http://",), "secret": SECRET}, "webhooks.urls"),
        ({"urls": ("http://a.test/",)}, "webhooks.secret"),
        ({"urls": ("http://a.test/",), "secret": "whsec_ä"}, "webhooks.secret"),
        ({"events": ("turn.begun",)}, "webhooks.events"),
    ],
)
def test_wrong_settings_are_told(values: dict[str, Any], key: str) -> None:
    with pytest.raises(SpeechError) as caught:
        Webhooks(WebhookSettings(**values))
    assert caught.value.code is ErrorCode.INVALID_SETTING
    assert caught.value.param == key
    assert "ä" not in caught.value.message


async def test_a_session_of_the_server_is_posted_from_its_first_event_to_its_last(
    open_app: OpenApp, web_server: Any
) -> None:
    everything = Settings(models=ModelSettings(warm=False), webhooks=settings(web_server))
    with anyio.fail_after(30):
        async with open_app(everything) as app:
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
                await client.post("/v1/sessions", json={"prompt": "my secret"})
                metrics = (await client.get("/metrics")).text
    assert [json.loads(hit.body)["type"] for hit in web_server.hits] == ["session.opened", "session.closed"]
    assert not [hit for hit in web_server.hits if b"secret" in hit.body]
    assert "antiphon_webhooks_queued" in metrics
    assert 'antiphon_webhooks_total{outcome="dead"} 0.0' in metrics


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_the_secret_is_not_shown(options: list[str]) -> None:
    result = CliRunner().invoke(
        antiphon, ["serve", "--print-settings", *options], env={"ANTIPHON_WEBHOOKS_SECRET": SECRET}
    )
    assert result.exit_code == 0
    assert SECRET not in result.output
    assert "(set)" in result.output
