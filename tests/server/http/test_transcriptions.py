from __future__ import annotations

import json
import threading
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import numpy as np
import pytest
from litestar import Litestar

from engines.codec.encoder import encode_all
from engines.fake import FakeBehaviour, fake_engines
from engines.host import EngineHost
from engines.spec import HostSettings
from engines.tones import encode_word
from schemas.audio import SESSION_RATE_HZ, AudioFormat
from schemas.errors import ERRORS, ErrorCode
from server.settings import LimitSettings, ModelSettings, Settings

pytestmark = pytest.mark.anyio

OpenClient = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]
OpenApp = Callable[..., AbstractAsyncContextManager[Litestar]]
ErrorOf = Callable[[httpx.Response, ErrorCode], dict[str, Any]]
EventsOf = Callable[[httpx.Response], list[dict[str, Any]]]
CallAndLeave = Callable[[Litestar, httpx.Request, threading.Event], Awaitable[list[dict[str, Any]]]]

URL = "/v1/audio/transcriptions"
TEXT = "hello there. bye."


async def post(client: httpx.AsyncClient, recording: bytes, url: str = URL, /, **fields: Any) -> httpx.Response:
    with anyio.fail_after(30):
        return await client.post(url, data=fields, files={"file": ("a.wav", recording, "audio/wav")})


async def test_json_is_the_default(client: httpx.AsyncClient, spoken_wav: bytes) -> None:
    response = await post(client, spoken_wav, model="whisper-1")
    assert response.status_code == 200
    assert response.json() == {
        "text": TEXT,
        "languages": [{"code": "en"}],
        "usage": {"type": "duration", "seconds": 0.72},
    }


@pytest.mark.parametrize(
    ("fmt", "content_type", "body"),
    [
        ("text", "text/plain; charset=utf-8", f"{TEXT}\n"),
        (
            "srt",
            "application/x-subrip; charset=utf-8",
            "1\n00:00:00,040 --> 00:00:00,520\nhello there.\n\n2\n00:00:00,560 --> 00:00:00,720\nbye.\n\n",
        ),
        (
            "vtt",
            "text/vtt; charset=utf-8",
            "WEBVTT\n\n00:00:00.040 --> 00:00:00.520\nhello there.\n\n00:00:00.560 --> 00:00:00.720\nbye.\n\n",
        ),
    ],
)
async def test_text_formats_have_their_content_type(
    client: httpx.AsyncClient, spoken_wav: bytes, fmt: str, content_type: str, body: str
) -> None:
    response = await post(client, spoken_wav, response_format=fmt)
    assert (response.headers["content-type"], response.text) == (content_type, body)


async def test_verbose_json_has_segments_and_no_words_unless_asked(
    client: httpx.AsyncClient, spoken_wav: bytes
) -> None:
    body = (await post(client, spoken_wav, response_format="verbose_json")).json()
    assert [segment["text"] for segment in body["segments"]] == ["hello there.", "bye."]
    assert set(body["segments"][0]) == {
        "id",
        "seek",
        "start",
        "end",
        "text",
        "tokens",
        "temperature",
        "avg_logprob",
        "compression_ratio",
        "no_speech_prob",
    }
    assert (body["task"], body["language"], body["duration"]) == ("transcribe", "english", 0.72)
    assert "words" not in body


@pytest.mark.parametrize("name", ["timestamp_granularities", "timestamp_granularities[]"])
async def test_word_times_come_when_asked_for(client: httpx.AsyncClient, spoken_wav: bytes, name: str) -> None:
    fields: dict[str, Any] = {"response_format": "verbose_json", name: ["word"]}
    body = (await post(client, spoken_wav, **fields)).json()
    assert [word["word"] for word in body["words"]] == ["hello", "there.", "bye."]
    assert all(word["start"] < word["end"] for word in body["words"])
    assert "segments" not in body


async def test_silence_is_an_empty_text_not_an_error(client: httpx.AsyncClient, silent_wav: bytes) -> None:
    body = (await post(client, silent_wav)).json()
    assert body == {"text": "", "languages": [], "usage": {"type": "duration", "seconds": 1.0}}


