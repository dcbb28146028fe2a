"""What a session says of its text, and what it tells was heard of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import anyio
import pytest

from engines.codec.resampler import resample
from engines.host import EngineHost
from engines.tones import decode_words
from schemas.audio import SESSION_RATE_HZ, float_from_pcm16
from schemas.errors import ErrorCode, SpeechError
from schemas.events import SayAudio, SayEnded, SayText, ServerEvent
from schemas.sessions import SessionSettings, SpeechStatus
from schemas.speech import LexiconEntry, SpeechOptions
from session.clock import FakeClock
from session.manager import SessionManager
from session.speaking import Speaker

pytestmark = pytest.mark.anyio

RATE_HZ = 24_000


class Stage(Protocol):
    async def until(self, condition: Callable[[], bool]) -> None: ...


class Listener:
    """Speaks one item, and keeps what came of it."""

    def __init__(self, host: EngineHost, clock: FakeClock, stage: Stage) -> None:
        self._host = host
        self._clock = clock
        self._stage = stage
        self._pcm = bytearray()
        self.texts: list[str] = []
        self.ended: SayEnded | None = None

    def _publish(self, event: ServerEvent, pcm: bytes | None) -> None:
        match event:
            case SayAudio():
                self._pcm += pcm or b""
            case SayText():
                self.texts.append(event.text)
            case SayEnded():
                self.ended = event
            case _:
                pass

    async def hear(self, text: str, options: SpeechOptions | None = None, *, until_ms: float | None = None) -> str:
        """The words that were sent; with ``until_ms`` the item is stopped when so much was played."""
        played = anyio.Event()
        speaker = Speaker(
            self._host,
            "owner",
            self._clock,
            RATE_HZ,
            20.0,
            publish=self._publish,
            on_audible=lambda _: None,
            on_played=lambda _: played.set(),
            on_final_position=lambda _: None,
        )
        item_id = speaker.create(text, self._host.voice(None), options or SpeechOptions(), more=False)
        begun_us = self._clock.now_us()
        async with anyio.create_task_group() as tasks:
            speaker.start(tasks, item_id)
            if until_ms is None:
                await self._stage.until(played.is_set)
            else:
                await self._stage.until(lambda: self._clock.now_us() - begun_us >= until_ms * 1_000)
            speaker.end(item_id, interrupted=until_ms is not None)
        samples = resample(float_from_pcm16(bytes(self._pcm)), RATE_HZ, SESSION_RATE_HZ)
        return " ".join(word.text for word in decode_words(samples))


@pytest.fixture
def listener(host: EngineHost, clock: FakeClock, stage: Stage) -> Listener:
    return Listener(host, clock, stage)


async def test_a_price_is_said_in_words_and_heard_as_it_was_written(listener: Listener) -> None:
    assert await listener.hear("It costs $12.50.") == "It costs twelve dollars and fifty cents."
    assert listener.ended is not None
    assert (listener.ended.status, listener.ended.heard_text) == (SpeechStatus.COMPLETED, "It costs $12.50.")


@pytest.mark.parametrize(
    ("until_ms", "heard"),
    [(500, "It costs"), (1_500, "It costs"), (1_750, "It costs $12.50"), (1_950, "It costs $12.50 today.")],
)
async def test_a_price_was_heard_when_its_last_word_was(listener: Listener, until_ms: float, heard: str) -> None:
    text = "It costs $12.50 today. And more."
    await listener.hear(text, until_ms=until_ms)
    assert listener.ended is not None
    assert listener.ended.heard_text == heard
    assert f"{heard} {listener.ended.remaining_text}" == text


async def test_markdown_over_several_sentences_is_not_heard(listener: Listener) -> None:
    text = "**Dr. Smith has 3.14 of it. The rest** is `mine`.\n\n- one\n- two\n\n```\n"
    assert await listener.hear(text) == ("Doctor Smith has three point one four of it. The rest is mine. one. two.")
    assert listener.ended is not None
    assert listener.ended.heard_text == text.rstrip()


async def test_ssml_is_spoken_and_its_words_are_the_conversation(listener: Listener) -> None:
    ssml = "<speak>One &amp; two. <break time='200ms'/><sub alias='three'>3</sub> it is.</speak>"
    assert await listener.hear(ssml, SpeechOptions(ssml=True)) == "One & two. three it is."
    assert listener.texts == ["One & two. 3 it is."]
    assert listener.ended is not None
    assert (listener.ended.heard_text, listener.ended.remaining_text) == ("One & two. 3 it is.", "")


async def test_ssml_that_was_interrupted_is_told_without_its_marks(listener: Listener) -> None:
    ssml = "<speak>One. <break time='5s'/><sub alias='two'>2</sub> more.</speak>"
    await listener.hear(ssml, SpeechOptions(ssml=True), until_ms=2_000)
    assert listener.ended is not None
    assert (listener.ended.heard_text, listener.ended.remaining_text) == ("One.", "2 more.")


async def test_a_session_has_a_lexicon_and_each_say_may_have_its_own(
    sessions: SessionManager, host: EngineHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[SpeechOptions] = []
    synthesize = host.synthesize

    def listen(text: str, **how: object) -> object:
        options = how["options"]
        assert isinstance(options, SpeechOptions)
        asked.append(options)
        return synthesize(text, **how)  # pyright: ignore[reportArgumentType] (passed on)

    monkeypatch.setattr(host, "synthesize", listen)
    own, general = LexiconEntry(word="a", say="b"), LexiconEntry(word="a", say="c")
    session = await sessions.open(SessionSettings(lexicon=(general,)))
    await session.say("A.", options=SpeechOptions(lexicon=(own,), speed=2.0))
    with anyio.fail_after(10):
        while not asked:
            await anyio.lowlevel.checkpoint()
    assert asked == [SpeechOptions(lexicon=(own, general), speed=2.0)]


@pytest.mark.parametrize(
    ("text", "options", "more", "param"),
    [
        ("<speak>a", SpeechOptions(ssml=True), False, "text"),
        ("<speak>a</speak>", SpeechOptions(ssml=True), True, "ssml"),
        ("a", SpeechOptions(lexicon=(LexiconEntry(word="a"),)), False, "lexicon"),
    ],
)
async def test_what_cannot_be_said_is_refused_at_once(
    sessions: SessionManager, text: str, options: SpeechOptions, param: str, *, more: bool
) -> None:
    session = await sessions.open(SessionSettings())
    with pytest.raises(SpeechError) as raised:
        await session.say(text, options=options, more=more)
    assert (raised.value.code, raised.value.param) == (ErrorCode.INVALID_REQUEST, param)
    assert session.history.items == ()
