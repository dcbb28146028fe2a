"""The agent's voice: items of text, spoken in order, paced by playback, paused and stopped at once.

An item is what one ``say`` speaks. Its text may still be growing while it is spoken. Audio is sent at most
:data:`LEAD_MS` ahead of the loudspeaker: enough to ride out a network, little to throw away at an interruption. What
was sent lately is kept: an item that was paused by mistake is sent again from the start of the interrupted word.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Final

import anyio
import numpy as np
from anyio import CancelScope
from anyio.abc import TaskGroup

from engines.codec.resampler import Resampler
from engines.host import EngineHost
from engines.speech_pipeline import Script
from engines.text.chunker import TextChunk, TextChunker
from engines.text.ssml import text_of
from schemas.audio import Samples, pcm16_from_float
from schemas.errors import ErrorCode, ErrorInfo, SpeechError
from schemas.events import (
    MAX_SAY_CHARS,
    PlaybackDuck,
    PlaybackFlush,
    PlaybackPause,
    PlaybackResume,
    PlaybackStalled,
    SayAudio,
    SayEnded,
    SayStarted,
    SayText,
    ServerEvent,
)
from schemas.sessions import Interruption, SpeechStatus
from schemas.speech import SpeechChunk, SpeechOptions, Voice, is_speakable
from session.clock import Clock
from session.playout import PlayoutLedger
from session.tape import Tape

LEAD_MS: Final = 3_000
PIECE_MS: Final = 100
"""Audio in one ``say.audio`` event."""
SHORTEST_WAIT_MS: Final = 10
"""Between two looks at whether the client has acknowledged the end."""
ECHO_MS: Final = 4_000
"""How old an echo may be: a client's buffer, and as much as is weighed at once."""
STALL_S: Final = 10.0
"""A client that acknowledges but does not get on for so long is taken to have stopped."""
MORE_TEXT_TIMEOUT_S: Final = 60.0
"""How long an item waits for the rest of its text."""
MAX_QUEUED_ITEMS: Final = 16
MAX_ITEM_CHARS: Final = 10 * MAX_SAY_CHARS


class _PlaybackStoppedError(Exception):
    """The client reported its last position, or none for long, before the end of the audio."""


class _Item:
    def __init__(
        self,
        item_id: str,
        voice: Voice,
        options: SpeechOptions,
        interruption: Interruption,
        ledger: PlayoutLedger,
        tape: Tape,
        *,
        more: bool,
    ) -> None:
        self.item_id = item_id
        self.voice = voice
        self.options = options
        self.interruption = interruption
        self.ledger = ledger
        self.tape = tape
        self.paused = False
        self.stalled = False
        self.resumed_place_ms: int | None = None
        """Audio from before this place is not stale, though its epoch may be."""
        self.position_ms = -1.0
        """Where the loudspeaker was when somebody last looked."""
        self.moved_us = 0
        """When it last moved."""
        self.chunker = TextChunker()
        self.chunks: list[TextChunk] = []
        self.more = more
        self.text_added = anyio.Event()
        self.scope = CancelScope()
        self.sent_all = False
        self.error: ErrorInfo | None = None
        self.final_position = anyio.Event()
        self.ended = anyio.Event()

    def add_text(self, text: str, *, more: bool) -> None:
        self.ledger.add_text(text)
        self.more = more
        if self.options.ssml:  # whole: a sentence of it would not be SSML
            self.chunks.append(TextChunk(text, 0))
        else:
            self.chunks.extend(self.chunker.push(text))
            if not more:
                self.chunks.extend(self.chunker.finish())
        self.text_added.set()
        self.text_added = anyio.Event()

    def words_of(self, text: str) -> str:
        """Part of the item's text as it belongs in a conversation: without SSML."""
        return text_of(text) if self.options.ssml else text