async def test_streamed_deltas_joined_are_the_text(
    client: httpx.AsyncClient, spoken_wav: bytes, events_of: EventsOf
) -> None:
    response = await post(client, spoken_wav, stream="true")
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    events = events_of(response)
    assert [event["type"] for event in events] == ["transcript.text.delta"] * 2 + ["transcript.text.done"]
    assert "".join(event.get("delta", "") for event in events) == events[-1]["text"] == TEXT
    assert events[-1]["usage"] == {
        "type": "tokens",
        "input_tokens": 36,
        "output_tokens": 3,
        "total_tokens": 39,
        "input_token_details": {"audio_tokens": 36},
    }


async def test_streamed_verbose_json_has_segments(
    client: httpx.AsyncClient, spoken_wav: bytes, events_of: EventsOf
) -> None:
    events = events_of(await post(client, spoken_wav, stream="true", response_format="verbose_json"))
    segments = [event for event in events if event["type"] == "transcript.text.segment"]
    assert [(segment["id"], segment["text"]) for segment in segments] == [("seg_0", "hello there."), ("seg_1", "bye.")]


async def test_the_most_probable_of_several_languages_is_taken(client: httpx.AsyncClient, spoken_wav: bytes) -> None:
    fields: dict[str, Any] = {"languages[]": ["ja", "de-AT"]}
    body = (await post(client, spoken_wav, **fields)).json()
    assert body["languages"] == [{"code": "de"}]


@pytest.mark.parametrize("tag", ["de", "DE", "de-AT", "de_AT"])
async def test_a_language_may_have_a_region(client: httpx.AsyncClient, spoken_wav: bytes, tag: str) -> None:
    body = (await post(client, spoken_wav, language=tag)).json()
    assert body["languages"] == [{"code": "de"}]


@pytest.mark.parametrize(
    "model", ["whisper-1", "gpt-transcribe", "gpt-4o-transcribe", "gpt-4o-mini-transcribe", "fake-asr", None]
)
async def test_names_of_openai_mean_the_default_model(
    client: httpx.AsyncClient, spoken_wav: bytes, model: str | None
) -> None:
    response = await post(client, spoken_wav, **({} if model is None else {"model": model}))
    assert response.json()["text"] == TEXT


async def test_every_other_field_is_accepted(client: httpx.AsyncClient, spoken_wav: bytes) -> None:
    fields: dict[str, Any] = {
        "prompt": "Bye",
        "temperature": "0.2",
        "keywords[]": ["there", "bye"],
        "chunking_strategy": "auto",
    }
    assert (await post(client, spoken_wav, stream="false", **fields)).json()["text"] == TEXT


def joined(logprobs: list[dict[str, Any]]) -> str:
    return bytes(byte for token in logprobs for byte in token["bytes"]).decode()


@pytest.mark.parametrize("name", ["include", "include[]"])
async def test_the_tokens_of_the_text_come_with_their_probability_when_asked_for(
    client: httpx.AsyncClient, spoken_wav: bytes, name: str, events_of: EventsOf
) -> None:
    body = (await post(client, spoken_wav, **{name: "logprobs"})).json()
    assert joined(body["logprobs"]) == body["text"] == TEXT
    assert body["logprobs"][1] == {"token": " there.", "bytes": list(b" there."), "logprob": 0.0}
    *deltas, done = events_of(await post(client, spoken_wav, stream="true", **{name: "logprobs"}))
    assert [joined(delta["logprobs"]) for delta in deltas] == [delta["delta"] for delta in deltas]
    assert joined(done["logprobs"]) == TEXT


SERVER_VAD = {"type": "server_vad", "threshold": 0.4, "prefix_padding_ms": 100, "silence_duration_ms": 200}


@pytest.mark.parametrize(
    "fields",
    [
        {f"chunking_strategy[{key}]": str(value) for key, value in SERVER_VAD.items()},
        {"chunking_strategy": json.dumps(SERVER_VAD)},
    ],
)
async def test_voice_activity_cuts_as_it_is_told(
    client: httpx.AsyncClient, fields: dict[str, str], events_of: EventsOf
) -> None:
    pause = np.zeros(SESSION_RATE_HZ, np.float32)
    words = [encode_word(word, SESSION_RATE_HZ) for word in ("one", "two")]
    recording = encode_all(np.concatenate([words[0], pause, words[1]]), AudioFormat.FLAC, SESSION_RATE_HZ)

    async def pieces(**changed: str) -> int:
        events = events_of(await post(client, recording, stream="true", **changed))
        assert events[-1]["text"] == "one two"
        return len(events) - 1

    assert await pieces() == 1, "one segment, whatever the pause"
    assert await pieces(**fields) == 2, "each piece has a segment of its own"
    patient = "chunking_strategy[silence_duration_ms]"
    assert await pieces(**{"chunking_strategy[type]": "server_vad", patient: "1500"}) == 1


