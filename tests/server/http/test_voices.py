from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import anyio
import httpx
import numpy as np
import pytest

from engines.codec.encoder import encode_all
from engines.coqui import cloning
from engines.coqui.cloned_voices import REFERENCE_RATE_HZ
from engines.fake import FakeTts, fake_engines
from engines.host import EngineHost
from engines.spec import EngineSpec, HostSettings
from schemas.audio import AudioFormat
from schemas.errors import ErrorCode
from schemas.models import ModelKind
from schemas.speech import Voice
from server.settings import ModelSettings, Settings

pytestmark = pytest.mark.anyio

OpenClient = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]
ErrorOf = Callable[[httpx.Response, ErrorCode], dict[str, Any]]

URL = "/v1/audio/voices"
SPEECH = "/v1/audio/speech"
CONSENT = {"given_by": "Ada King", "statement": "I agree.", "scope": "tests", "language": "en-GB"}


def found(_: str) -> object:
    return object()


def missing(_: str) -> None:
    return None


def recording(seconds: float = 4.0) -> bytes:
    samples = 0.3 * np.sin(np.arange(int(seconds * REFERENCE_RATE_HZ)) / 30)
    return encode_all(samples.astype(np.float32), AudioFormat.FLAC, REFERENCE_RATE_HZ)


async def create(client: httpx.AsyncClient, data: bytes | None = None, **fields: Any) -> httpx.Response:
    form = {"name": "ada", "consent": json.dumps(CONSENT)} | fields
    with anyio.fail_after(30):
        return await client.post(URL, data=form, files={"audio_sample": ("ada.flac", data or recording())})


@pytest.fixture
async def cloner(
    open_client: OpenClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a server whose model for cloned voices is a fake that can speak as Ada."""
    monkeypatch.setattr(cloning, "find_spec", found)
    ada = Voice("ada", "xtts-v2", "en-GB", 24_000, name="ada")
    xtts = EngineSpec(
        kind=ModelKind.TTS, engine="coqui_xtts", sample_rate_hz=24_000, load=lambda: FakeTts(voices=(ada,))
    )
    host = EngineHost(fake_engines() | {"xtts-v2": xtts}, HostSettings(grace_s=1.0))
    async with open_client(Settings(models=ModelSettings(dir=str(tmp_path), warm=False)), host=host) as client:
        yield client


async def voices(client: httpx.AsyncClient) -> list[str]:
    return [voice["id"] for voice in (await client.get(URL)).json()["data"]]


async def test_a_cloned_voice_can_be_spoken_with_at_once_until_it_is_deleted(
    cloner: httpx.AsyncClient, tmp_path: Path, error_of: ErrorOf
) -> None:
    error_of(await cloner.post(SPEECH, json={"input": "Hi.", "voice": "ada"}), ErrorCode.UNKNOWN_VOICE)
    body = (await create(cloner)).json()
    assert (body["id"], body["object"], body["name"], body["type"]) == ("ada", "audio.voice", "ada", "audio_sample")
    assert body["created_at"] > 0
    assert await voices(cloner) == ["fake-alto", "fake-bass", "ada"]
    for spoken in ({"voice": "ada"}, {"voice": {"id": "ada"}}, {"model": "xtts-v2"}):
        assert (await cloner.post(SPEECH, json={"input": "Hi."} | spoken)).status_code == 200
    kept = json.loads((tmp_path / "voices" / "ada" / "consent.json").read_bytes())
    assert CONSENT.items() <= kept.items()
    assert (await cloner.delete(f"{URL}/ada")).json() == {"id": "ada", "object": "audio.voice.deleted", "deleted": True}
    assert await voices(cloner) == ["fake-alto", "fake-bass"]
    assert not (tmp_path / "voices" / "ada").exists()
    error_of(await cloner.post(SPEECH, json={"input": "Hi.", "voice": "ada"}), ErrorCode.UNKNOWN_VOICE)


async def test_a_name_that_is_taken_is_refused(cloner: httpx.AsyncClient, error_of: ErrorOf) -> None:
    assert (await create(cloner)).status_code == 200
    for name in ("ada", "alloy", "fake-alto"):
        assert error_of(await create(cloner, name=name), ErrorCode.INVALID_REQUEST)["param"] == "name"


async def test_only_cloned_voices_can_be_deleted(cloner: httpx.AsyncClient, error_of: ErrorOf) -> None:
    for name in ("fake-alto", "nobody"):
        error_of(await cloner.delete(f"{URL}/{name}"), ErrorCode.UNKNOWN_VOICE)


@pytest.mark.parametrize(
    ("fields", "code", "param", "says"),
    [
        ({"consent": "cons_1234"}, ErrorCode.CONSENT_REQUIRED, "consent", "given_by, statement, scope and language"),
        ({"consent": json.dumps(CONSENT | {"scope": ""})}, ErrorCode.INVALID_REQUEST, "consent.scope", ">= 1"),
        ({"consent": "{"}, ErrorCode.INVALID_REQUEST, "consent", "JSON"),
        ({"consent": []}, ErrorCode.INVALID_REQUEST, "consent", "missing"),
        ({"name": "../eve"}, ErrorCode.INVALID_REQUEST, "name", "regex"),
        ({"type": "prompt"}, ErrorCode.INVALID_REQUEST, "type", "not made from a description"),
        ({"prompt": "A pirate."}, ErrorCode.INVALID_REQUEST, "prompt", "not made from a description"),
        ({"data": recording(1.0)}, ErrorCode.INVALID_AUDIO, None, "3 s"),
    ],
)
async def test_what_is_wrong_is_named(
    cloner: httpx.AsyncClient, error_of: ErrorOf, fields: dict[str, Any], code: ErrorCode, param: str | None, says: str
) -> None:
    error = error_of(await create(cloner, **fields), code)
    assert error["param"] == param
    assert says in error["message"]
    assert await voices(cloner) == ["fake-alto", "fake-bass"]


async def test_what_is_missing_for_cloning_is_named(
    client: httpx.AsyncClient, error_of: ErrorOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloning, "find_spec", missing)
    for response in (await create(client), await client.delete(f"{URL}/ada")):
        assert "antiphon[coqui]" in error_of(response, ErrorCode.MISSING_EXTRA)["message"]
    monkeypatch.setattr(cloning, "find_spec", found)
    message = error_of(await create(client), ErrorCode.MODEL_NOT_INSTALLED)["message"]
    assert "antiphon models pull xtts-v2" in message


async def test_voices_are_listed_with_their_aliases(client: httpx.AsyncClient) -> None:
    body = (await client.get(URL)).json()
    assert body["object"] == "list"
    first = body["data"][0]
    assert (first["id"], first["object"], first["default"], first["model"]) == ("fake-alto", "voice", True, "fake-tts")
    names = {"alloy", "ash", "ballad", "coral", "echo", "fable", "onyx", "nova", "sage", "shimmer", "verse"}
    assert names <= {alias for voice in body["data"] for alias in voice["aliases"]}


async def test_without_a_synthesis_model_there_are_no_voices(open_client: OpenClient, error_of: ErrorOf) -> None:
    engines = {name: spec for name, spec in fake_engines().items() if name != "fake-tts"}
    async with open_client(host=EngineHost(engines, HostSettings())) as client:
        assert (await client.get(URL)).json()["data"] == []
        error_of(await client.post(SPEECH, json={"input": "Hi."}), ErrorCode.MODEL_NOT_INSTALLED)
        error_of(await client.post(SPEECH, json={"input": "Hi.", "model": "piper"}), ErrorCode.UNKNOWN_MODEL)