class Speaker:
    """The items of one session that are not over yet.

    Args:
        host: Synthesises.
        owner: For whom: the scheduler shares the engine out among owners.
        clock: Paces.
        output_rate_hz: Rate of the audio published.
        deadline_s: How long the engine may take for the next piece of speech.
        output_latency_ms: From the client's playback position to the ear.
        publish: Takes an event, and the PCM of a ``say.audio``.
        on_audible: Gets the id of an item whose first audio is sent.
        on_played: Gets the id of an item that was played to its end, or failed.
        on_final_position: Gets the id of a stopped item whose last position is known.
    """

    def __init__(
        self,
        host: EngineHost,
        owner: str,
        clock: Clock,
        output_rate_hz: int,
        deadline_s: float,
        *,
        output_latency_ms: int = 0,
        publish: Callable[[ServerEvent, bytes | None], None],
        on_audible: Callable[[str], None],
        on_played: Callable[[str], None],
        on_final_position: Callable[[str], None],
    ) -> None:
        self._host = host
        self._owner = owner
        self._clock = clock
        self._rate_hz = output_rate_hz
        self._output_latency_ms = output_latency_ms
        self._deadline_s = deadline_s
        self._publish = publish
        self._on_audible = on_audible
        self._on_played = on_played
        self._on_final_position = on_final_position
        self._items: dict[str, _Item] = {}
        self._created = 0
        self._epoch = 1

    # What clients ask for

    def create(
        self,
        text: str,
        voice: Voice,
        options: SpeechOptions,
        *,
        more: bool,
        interruption: Interruption = Interruption.INTERRUPTIBLE,
    ) -> str:
        """A new item; returns its id. It is spoken when the turn core says so.

        Raises:
            SpeechError: ``session_busy`` if too many wait already; ``invalid_request`` for SSML or a lexicon that is
                wrong, and for SSML with more to come.
        """
        if options.ssml and more:
            raise SpeechError(
                ErrorCode.INVALID_REQUEST, "SSML is spoken as a whole: send it without more.", param="ssml"
            )
        Script(text, voice.language, options)  # what is wrong is told now, not when its turn has come
        if len(self._items) >= MAX_QUEUED_ITEMS:
            raise SpeechError(
                ErrorCode.SESSION_BUSY,
                f"{MAX_QUEUED_ITEMS} items wait to be spoken already. Wait for some to end, or call stop_speaking.",
            )
        self._created += 1
        item = _Item(
            f"item_{self._created}",
            voice,
            options,
            interruption,
            PlayoutLedger(self._output_latency_ms),
            Tape(self._rate_hz),
            more=more,
        )
        # Also without text: the item's place in the history is here.
        self._publish(SayText(item_id=item.item_id, text=item.words_of(text)), None)
        self._items[item.item_id] = item
        item.add_text(text, more=more)
        return item.item_id

    def append(self, item_id: str, text: str, *, more: bool) -> None:
        """More text for an item made with ``more``.

        Raises:
            SpeechError: ``invalid_request`` if it is over or complete; ``text_too_long``.
        """
        item = self._items.get(item_id)
        if item is None or not item.more:
            state = "has its whole text already" if item else "is over (interrupted or completed) or never existed"
            raise SpeechError(
                ErrorCode.INVALID_REQUEST, f"{item_id[:64]!r} {state}; start a new item.", param="append_to"
            )
        if len(item.ledger.text) + len(text) > MAX_ITEM_CHARS:
            raise SpeechError(
                ErrorCode.TEXT_TOO_LONG, f"An item has at most {MAX_ITEM_CHARS} characters; start a new one."
            )
        if text:
            self._publish(SayText(item_id=item_id, text=text), None)
        item.add_text(text, more=more)

    def acknowledge(self, item_id: str, played_ms: int, *, final: bool) -> None:
        """The client's playback position. Late ones, for items that are over, are ignored."""
        item = self._items.get(item_id)
        if item is None:
            return
        item.ledger.acknowledge(played_ms, self._clock.now_us(), final=final)
        item.stalled = False
        if item.ledger.final:
            item.final_position.set()

    @property
    def epoch(self) -> int:
        """Audio of an older one must not be played any more."""
        return self._epoch

    def is_stale(self, audio: SayAudio) -> bool:
        """Whether a piece of audio must not be played any more."""
        item = self._items.get(audio.item_id)
        kept_ms = item.resumed_place_ms if item else None
        return audio.epoch < self._epoch and (kept_ms is None or audio.offset_ms >= kept_ms)

    def said_lately(self, item_id: str) -> str:
        """What the item says around the loudspeaker's position: an echo of it may still be on its way."""
        item = self._items.get(item_id)
        if item is None:
            return ""
        position_ms = item.ledger.position_ms(self._clock.now_us())
        return item.words_of(item.ledger.words_between(position_ms - ECHO_MS, position_ms + ECHO_MS / 4))

    @property
    def unfinished(self) -> tuple[str, ...]:
        """Ids of items that are not over, in order."""
        return tuple(self._items)

    async def wait_ended(self, item_id: str) -> None:
        """Wait until an item is over; at once if it is."""
        if item_id in self._items:
            await self._items[item_id].ended.wait()

    # What the turn core decides

    def start(self, tasks: TaskGroup, item_id: str) -> None:
        """Speak the item."""
        tasks.start_soon(self._speak, self._items[item_id])

    def bump_epoch(self) -> None:
        """Audio sent so far is stale."""
        self._epoch += 1

    def duck(self, item_id: str, gain_db: float) -> None:
        """Tell the client to play more quietly."""
        self._publish(PlaybackDuck(item_id=item_id, gain_db=gain_db), None)

    def unduck(self, item_id: str) -> None:
        """Tell the client to play on as before."""
        self._publish(PlaybackResume(item_id=item_id, epoch=self._epoch), None)

    def pause(self, item_id: str) -> None:
        """Tell the client to stand still, and send no more until :meth:`resume`."""
        item = self._items[item_id]
        item.paused = True
        item.ledger.freeze(self._clock.now_us())
        self._publish(PlaybackPause(item_id=item_id), None)

    def resume(self, item_id: str) -> None:
        """Go on at the start of the interrupted word; what the client has from there on is stale."""
        item = self._items[item_id]
        item.paused = False
        item.resumed_place_ms = item.ledger.resume(self._clock.now_us())
        item.tape.wind_back(item.resumed_place_ms)
        resumed = PlaybackResume(item_id=item_id, epoch=self._epoch, position_ms=item.resumed_place_ms)
        self._publish(resumed, None)
        self._send_ahead(item)

    def flush(self, item_id: str) -> None:
        """Tell the client to drop what it has buffered."""
        item = self._items[item_id]
        item.resumed_place_ms = None
        item.ledger.freeze(self._clock.now_us())
        self._publish(PlaybackFlush(item_id=item_id, epoch=self._epoch), None)

    def cancel(self, item_id: str) -> None:
        """Stop synthesis; the engine notices at its next step."""
        self._items[item_id].scope.cancel()

    def await_final_position(self, tasks: TaskGroup, item_id: str, timeout_ms: int) -> None:
        """Report when the client's last position is known, or the time is over."""
        tasks.start_soon(self._await_final_position, self._items[item_id], timeout_ms / 1000)

    def end(self, item_id: str, *, interrupted: bool) -> None:
        """The item is over: publish what was heard of it."""
        item = self._items.pop(item_id)
        now_us = self._clock.now_us()
        item.scope.cancel()
        heard = item.ledger.heard(now_us, complete=item.sent_all and not interrupted)
        if item.error is not None:
            status = SpeechStatus.FAILED
        elif interrupted or heard.remaining:
            status = SpeechStatus.INTERRUPTED
        else:
            status = SpeechStatus.COMPLETED
        self._publish(
            SayEnded(
                item_id=item_id,
                status=status,
                heard_text=item.words_of(heard.text),
                remaining_text=item.words_of(heard.remaining),
                heard_ms=heard.heard_ms,
                duration_ms=int(item.ledger.duration_ms),
                heard_source=heard.source,
                words=heard.words,
                error=item.error,
            ),
            None,
        )
        item.ended.set()

    # Tasks

    async def _await_final_position(self, item: _Item, timeout_s: float) -> None:
        async def time_out() -> None:
            await self._clock.sleep(timeout_s)
            item.final_position.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(time_out)
            await item.final_position.wait()
            tasks.cancel_scope.cancel()
        self._on_final_position(item.item_id)

    async def _speak(self, item: _Item) -> None:
        with item.scope:
            try:
                self._publish(
                    SayStarted(item_id=item.item_id, voice=item.voice.id, interruption=item.interruption), None
                )
                await self._send_speech(item)
                item.sent_all = True
                await self._play_out(item)
            except _PlaybackStoppedError:
                item.sent_all = False
            except SpeechError as error:
                item.error = error.info
            self._on_played(item.item_id)

    async def _send_speech(self, item: _Item) -> None:
        resampler = Resampler(item.voice.sample_rate_hz, self._rate_hz)
        synthesised_ms = 0.0
        async with aclosing(self._chunks(item)) as chunks:
            async for chunk in chunks:
                offset_ms = synthesised_ms
                deadline_s = anyio.current_time() + self._deadline_s
                async with self._host.synthesize(
                    chunk.text, voice=item.voice.id, options=item.options, owner=self._owner, deadline_s=deadline_s
                ) as speech:
                    while (piece := await self._next_piece(speech)) is not None:
                        item.ledger.add_words(piece.words, text_offset=chunk.start, audio_offset_ms=offset_ms)
                        synthesised_ms += 1000 * len(piece.samples) / piece.sample_rate_hz
                        await self._send(item, resampler.push(piece.samples))
        await self._send(item, resampler.flush())

    async def _next_piece(self, speech: AsyncIterator[SpeechChunk]) -> SpeechChunk | None:
        with anyio.move_on_after(self._deadline_s):
            return await anext(speech, None)
        raise SpeechError(ErrorCode.DEADLINE_EXCEEDED, f"No speech was made for {self._deadline_s:g} s; say it again.")

    async def _chunks(self, item: _Item) -> AsyncGenerator[TextChunk, None]:
        """The item's pieces of text as they come in; those without a letter or digit have no sound."""
        while True:
            while item.chunks:
                chunk = item.chunks.pop(0)
                if is_speakable(chunk.text):
                    yield chunk
            if not item.more:
                return
            with anyio.move_on_after(MORE_TEXT_TIMEOUT_S) as waiting:
                await item.text_added.wait()
            if waiting.cancelled_caught:
                item.add_text("", more=False)

    async def _send(self, item: _Item, samples: Samples) -> None:
        """Send audio as fast as the loudspeaker allows."""
        item.tape.append(samples)
        while True:
            self._send_ahead(item)
            if not item.tape.has_more:
                return
            await self._wait_for_playback(item, item.ledger.left_ms(self._clock.now_us()) - LEAD_MS)

    async def _play_out(self, item: _Item) -> None:
        """Wait until all was played; what is wound back meanwhile is sent again."""
        await self._send(item, np.zeros(0, np.float32))
        while not item.ledger.is_played(self._clock.now_us()):
            await self._wait_for_playback(item, item.ledger.left_ms(self._clock.now_us()))
            await self._send(item, np.zeros(0, np.float32))

    def _send_ahead(self, item: _Item) -> None:
        """Send what may be sent now."""
        piece_samples = self._rate_hz * PIECE_MS // 1000
        # A task that is cancelled runs on to its next wait: what it has by then is stale.
        while item.tape.has_more and not item.paused and not item.scope.cancel_called:
            now_us = self._clock.now_us()
            if item.ledger.left_ms(now_us) > LEAD_MS:
                return
            offset_ms = item.tape.place_ms
            piece = item.tape.take(piece_samples)
            duration_ms = 1000 * len(piece) / self._rate_hz
            is_first = not item.ledger.duration_ms
            item.ledger.add_audio(duration_ms, now_us)
            item.tape.trim(item.ledger.position_ms(now_us))
            event = SayAudio(
                item_id=item.item_id, epoch=self._epoch, offset_ms=offset_ms, duration_ms=round(duration_ms)
            )
            self._publish(event, pcm16_from_float(piece))
            if is_first:
                self._on_audible(item.item_id)

    async def _wait_for_playback(self, item: _Item, ahead_ms: float) -> None:
        """Wait a little for the loudspeaker, which is so far behind.

        Raises:
            _PlaybackStoppedError: It will not come.
        """
        now_us = self._clock.now_us()
        if item.paused:
            item.moved_us = now_us
        elif (position_ms := item.ledger.position_ms(now_us)) != item.position_ms:
            item.position_ms, item.moved_us = position_ms, now_us
        elif item.ledger.final or (now_us - item.moved_us) / 1e6 >= STALL_S:
            raise _PlaybackStoppedError
        if item.ledger.is_stalled(now_us) and not item.stalled:
            item.stalled = True
            played_ms = item.ledger.acknowledged_ms or 0
            self._publish(PlaybackStalled(item_id=item.item_id, played_ms=played_ms), None)
        wait_ms = PIECE_MS if item.paused else min(max(ahead_ms, SHORTEST_WAIT_MS), PIECE_MS)
        await self._clock.sleep(wait_ms / 1000)
