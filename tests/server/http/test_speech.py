from __future__ import annotations

import base64
import io
import threading
import wave
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest
from litestar import Litestar

from engines.base import AsrOptions
from engines.codec.resampler import resample
from engines.fake import FakeBehaviour, fake_engines
from engines.host import EngineHost
from engines.spec import HostSettings
from schemas.audio import float_from_pcm16
from schemas.errors import ErrorCode
from server.settings import LimitSettings, ModelSettings, Settings

pytestmark = pytest.mark.anyio

OpenClient = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]
OpenApp = Callable[..., AbstractAsyncContextManager[Litestar]]
ErrorOf = Callable[[httpx.Response, ErrorCode], dict[str, Any]]
EventsOf = Callable[[httpx.Response], list[dict[str, Any]]]
CallAndLeave = Callable[[Litestar, httpx.Request, threading.Event], Awaitable[list[dict[str, Any]]]]

URL = "/v1/audio/speech"


async def post(client: httpx.AsyncClient, **body: Any) -> httpx.Response:
    with anyio.fail_after(30):
        return await client.post(URL, json={"input": "Hello there. Bye.", "model": "tts-1", "voice": "alloy"} | body)


async def heard(pcm: bytes) -> str:
    """What the fake recogniser understands of 24 kHz PCM."""
    samples = resample(float_from_pcm16(pcm), 24_000, 16_000)
    async with EngineHost(fake_engines(), HostSettings()) as host:
        return (await host.transcribe(samples, AsrOptions())).text


@pytest.mark.parametrize(
    ("fmt", "content_type", "magic"),
    [
        ("mp3", "audio/mpeg", b"\xff"),
        ("opus", "audio/opus", b"OggS"),
        ("aac", "audio/aac", b"\xff\xf1"),
        ("flac", "audio/flac", b"fLaC"),
        ("wav", "audio/wav", b"RIFF"),
        ("pcm", "audio/pcm", b""),
    ],
)
async def test_each_format_has_its_content_type(
    client: httpx.AsyncClient, fmt: str, content_type: str, magic: bytes
) -> None:
    response = await post(client, response_format=fmt)
    assert response.status_code == 200
    assert response.headers["content-type"] == content_type
    assert response.content.startswith(magic)


async def test_mp3_is_the_default(client: httpx.AsyncClient) -> None:
    assert (await post(client)).headers["content-type"] == "audio/mpeg"


async def test_pcm_is_24_khz_16_bit_mono(client: httpx.AsyncClient) -> None:
    assert await heard((await post(client, response_format="pcm")).content) == "Hello there. Bye."


async def test_wav_is_24_khz_16_bit_mono(client: httpx.AsyncClient) -> None:
    data = (await post(client, response_format="wav")).content
    with wave.open(io.BytesIO(data)) as file:
        assert (file.getframerate(), file.getsampwidth(), file.getnchannels()) == (24_000, 2, 1)


async def test_events_joined_are_the_file(client: httpx.AsyncClient, events_of: EventsOf) -> None:
    response = await post(client, response_format="pcm", stream_format="sse")
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    *deltas, done = events_of(response)
    assert {event["type"] for event in deltas} == {"speech.audio.delta"}
    joined = b"".join(base64.b64decode(event["audio"]) for event in deltas)
    assert joined == (await post(client, response_format="pcm")).content
    assert done == {
        "type": "speech.audio.done",
        "usage": {"input_tokens": 17, "output_tokens": 0, "total_tokens": 17},
    }


@pytest.mark.parametrize("body", [{"voice": {"id": "alloy"}}, {"voice": None}, {"model": None}, {"model": "fake-tts"}])
async def test_voice_and_model_have_several_forms(client: httpx.AsyncClient, body: dict[str, Any]) -> None:
    assert (await post(client, **body)).status_code == 200


async def test_a_model_alone_speaks_with_its_first_voice(client: httpx.AsyncClient) -> None:
    assert (await post(client, model="fake-tts", voice=None)).status_code == 200


async def test_instructions_are_accepted(client: httpx.AsyncClient) -> None:
    assert (await post(client, instructions="Speak like a pirate.")).status_code == 200


async def test_how_it_is_spoken_can_be_told(client: httpx.AsyncClient) -> None:
    ssml = "<speak>It is <sub alias='noon'>12:00</sub><break time='100ms'/> in Oslo</speak>"
    lexicon = [{"word": "Oslo", "say": "ooslo"}]
    response = await post(client, input=ssml, ssml=True, lexicon=lexicon, gain_db=-6, response_format="pcm")
    assert await heard(response.content) == "It is noon in ooslo"
    written = await post(client, input="**5** km", normalize=False, response_format="pcm")
    assert await heard(written.content) == "**5** km"


@pytest.mark.parametrize(
    ("body", "param", "why"),
    [
        ({"input": "<speak><audio/></speak>", "ssml": True}, "text", "<audio> is not supported"),
        ({"lexicon": [{"word": "a"}]}, "lexicon", "either say or ipa"),
        ({"lexicon": [{"word": "a", "say": "b"}] * 201}, "lexicon", "200"),
        ({"gain_db": 21}, "gain_db", "20"),
    ],
)
async def test_what_is_wrong_with_how_it_is_spoken_is_told_before_any_audio(
    client: httpx.AsyncClient, error_of: ErrorOf, body: dict[str, Any], param: str, why: str
) -> None:
    error = error_of(await post(client, **body), ErrorCode.INVALID_REQUEST)
    assert error["param"].startswith(param)
    assert why in error["message"]


async def test_speed_changes_the_length(client: httpx.AsyncClient) -> None:
    slow = await post(client, response_format="pcm", speed=0.25)
    fast = await post(client, response_format="pcm", speed=4.0)
    assert len(slow.content) > len(fast.content)


