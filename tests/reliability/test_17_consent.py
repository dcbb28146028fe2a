# pyright: reportPrivateUsage=false
# A test may look inside: what an engine keeps of a voice.

"""Row 17: a voice without consent is 403, one whose consent was taken back too; what was made of it is erased."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from engines.base import TtsJob
from engines.codec.encoder import encode_all
from engines.coqui import cloning
from engines.coqui.cloned_voices import (
    REFERENCE_RATE_HZ,
    Consent,
    add_voice,
    check_consent,
    read_reference,
    read_voices,
    revoke_consent,
)
from engines.coqui.xtts import XttsTts
from engines.fake import FakeTts, fake_engines
from engines.host import EngineHost
from engines.spec import EngineSpec, HostSettings
from schemas.audio import AudioFormat
from schemas.errors import ErrorCode, SpeechError
from schemas.models import ModelKind
from schemas.speech import SpeechChunk
from server.settings import ModelSettings

pytestmark = pytest.mark.anyio

SAMPLES = (0.3 * np.sin(np.arange(4 * REFERENCE_RATE_HZ) / 30)).astype(np.float32)
CONSENT = Consent(given_by="Ada King", given_at="2026-01-02", statement="I agree.", scope="phone menu", language="en")
RATE_HZ = 16_000


class FakeCloning(FakeTts):
    """Speaks as the fake voice does, with the leave of whom it clones."""

    def __init__(self, folder: Path) -> None:
        super().__init__(voices=read_voices(folder, model="fake-cloning", sample_rate_hz=RATE_HZ))
        self._folder = folder

    def synthesize(self, job: TtsJob) -> Iterator[SpeechChunk]:
        read_reference(self._folder, job.voice)
        yield from super().synthesize(job)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    add_voice(tmp_path / "voices", "ada", SAMPLES, CONSENT)
    add_voice(tmp_path / "voices", "bob", SAMPLES, replace(CONSENT, tenant="b"))
    add_voice(tmp_path / "voices", "eve", SAMPLES, CONSENT)
    (tmp_path / "voices" / "eve" / "consent.json").unlink()
    return tmp_path / "voices"


def host(folder: Path) -> EngineHost:
    voices = read_voices(folder, model="fake-cloning", sample_rate_hz=RATE_HZ)
    spec = EngineSpec(kind=ModelKind.TTS, engine="fake", load=lambda: FakeCloning(folder), voices=voices)
    return EngineHost(fake_engines() | {"fake-cloning": spec}, HostSettings())


async def test_a_voice_is_spoken_until_its_consent_is_taken_back(serving: Any, client: Any, folder: Path) -> None:
    async with serving(host=host(folder)) as url, client(url) as caller:

        async def speak(voice: str) -> tuple[int, str]:
            answer = await caller.post("/v1/audio/speech", json={"input": "Hello.", "voice": voice})
            return answer.status_code, "" if answer.is_success else answer.json()["error"]["code"]

        assert await speak("ada") == (200, "")
        assert await speak("ada") == (200, "")
        assert await speak("eve") == (404, "unknown_voice")  # never listed
        revoke_consent(folder, "ada")
        # The same words again: no audio of them was kept.
        assert await speak("ada") == (403, "consent_required")
        said = await caller.post("/v1/tools/synthesize", json={"text": "Hello.", "voice": "ada"})
        assert (said.status_code, said.json()["error"]["code"]) == (403, "consent_required")
        listed = (folder / "audit.jsonl").read_text("utf-8").splitlines()
        assert ['"deed":"revoked"' in line for line in listed] == [False, False, False, True]


async def test_a_tenants_voice_is_unknown_to_others_on_every_route(
    serving: Any, keys: Any, client: Any, folder: Path
) -> None:
    """Row 14, of voices."""
    a, b = keys.headers("a"), keys.headers("b")
    async with serving(keys.settings, host=host(folder)) as url, client(url, a) as other, client(url, b) as own:

        async def answers(caller: Any, voice: str) -> list[tuple[int, str]]:
            ways = (
                ("/v1/audio/speech", {"input": "Hello.", "voice": voice}),
                ("/v1/tools/synthesize", {"text": "Hello.", "voice": voice}),
                ("/v1/sessions", {"voice": voice}),
                ("/v1/tools/open_session", {"voice": voice}),
            )
            responses = [await caller.post(path, json=body) for path, body in ways]
            session_id = (await caller.post("/v1/sessions", json={})).json()["session_id"]
            said = {"session_id": session_id, "text": "Hello.", "voice": voice, "wait": False}
            responses.append(await caller.post("/v1/tools/say", json=said))
            return [
                (answer.status_code, "" if answer.is_success else answer.json()["error"]["message"].replace(voice, "X"))
                for answer in responses
            ]

        foreign = await answers(other, "bob")
        assert {status for status, _ in foreign} == {404}
        assert foreign == await answers(other, "zed")
        assert {status for status, _ in await answers(own, "bob")} <= {200, 201}
        for path in ("/v1/audio/voices", "/v1/tools/list_voices"):
            for caller, sees in ((other, False), (own, True)):
                answer = await (caller.get(path) if "audio" in path else caller.post(path, json={}))
                assert ('"bob"' in answer.text) is sees


async def test_a_name_tells_nothing_of_the_voices_of_others(
    serving: Any, keys: Any, client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 14, of making and deleting voices."""

    def found(_: str) -> object:
        return object()

    monkeypatch.setattr(cloning, "find_spec", found)
    spec = EngineSpec(kind=ModelKind.TTS, engine="coqui_xtts", sample_rate_hz=24_000, load=FakeTts)
    engines = EngineHost(fake_engines() | {"xtts-v2": spec}, HostSettings())
    settings = replace(keys.settings, models=ModelSettings(dir=str(tmp_path / "models"), warm=False))
    audio = encode_all(SAMPLES, AudioFormat.FLAC, REFERENCE_RATE_HZ)
    consent = {"given_by": "Ada", "statement": "I agree.", "scope": "tests", "language": "en"}
    a, b = keys.headers("a"), keys.headers("b")
    async with serving(settings, host=engines) as url, client(url, a) as one, client(url, b) as other:

        async def create(caller: Any) -> str:
            form = {"name": "ada", "consent": json.dumps(consent)}
            answer = await caller.post("/v1/audio/voices", data=form, files={"audio_sample": ("ada.flac", audio)})
            assert answer.status_code == 200, answer.text
            assert answer.json()["name"] == "ada"
            return answer.json()["id"]

        mine, theirs = await create(one), await create(other)
        assert mine != theirs
        assert theirs not in (await one.get("/v1/audio/voices")).text
        foreign, unknown = [await one.delete(f"/v1/audio/voices/{voice}") for voice in (theirs, "nobody")]
        assert foreign.status_code == unknown.status_code == 404
        said = foreign.json()["error"]["message"].replace(theirs, "X")
        assert said == unknown.json()["error"]["message"].replace("nobody", "X")
        assert (await one.delete(f"/v1/audio/voices/{mine}")).status_code == 200


def test_what_a_model_knows_of_a_voice_is_erased_with_the_consent(folder: Path) -> None:
    """XTTS without its weights: what it keeps of a voice it has spoken with."""
    engine = XttsTts.__new__(XttsTts)
    engine._voices_dir = folder
    engine._lock = threading.Lock()
    known = ("latents", "embedding")
    engine._latents = OrderedDict(
        {name: (check_consent(folder, name).reference_sha256, known) for name in ("ada", "bob")}
    )
    assert engine._condition("ada") == known
    revoke_consent(folder, "ada")
    with pytest.raises(SpeechError) as caught:
        engine._condition("ada")
    assert caught.value.code is ErrorCode.CONSENT_REQUIRED
    assert list(engine._latents) == ["bob"]
