import base64
import json
from collections.abc import AsyncIterator, Callable

import httpx
import numpy as np
import pytest

from evals.decoding import wav
from evals.targets.address import Address, address
from evals.targets.antiphon import AntiphonSynthesizer, AntiphonTranscriber
from evals.targets.base import Target
from evals.targets.openai import OpenAISynthesizer, OpenAITranscriber
from schemas.errors import ErrorCode, SpeechError
from schemas.transcripts import Word

pytestmark = pytest.mark.anyio

AUDIO = wav(np.zeros(1_600, np.float32))


def server(answer: Callable[[httpx.Request], httpx.Response]) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url="http://there", transport=httpx.MockTransport(answer))


async def pieces(*content: bytes) -> AsyncIterator[bytes]:
    for piece in content:
        yield piece


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("inproc", Address("inproc")),
        ("http://host:80/", Address("antiphon", "http://host:80")),
        ("openai:http://host/v1#large", Address("openai", "http://host", "large")),
        ("wyoming:host:10300", Address("wyoming", "host:10300")),
        ("wyoming:tcp://host:10300", Address("wyoming", "host:10300")),
        ("engine:whisper-base", Address("engine", "whisper-base")),
    ],
)
def test_a_target_is_named_by_protocol_and_place(text: str, wanted: Address) -> None:
    assert address(text) == wanted


@pytest.mark.parametrize("text", ["", "inproc:1", "openai:host", "wyoming:host", "engine:", "ftp://host"])
def test_what_is_no_target_says_the_forms(text: str) -> None:
    with pytest.raises(SpeechError, match="The forms are inproc"):
        address(text)


def test_a_target_says_what_it_cannot_do() -> None:
    with pytest.raises(SpeechError, match="engine:x cannot hold sessions"):
        Target(name="engine:x").server  # noqa: B018
    with pytest.raises(SpeechError, match="cannot speak"):
        Target(name="engine:x").synthesizer  # noqa: B018


async def test_an_antiphon_is_asked_by_its_tools() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        arguments = json.loads(request.content)
        assert base64.b64decode(arguments["audio"]) == AUDIO
        if request.url.path == "/v1/tools/detect_language":
            return httpx.Response(200, json={"language": "de", "probability": 0.9, "candidates": []})
        assert (request.url.path, arguments["beam_size"], arguments["word_times"]) == ("/v1/tools/transcribe", 1, True)
        word = {"text": "Ja", "start_s": 0.0, "end_s": 0.2, "probability": 0.7}
        found: dict[str, object] = {
            "text": "Ja",
            "language": "de",
            "language_probability": 1,
            "duration_s": 0.1,
            "segments": [],
        }
        return httpx.Response(200, json={**found, "words": [word], "model": "m"})

    async with server(answer) as http:
        asked = AntiphonTranscriber(http, "x", beam=1)
        heard = await asked.transcribe(AUDIO, "de", words=True)
        guess = await asked.detect_language(AUDIO)
    assert (heard.text, heard.words) == ("Ja", (Word("Ja", 0.0, 0.2, 0.7),))
    assert heard.took_s > 0
    assert guess is not None
    assert guess.language == "de"
    assert asked.identity != AntiphonTranscriber(http, "x", beam=5).identity


async def test_an_openai_server_that_has_json_only_is_asked_for_json() -> None:
    formats: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        verbose = b"verbose_json" in request.content
        formats.append(b"verbose" if verbose else b"json")
        if verbose:
            return httpx.Response(400, json={"error": {"message": "response_format 'verbose_json' is not compatible"}})
        return httpx.Response(200, json={"text": " Hello. "})

    async with server(answer) as http:
        asked = OpenAITranscriber(http, "x")
        assert (await asked.transcribe(AUDIO, "en")).text == "Hello."
        await asked.transcribe(AUDIO, "en")
        assert await asked.detect_language(AUDIO) is None
    assert formats == [b"verbose", b"json", b"json", b"json"]


async def test_a_file_that_an_openai_server_refuses_changes_nothing_for_those_after_it() -> None:
    bad = b"no audio"

    def answer(request: httpx.Request) -> httpx.Response:
        if bad in request.content:
            return httpx.Response(400, json={"error": {"message": "Invalid file format."}})
        language = {"language": "english"} if b"verbose_json" in request.content else {}
        return httpx.Response(200, json={"text": "Hello.", **language})

    async with server(answer) as http:
        asked = OpenAITranscriber(http, "x")
        with pytest.raises(SpeechError, match="Invalid file format"):
            await asked.transcribe(bad, "en")
        assert (await asked.transcribe(AUDIO, "en")).language == "en"


async def test_an_openai_server_that_tells_a_language_is_believed() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert b'name="language"' not in request.content
        words = [{"word": "Hallo", "start": 0, "end": 0.5, "probability": 0.8}, {"word": "du", "start": 1, "end": 2}]
        return httpx.Response(200, json={"text": "Hallo du", "language": "german", "words": words})

    async with server(answer) as http:
        guess = await OpenAITranscriber(http, "x").detect_language(AUDIO)
        heard = await OpenAITranscriber(http, "x").transcribe(AUDIO, None, words=True)
    assert guess is not None
    assert guess.language == "de"
    assert [word.text for word in heard.words] == ["Hallo"]


async def test_what_is_spoken_tells_when_it_came() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert json.loads(request.content)["response_format"] == "pcm"
        return httpx.Response(200, content=pieces(b"\x00\x10" * 12_000, b"\x00\x10" * 12_000))

    async with server(answer) as http:
        for asked in (AntiphonSynthesizer(http, "x"), OpenAISynthesizer(http, "x")):
            spoken = await asked.speak("Hello.", voice=None, language="en")
            assert spoken.audio_s == 1.0
            assert 0 < spoken.first_s <= spoken.took_s


async def test_no_audio_is_an_error() -> None:
    async with server(lambda _: httpx.Response(200, content=pieces())) as http:
        with pytest.raises(SpeechError, match="sent no audio"):
            await OpenAISynthesizer(http, "x").speak("Hello.", voice=None, language="en")


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (503, ErrorCode.OVERLOADED),
        (429, ErrorCode.OVERLOADED),
        (500, ErrorCode.INTERNAL),
        (404, ErrorCode.INVALID_REQUEST),
    ],
)
async def test_an_error_of_another_server_is_the_nearest_of_ours(status: int, code: ErrorCode) -> None:
    async with server(lambda _: httpx.Response(status, text="no")) as http:
        with pytest.raises(SpeechError) as caught:
            await OpenAITranscriber(http, "x", model="m").transcribe(AUDIO, "en")
    assert caught.value.code is code


async def test_a_server_that_is_not_there_may_be_asked_again() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    async with server(refuse) as http:
        with pytest.raises(SpeechError, match="does not answer") as caught:
            await AntiphonTranscriber(http, "x", beam=5).transcribe(AUDIO, "en")
    assert caught.value.code is ErrorCode.OVERLOADED