@pytest.mark.parametrize(
    ("body", "code", "param", "says"),
    [
        ({"input": ""}, ErrorCode.EMPTY_TEXT, "input", "empty"),
        ({"input": " \n"}, ErrorCode.EMPTY_TEXT, "input", "empty"),
        ({"input": "… 😀"}, ErrorCode.EMPTY_TEXT, "input", "empty"),
        ({"input": 5}, ErrorCode.INVALID_REQUEST, "input", "str"),
        ({"voice": "nobody"}, ErrorCode.UNKNOWN_VOICE, "voice", "fake-alto, fake-bass"),
        ({"voice": {"id": "nobody"}}, ErrorCode.UNKNOWN_VOICE, "voice", "fake-alto"),
        ({"voice": {"name": "alloy"}}, ErrorCode.INVALID_REQUEST, "voice.name", "not a field of voice"),
        ({"voice": "nobody", "model": "fake-tts"}, ErrorCode.UNKNOWN_VOICE, "voice", "fake-alto"),
        ({"model": "fake-asr"}, ErrorCode.UNKNOWN_MODEL, "model", "fake-tts"),
        ({"speed": 0.1}, ErrorCode.INVALID_REQUEST, "speed", ">= 0.25"),
        ({"speed": 4.5}, ErrorCode.INVALID_REQUEST, "speed", "<= 4.0"),
        ({"speed": "1"}, ErrorCode.INVALID_REQUEST, "speed", "float"),
        ({"response_format": "ogg"}, ErrorCode.INVALID_REQUEST, "response_format", "aac, flac, mp3, opus, pcm, wav"),
        ({"stream_format": "ws"}, ErrorCode.INVALID_REQUEST, "stream_format", "audio, sse"),
        ({"pitch": 1}, ErrorCode.INVALID_REQUEST, "pitch", "not a field"),
    ],
)
async def test_what_is_wrong_is_named(
    client: httpx.AsyncClient, error_of: ErrorOf, body: dict[str, Any], code: ErrorCode, param: str, says: str
) -> None:
    error = error_of(await post(client, **body), code)
    assert error["param"] == param
    assert says in error["message"]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", ErrorCode.INVALID_JSON),
        (b"{", ErrorCode.INVALID_JSON),
        (b"\xff\xfe", ErrorCode.INVALID_JSON),
        (b'{"input": "\xff"}', ErrorCode.INVALID_JSON),
        (b"[]", ErrorCode.INVALID_REQUEST),
        (b"null", ErrorCode.INVALID_REQUEST),
        (b"{}", ErrorCode.INVALID_REQUEST),
    ],
)
async def test_what_is_no_json_object_is_named(
    client: httpx.AsyncClient, error_of: ErrorOf, content: bytes, code: ErrorCode
) -> None:
    error_of(await client.post(URL, content=content, headers={"content-type": "application/json"}), code)


async def test_another_content_type_is_refused(client: httpx.AsyncClient, error_of: ErrorOf) -> None:
    error = error_of(await client.post(URL, data={"input": "a"}), ErrorCode.UNSUPPORTED_CONTENT_TYPE)
    assert "application/json" in error["message"]


async def test_a_text_that_is_too_long_is_refused(open_client: OpenClient, error_of: ErrorOf) -> None:
    settings = Settings(models=ModelSettings(warm=False), limits=LimitSettings(max_text_chars=10))
    async with open_client(settings) as client:
        assert (await post(client, input="0123456789")).status_code == 200
        error = error_of(await post(client, input="0123456789a"), ErrorCode.TEXT_TOO_LONG)
        assert "11 characters" in error["message"]


@pytest.mark.parametrize("stream_format", ["audio", "sse"])
async def test_a_failure_before_the_first_byte_is_an_error_response(
    open_client: OpenClient, error_of: ErrorOf, stream_format: str
) -> None:
    behaviour = FakeBehaviour()
    behaviour.failure = RuntimeError("secret in /srv/models")
    async with open_client(behaviour=behaviour) as client:
        response = await post(client, stream_format=stream_format)
        error_of(response, ErrorCode.ENGINE_FAILED)
        assert "secret" not in response.text


class FailsLater(FakeBehaviour):
    """Fails at the second call: after the first chunk."""

    def spend(self, audio_s: float, cancellation: Any = None) -> None:
        if self.called.is_set():
            self.failure = RuntimeError("secret")
        super().spend(audio_s, cancellation)


async def test_a_failure_after_the_first_byte_is_an_error_event(open_client: OpenClient, events_of: EventsOf) -> None:
    async with open_client(behaviour=FailsLater()) as client:
        response = await post(client, response_format="pcm", stream_format="sse")
        *_, last = events_of(response)
        assert last["error"]["code"] == "engine_failed"
        assert "event: error\n" in response.text
        assert "secret" not in response.text


@pytest.mark.parametrize("stream_format", ["audio", "sse"])
async def test_the_engine_stops_when_the_client_goes_away(
    open_app: OpenApp, call_and_leave: CallAndLeave, stream_format: str
) -> None:
    behaviour = FakeBehaviour()
    behaviour.hang()
    host = EngineHost(fake_engines(behaviour), HostSettings(grace_s=1.0))
    request = httpx.Request("POST", f"http://localhost{URL}", json={"input": "Hi.", "stream_format": stream_format})
    with anyio.fail_after(20):
        async with open_app(host=host) as app:
            await call_and_leave(app, request, behaviour.called)
            while host.stats()[1].running:
                await anyio.lowlevel.checkpoint()
            assert (host.stats()[1].completed, host.stats()[1].cancelled) == (0, 1)