@pytest.mark.parametrize("chunking", [{}, {"chunking_strategy": "auto"}])
async def test_a_long_recording_has_the_same_events_whole_and_in_pieces(
    client: httpx.AsyncClient, events_of: EventsOf, chunking: dict[str, str]
) -> None:
    pause = np.zeros(20 * SESSION_RATE_HZ, np.float32)
    parts = [part for word in ("one.", "two.") for part in (pause, encode_word(word, SESSION_RATE_HZ))]
    recording = encode_all(np.concatenate(parts), AudioFormat.FLAC, SESSION_RATE_HZ)
    events = events_of(await post(client, recording, stream="true", **chunking))
    assert [event["type"] for event in events] == ["transcript.text.delta"] * 2 + ["transcript.text.done"]
    assert "".join(event.get("delta", "") for event in events) == events[-1]["text"] == "one. two."
    assert (await post(client, recording, **chunking)).json()["text"] == "one. two."


@pytest.mark.parametrize(
    ("fields", "code", "param", "says"),
    [
        ({"prmpt": "x"}, ErrorCode.INVALID_REQUEST, "prmpt", "Did you mean prompt?"),
        ({"temperature": "3"}, ErrorCode.INVALID_REQUEST, "temperature", "<= 1.0"),
        ({"keywords[]": ["a" * 65]}, ErrorCode.INVALID_REQUEST, "keywords[0]", "<= 64"),
        ({"temperature": "warm"}, ErrorCode.INVALID_REQUEST, "temperature", "float"),
        ({"temperature": ["0", "1"]}, ErrorCode.INVALID_REQUEST, "temperature", "more than once"),
        ({"stream": "maybe"}, ErrorCode.INVALID_REQUEST, "stream", "bool"),
        (
            {"response_format": "xml"},
            ErrorCode.INVALID_REQUEST,
            "response_format",
            "json, srt, text, verbose_json, vtt",
        ),
        ({"response_format": "diarized_json"}, ErrorCode.INVALID_REQUEST, "response_format", "speakers apart"),
        ({"include[]": "tokens"}, ErrorCode.INVALID_REQUEST, "include[0]", "logprobs"),
        (
            {"include[]": "logprobs", "response_format": "verbose_json"},
            ErrorCode.INVALID_REQUEST,
            "include",
            "response_format=json",
        ),
        ({"known_speaker_names[]": "a"}, ErrorCode.INVALID_REQUEST, "known_speaker_names", "speakers"),
        ({"known_speaker_references[]": "data:"}, ErrorCode.INVALID_REQUEST, "known_speaker_references", "speakers"),
        ({"chunking_strategy": "none"}, ErrorCode.INVALID_REQUEST, "chunking_strategy", "allowed: auto"),
        ({"chunking_strategy": "{"}, ErrorCode.INVALID_REQUEST, "chunking_strategy", "JSON"),
        ({"chunking_strategy[threshold]": "1"}, ErrorCode.INVALID_REQUEST, "chunking_strategy.type", "missing"),
        (
            {"chunking_strategy[type]": "semantic_vad"},
            ErrorCode.INVALID_REQUEST,
            "chunking_strategy.type",
            "semantic_vad",
        ),
        (
            {"chunking_strategy[type]": "server_vad", "chunking_strategy[threshold]": "2"},
            ErrorCode.INVALID_REQUEST,
            "chunking_strategy.threshold",
            "<= 1.0",
        ),
        (
            {"chunking_strategy[type]": "server_vad", "chunking_strategy[eagerness]": "low"},
            ErrorCode.INVALID_REQUEST,
            "chunking_strategy.eagerness",
            "not a field",
        ),
        (
            {"chunking_strategy": "auto", "chunking_strategy[type]": "server_vad"},
            ErrorCode.INVALID_REQUEST,
            "chunking_strategy",
            "more than once",
        ),
        (
            {"chunking_strategy[type]": "server_vad", "chunking_strategy": "auto"},
            ErrorCode.INVALID_REQUEST,
            "chunking_strategy",
            "more than once",
        ),
        ({"prompt[x]": "a"}, ErrorCode.INVALID_REQUEST, "prompt[x]", "not a field"),
        ({"timestamp_granularities[]": "word"}, ErrorCode.INVALID_REQUEST, "timestamp_granularities", "verbose_json"),
        (
            {"timestamp_granularities[]": "frame", "response_format": "verbose_json"},
            ErrorCode.INVALID_REQUEST,
            "timestamp_granularities[0]",
            "segment, word",
        ),
        ({"stream": "true", "response_format": "srt"}, ErrorCode.INVALID_REQUEST, "response_format", "streamed"),
        ({"language": "en", "languages": "de"}, ErrorCode.INVALID_REQUEST, "languages", "not both"),
        ({"language": "xx"}, ErrorCode.UNSUPPORTED_LANGUAGE, "language", "'xx'"),
        ({"model": "nonesuch"}, ErrorCode.UNKNOWN_MODEL, "model", "fake-asr"),
        ({"model": "fake-tts"}, ErrorCode.UNKNOWN_MODEL, "model", "fake-asr"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_what_is_wrong_is_named(
    client: httpx.AsyncClient,
    spoken_wav: bytes,
    fields: dict[str, Any],
    code: ErrorCode,
    param: str,
    says: str,
    error_of: ErrorOf,
    *,
    stream: bool,
) -> None:
    response = await post(client, spoken_wav, **({"stream": "true"} if stream else {}) | fields)
    error = error_of(response, code)
    assert error["param"] == param
    assert says in error["message"]


async def test_a_field_name_is_not_repeated_at_length(
    client: httpx.AsyncClient, spoken_wav: bytes, error_of: ErrorOf
) -> None:
    error = error_of(await post(client, spoken_wav, **{"x" * 1_000: "1"}), ErrorCode.INVALID_REQUEST)
    assert len(error["message"]) < 200
    assert len(error["param"]) < 200


@pytest.mark.parametrize(
    ("method", "url"),
    [
        ("POST", "/v1/audio/transcriptions"),
        ("POST", "/v1/audio/translations"),
        ("POST", "/v1/audio/speech"),
        ("GET", "/v1/audio/voices"),
        ("GET", "/v1/models"),
        ("GET", "/v1/models/whisper-1"),
    ],
)
async def test_a_query_parameter_is_a_mistake_and_named(
    client: httpx.AsyncClient, error_of: ErrorOf, method: str, url: str
) -> None:
    error = error_of(await client.request(method, f"{url}?language=de"), ErrorCode.INVALID_REQUEST)
    assert error["param"] == "language"
    assert "in the body" in error["message"]


async def test_a_form_needs_a_file(client: httpx.AsyncClient, spoken_wav: bytes, error_of: ErrorOf) -> None:
    other = await client.post(URL, files={"recording": ("a.wav", spoken_wav)})
    assert error_of(other, ErrorCode.INVALID_REQUEST)["param"] == "file"
    twice = await client.post(URL, files=[("file", ("a.wav", spoken_wav)), ("file", ("b.wav", spoken_wav))])
    assert "more than once" in error_of(twice, ErrorCode.INVALID_REQUEST)["message"]
    text = await client.post(URL, files={"file": (None, "hello")})
    assert "with a filename" in error_of(text, ErrorCode.INVALID_REQUEST)["message"]
    binary = await client.post(URL, files={"file": (None, spoken_wav)})
    assert "filename" in error_of(binary, ErrorCode.INVALID_REQUEST)["message"]
    as_prompt = await client.post(URL, files={"file": ("a.wav", spoken_wav), "prompt": ("b.wav", spoken_wav)})
    assert error_of(as_prompt, ErrorCode.INVALID_REQUEST)["param"] == "prompt"


@pytest.mark.parametrize(
    ("content_type", "code"),
    [
        ("application/json", ErrorCode.UNSUPPORTED_CONTENT_TYPE),
        ("audio/wav", ErrorCode.UNSUPPORTED_CONTENT_TYPE),
        ("", ErrorCode.UNSUPPORTED_CONTENT_TYPE),
        ("multipart/form-data", ErrorCode.INVALID_REQUEST),
        ("multipart/form-data; boundary=x", ErrorCode.INVALID_REQUEST),
    ],
)
async def test_what_is_not_a_form_is_refused(
    client: httpx.AsyncClient, spoken_wav: bytes, content_type: str, code: ErrorCode, error_of: ErrorOf
) -> None:
    response = await client.post(URL, content=spoken_wav, headers={"content-type": content_type})
    error_of(response, code)


async def test_an_empty_upload_is_named(client: httpx.AsyncClient, error_of: ErrorOf) -> None:
    error_of(await post(client, b""), ErrorCode.EMPTY_AUDIO)


async def test_what_is_no_audio_is_named(client: httpx.AsyncClient, error_of: ErrorOf) -> None:
    error_of(await post(client, b"Dear Sir or Madam,"), ErrorCode.UNSUPPORTED_FORMAT)


async def test_audio_that_is_too_long_is_refused(open_client: OpenClient, spoken_wav: bytes, error_of: ErrorOf) -> None:
    limits = LimitSettings(max_audio_s=0.1)
    async with open_client(Settings(models=ModelSettings(warm=False), limits=limits)) as client:
        error_of(await post(client, spoken_wav), ErrorCode.AUDIO_TOO_LONG)


async def test_an_engine_that_fails_is_a_typed_error_without_details(
    open_client: OpenClient, spoken_wav: bytes, error_of: ErrorOf
) -> None:
    behaviour = FakeBehaviour()
    behaviour.failure = RuntimeError("secret in /srv/models")
    async with open_client(behaviour=behaviour) as client:
        for stream in ("false", "true"):
            response = await post(client, spoken_wav, stream=stream)
            error_of(response, ErrorCode.ENGINE_FAILED)
            assert "secret" not in response.text


async def test_a_deadline_that_passes_is_a_typed_error(
    open_client: OpenClient, spoken_wav: bytes, error_of: ErrorOf
) -> None:
    behaviour = FakeBehaviour()
    behaviour.hang()
    settings = Settings(models=ModelSettings(warm=False), limits=LimitSettings(request_timeout_s=0.2))
    async with open_client(settings, behaviour=behaviour) as client:
        error = error_of(await post(client, spoken_wav), ErrorCode.DEADLINE_EXCEEDED)
        assert error["retryable"] is True


@pytest.mark.parametrize("stream", ["false", "true"])
async def test_the_engine_stops_when_the_client_goes_away(
    open_app: OpenApp, call_and_leave: CallAndLeave, spoken_wav: bytes, stream: str
) -> None:
    behaviour = FakeBehaviour()
    behaviour.hang()
    host = EngineHost(fake_engines(behaviour), HostSettings(grace_s=1.0))
    form = {"stream": stream}
    request = httpx.Request("POST", f"http://localhost{URL}", data=form, files={"file": ("a.wav", spoken_wav)})
    with anyio.fail_after(20):
        async with open_app(host=host) as app:
            await call_and_leave(app, request, behaviour.called)
            while host.stats()[0].running:
                await anyio.lowlevel.checkpoint()
            assert (host.stats()[0].completed, host.stats()[0].cancelled) == (0, 1)


async def test_translations_are_in_english(client: httpx.AsyncClient, spoken_wav: bytes) -> None:
    response = await post(
        client, spoken_wav, "/v1/audio/translations", model="whisper-1", response_format="verbose_json"
    )
    body = response.json()
    assert (body["task"], body["language"], body["text"]) == ("translate", "english", TEXT)
    assert len(body["segments"]) == 2


async def test_translations_take_only_their_own_fields(
    client: httpx.AsyncClient, spoken_wav: bytes, error_of: ErrorOf
) -> None:
    response = await post(client, spoken_wav, "/v1/audio/translations", language="de")
    assert error_of(response, ErrorCode.INVALID_REQUEST)["param"] == "language"


async def test_every_malformed_recording_is_answered(
    client: httpx.AsyncClient, speech_dir: Path, request: pytest.FixtureRequest
) -> None:
    manifest = (speech_dir / "malformed/manifest.jsonl").read_text("utf-8").splitlines()
    for row in map(json.loads, manifest):
        recording = (speech_dir / row["file"]).read_bytes()
        for url in (URL, "/v1/audio/translations"):
            response = await post(client, recording, url)
            if response.status_code != 200:
                error = response.json()["error"]
                code = ErrorCode(error["code"])
                assert ERRORS[code].http_status == response.status_code < 500, row["file"]
            for leak in ("Traceback", str(speech_dir), str(request.config.rootpath), ".py"):
                assert leak not in response.text
