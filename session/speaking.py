"""The agent's voice: items of text, spoken in order, paced by playback, stopped at once.

An item is what one ``say`` speaks. Its text may still be growing while it is spoken. Audio is sent at most
:data:`LEAD_MS` ahead of the loudspeaker: enough to ride out a network, little to throw away at an interruption.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Final

import anyio
from anyio import CancelScope
from anyio.abc import TaskGroup

from engines.codec.resampler import Resampler
from engines.host import EngineHost
from engines.speech_pipeline import Script
from engines.text.chunker import TextChunk, TextChunker
from engines.text.ssml import text_of
from schemas.audio import Samples, pcm16_from_float
from schemas.errors import ErrorCode, ErrorInfo, SpeechError
from schemas.events import MAX_SAY_CHARS, PlaybackFlush, SayAudio, SayEnded, SayStarted, SayText, ServerEvent
from schemas.sessions import SpeechStatus
from schemas.speech import SpeechChunk, SpeechOptions, Voice, is_speakable
from session.clock import Clock
from session.playout import PlayoutLedger

LEAD_MS: Final = 3_000
PIECE_MS: Final = 100
"""Audio in one ``say.audio`` event."""
STALL_S: Final = 10.0
"""A client that acknowledges but does not get on for so long is taken to have stopped."""
MORE_TEXT_TIMEOUT_S: Final = 60.0
"""How long an item waits for the rest of its text."""
MAX_QUEUED_ITEMS: Final = 16
MAX_ITEM_CHARS: Final = 10 * MAX_SAY_CHARS


class _PlaybackStoppedError(Exception):
    """The client reported its last position, or none for long, before the end of the audio."""


class _Item:
    def __init__(self, item_id: str, voice: Voice, options: SpeechOptions, *, more: bool) -> None:
        self.item_id = item_id
        self.voice = voice
        self.options = options
        self.ledger = PlayoutLedger()
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
        publish: Takes an event, and the PCM of a ``say.audio``.
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
        publish: Callable[[ServerEvent, bytes | None], None],
        on_played: Callable[[str], None],
        on_final_position: Callable[[str], None],
    ) -> None:
        self._host = host
        self._owner = owner
        self._clock = clock
        self._rate_hz = output_rate_hz
        self._deadline_s = deadline_s
        self._publish = publish
        self._on_played = on_played
        self._on_final_position = on_final_position
        self._items: dict[str, _Item] = {}
        self._created = 0
        self._epoch = 1

    # What clients ask for

    def create(self, text: str, voice: Voice, options: SpeechOptions, *, more: bool) -> str:
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
        item = _Item(f"item_{self._created}", voice, options, more=more)
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
        if item.ledger.final:
            item.final_position.set()

    @property
    def epoch(self) -> int:
        """Audio of an older one must not be played any more."""
        return self._epoch

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

    def flush(self, item_id: str) -> None:
        """Tell the client to drop what it has buffered."""
        self._items[item_id].ledger.freeze(self._clock.now_us())
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
                duration_ms=int(item.ledger.sent_ms),
                heard_source=heard.source,
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
                self._publish(SayStarted(item_id=item.item_id, voice=item.voice.id), None)
                await self._send_speech(item)
                item.sent_all = True
                await self._played_until(item, 0)
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
        piece_samples = self._rate_hz * PIECE_MS // 1000
        for start in range(0, len(samples), piece_samples):
            await self._played_until(item, LEAD_MS)
            if item.scope.cancel_called:
                return  # a task that is cancelled runs on to its next wait: what it has by then is stale
            piece = samples[start : start + piece_samples]
            offset_ms = int(item.ledger.sent_ms)
            duration_ms = 1000 * len(piece) / self._rate_hz
            item.ledger.add_audio(duration_ms, self._clock.now_us())
            event = SayAudio(
                item_id=item.item_id, epoch=self._epoch, offset_ms=offset_ms, duration_ms=round(duration_ms)
            )
            self._publish(event, pcm16_from_float(piece))

    async def _played_until(self, item: _Item, left_ms: float) -> None:
        """Wait until no more than ``left_ms`` of what was sent is unplayed."""
        position_ms, moved_us = -1.0, self._clock.now_us()
        while (too_much_ms := item.ledger.left_ms(now_us := self._clock.now_us()) - left_ms) > 0:
            if (new_position_ms := item.ledger.position_ms(now_us)) > position_ms:
                position_ms, moved_us = new_position_ms, now_us
            elif item.ledger.final or (now_us - moved_us) / 1e6 >= STALL_S:
                raise _PlaybackStoppedError
            await self._clock.sleep(min(too_much_ms, PIECE_MS) / 1000)
