"""The real ``openai`` client against the real server, in a process of its own: with fake engines and with real ones."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import signal
import subprocess
import sys
import wave
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import httpx
import jiwer
import openai
import pytest
import stamina

pytestmark = [pytest.mark.flow]

TEXT = "Hello brave world. Good bye."


class OneWay(io.RawIOBase):
    """A recording that is read once, from its beginning: a pipe."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._data.read(size)


class Server:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.url = ""
        self._told_to_stop = False

    def stop(self) -> None:
        if not self._told_to_stop:
            self.process.send_signal(signal.SIGTERM)
        self._told_to_stop = True


@contextmanager
def running_server(folder: Path, *options: str) -> Generator[Server]:
    """A server; at the end it is stopped as an operator would, and must end well."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ANTIPHON_SERVER_")}
    environment |= {"ANTIPHON_STORE_PATH": str(folder / "sessions.db"), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "server", "serve", "--port", "0", *options]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment)
        assert process.stdout is not None
        server = Server(process)
        try:
            match = re.search(r"listens on (http://\S+?)\. ", process.stdout.readline())
            assert match is not None, (folder / "log").read_text("utf-8")
            server.url = match[1]
            for attempt in stamina.retry_context(on=httpx.HTTPError, timeout=120.0, attempts=None, wait_max=0.5):
                with attempt:
                    httpx.get(f"{server.url}/readyz").raise_for_status()
            yield server
        finally:
            server.stop()
            status = process.wait(timeout=60)
            process.stdout.close()
    assert status == 0, (folder / "log").read_text("utf-8")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Generator[openai.OpenAI]:
    with (
        running_server(tmp_path_factory.mktemp("fake"), "--fake-engines") as server,
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="unused", max_retries=0) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def real_client(tmp_path_factory: pytest.TempPathFactory) -> Generator[openai.OpenAI]:
    with (
        running_server(tmp_path_factory.mktemp("real")) as server,
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="unused", max_retries=0) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def recording(client: openai.OpenAI) -> bytes:
    return client.audio.speech.create(model="tts-1", voice="alloy", input=TEXT, response_format="wav").read()


def test_speech_streams_in_every_format(client: openai.OpenAI) -> None:
    formats: dict[Literal["mp3", "opus", "pcm"], str] = {"mp3": "audio/mpeg", "opus": "audio/opus", "pcm": "audio/pcm"}
    for fmt, content_type in formats.items():
        with client.audio.speech.with_streaming_response.create(
            model="gpt-4o-mini-tts", voice="coral", input=TEXT, instructions="Gladly.", response_format=fmt
        ) as response:
            assert response.headers["content-type"] == content_type
            assert len(b"".join(response.iter_bytes())) > 1_000


def test_speech_events_carry_the_same_audio(client: openai.OpenAI) -> None:
    whole = client.audio.speech.create(model="tts-1", voice="alloy", input=TEXT, response_format="pcm").read()
    with client.audio.speech.with_streaming_response.create(
        model="tts-1", voice={"id": "alloy"}, input=TEXT, response_format="pcm", stream_format="sse"
    ) as response:
        events = [json.loads(line[6:]) for line in response.iter_lines() if line.startswith("data: ")]
    assert b"".join(base64.b64decode(event["audio"]) for event in events[:-1]) == whole
    assert events[-1]["usage"]["input_tokens"] == len(TEXT)


def test_transcriptions_come_in_every_format(client: openai.OpenAI, recording: bytes) -> None:
    file = ("a.wav", recording)
    plain = client.audio.transcriptions.create(model="whisper-1", file=file)
    assert plain.text == TEXT
    assert plain.usage is not None
    verbose = client.audio.transcriptions.create(
        model="whisper-1",
        file=file,
        response_format="verbose_json",
        timestamp_granularities=["word", "segment"],
        keywords=["brave"],
        languages=["en", "de"],
    )
    assert verbose.segments is not None
    assert [segment.text for segment in verbose.segments] == ["Hello brave world.", "Good bye."]
    assert verbose.words is not None
    assert [word.word for word in verbose.words] == TEXT.split()
    text = client.audio.transcriptions.create(model="whisper-1", file=file, response_format="text")
    assert text.strip() == TEXT
    assert client.audio.transcriptions.create(model="whisper-1", file=file, response_format="vtt")[:6] == "WEBVTT"


def test_a_streamed_transcription_grows(client: openai.OpenAI, recording: bytes) -> None:
    events = list(client.audio.transcriptions.create(model="gpt-4o-transcribe", file=("a.wav", recording), stream=True))
    assert [event.type for event in events] == ["transcript.text.delta"] * 2 + ["transcript.text.done"]
    grown = "".join(event.delta for event in events if event.type == "transcript.text.delta")
    assert grown == TEXT


def test_models_are_listed(client: openai.OpenAI) -> None:
    assert "fake-asr" in [model.id for model in client.models.list()]
    assert client.models.retrieve("fake-asr").id == "fake-asr"


@pytest.mark.parametrize(
    ("change", "kind", "code"),
    [
        ({"voice": "nobody"}, openai.NotFoundError, "unknown_voice"),
        ({"input": ""}, openai.BadRequestError, "empty_text"),
        ({"model": "nonesuch"}, openai.NotFoundError, "unknown_model"),
        ({"speed": 9}, openai.BadRequestError, "invalid_request"),
    ],
)
def test_errors_are_the_clients_own(
    client: openai.OpenAI, change: dict[str, Any], kind: type[openai.APIStatusError], code: str
) -> None:
    body: dict[str, Any] = {"model": "tts-1", "voice": "alloy", "input": TEXT} | change
    with pytest.raises(kind) as caught:
        client.audio.speech.create(**body)
    assert caught.value.code == code
    assert caught.value.request_id


def test_the_object_form_of_chunking_cuts(client: openai.OpenAI, recording: bytes) -> None:
    heard = client.audio.transcriptions.create(
        model="whisper-1",
        file=("a.wav", recording),
        chunking_strategy={"type": "server_vad", "threshold": 0.5, "silence_duration_ms": 300},
        include=["logprobs"],
    )
    assert heard.text == TEXT
    assert heard.logprobs is not None
    assert "".join(token.token or "" for token in heard.logprobs) == TEXT


def test_what_cannot_be_done_is_refused_by_name(client: openai.OpenAI, recording: bytes) -> None:
    with pytest.raises(openai.BadRequestError, match="speakers apart") as caught:
        client.audio.transcriptions.create(
            model="gpt-4o-transcribe-diarize", file=("a.wav", recording), response_format="diarized_json"
        )
    assert caught.value.param == "response_format"


def test_what_a_voice_cannot_be_cloned_without_is_named(client: openai.OpenAI, recording: bytes) -> None:
    with pytest.raises(openai.InternalServerError, match=r"antiphon\[coqui\]") as caught:
        client.audio.voices.create(name="ada", consent="cons_1", audio_sample=("a.wav", recording))
    assert (caught.value.status_code, caught.value.code) == (501, "missing_extra")


def test_a_recording_can_be_uploaded_in_every_way_the_client_has(
    client: openai.OpenAI, recording: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(recording)
    with path.open("rb") as opened:
        uploads: list[Any] = [
            recording,
            io.BytesIO(recording),
            opened,
            path,
            ("a", recording),
            ("a.wav", io.BytesIO(recording), "application/octet-stream"),
            ("é “a”.mp3", recording, "audio/mpeg"),
            OneWay(recording),
        ]
        for upload in uploads:
            assert client.audio.transcriptions.create(model="whisper-1", file=upload).text == TEXT


def test_a_client_that_stops_reading_harms_nobody(client: openai.OpenAI) -> None:
    with client.audio.speech.with_streaming_response.create(
        model="tts-1", voice="alloy", input="word " * 3_000, response_format="pcm"
    ) as response:
        next(response.iter_bytes())
    assert client.audio.speech.create(model="tts-1", voice="alloy", input="Hi.").read()


def accepts(server: Server) -> bool:
    try:
        return httpx.get(f"{server.url}/healthz").is_success
    except httpx.TransportError:
        return False


def test_speech_that_is_being_sent_is_finished_after_sigterm(tmp_path: Path) -> None:
    spoken = {"input": "word " * 4_000, "response_format": "pcm"}
    with running_server(tmp_path, "--fake-engines") as server:
        url = f"{server.url}/v1/audio/speech"
        whole = httpx.post(url, json=spoken, timeout=60).content
        with (
            httpx.stream("POST", url, json=spoken, timeout=60) as audio,
            httpx.stream("POST", url, json=spoken | {"stream_format": "sse"}, timeout=60) as events,
        ):
            server.stop()
            # It has seen the signal once it accepts nobody any more.
            while accepts(server):
                pass
            audio_pieces = audio.read()
            lines = [json.loads(line[6:]) for line in events.read().decode().splitlines() if line[:6] == "data: "]
    assert audio_pieces == whole
    assert b"".join(base64.b64decode(event["audio"]) for event in lines[:-1]) == whole


@pytest.mark.real
def test_a_real_voice_is_understood_by_the_real_recogniser(real_client: openai.OpenAI) -> None:
    said = "The quick brown fox jumps over the lazy dog."
    data = real_client.audio.speech.create(model="tts-1", voice="alloy", input=said, response_format="wav").read()
    with wave.open(io.BytesIO(data)) as file:
        assert file.getframerate() == 24_000
    for stream in (False, True):
        heard = real_client.audio.transcriptions.create(
            model="whisper-1", file=("a.wav", data), language="en", stream=stream
        )
        last: Any = list(heard)[-1] if isinstance(heard, openai.Stream) else heard
        assert jiwer.wer(said, last.text) < 0.2  # a word of nine: the voice speaks a little differently each time


@pytest.mark.real
def test_german_speech_is_transcribed_in_german_and_translated_into_english(
    real_client: openai.OpenAI, speech_dir: Path, speech_manifest: list[dict[str, Any]]
) -> None:
    row = next(row for row in speech_manifest if row["language"] == "de" and row["kind"] == "utterance")
    file = (Path(row["file"]).name, (speech_dir / row["file"]).read_bytes())
    german = real_client.audio.transcriptions.create(model="whisper-1", file=file, response_format="verbose_json")
    assert german.language == "german"
    assert german.words is None
    expected = row["text"].lower().split()
    heard = set(re.findall(r"\w+", german.text.lower()))
    assert sum(word in heard for word in expected) > 0.6 * len(expected)
    with pytest.warns(DeprecationWarning, match="deprecated"):  # by the client: OpenAI is about to end its own endpoint
        english = real_client.audio.translations.create(  # pyright: ignore[reportDeprecated]
            model="whisper-1", file=file
        )
    assert set(english.text.lower().split()) & {"the", "you", "and", "of", "to"}


@pytest.mark.real
def test_every_malformed_recording_is_answered_and_the_server_lives(
    real_client: openai.OpenAI, speech_dir: Path
) -> None:
    manifest = (speech_dir / "malformed/manifest.jsonl").read_text("utf-8").splitlines()
    for row in map(json.loads, manifest):
        file = (Path(row["file"]).name, (speech_dir / row["file"]).read_bytes())
        response = httpx.post(
            f"{real_client.base_url}audio/transcriptions", files={"file": file}, data={"language": "en"}, timeout=60
        )
        assert response.status_code < 500, row["file"]
        assert str(speech_dir.parent) not in response.text
    assert real_client.models.list().data
