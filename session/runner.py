"""One live session: the turn core, connected to the engines, the log and the client.

Everything that changes the session runs on the event loop, in :meth:`Session._dispatch`: an event goes through the
core, its actions are carried out in order, none of them waits. What takes time (recognition, synthesis, playback) is
a task of the session's group and comes back as an event. So there are no locks, and closing the session ends it all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

import anyio
import numpy as np
import structlog
from anyio.abc import TaskGroup, TaskStatus

from engines.caller import Allowance, Caller
from engines.host import EngineHost
from schemas.audio import Samples
from schemas.errors import ErrorCode, SpeechError
from schemas.events import (
    MAX_SAY_CHARS,
    Commit,
    InputCommand,
    SayAudio,
    ServerEvent,
    SessionClosed,
    SessionOpened,
    TurnResumed,
)
from schemas.principal import Principal
from schemas.sessions import (
    AgentTurn,
    Interruption,
    SessionInfo,
    SessionSettings,
    SessionState,
    UserTurn,
)
from schemas.speech import SpeechOptions, is_speakable
from session.agent_turns import AgentTurns
from session.audio_buffer import AudioBuffer, needed_from
from session.audio_input import AudioInput
from session.clock import Clock
from session.decision_recorder import DecisionRecorder
from session.echo_reference import EchoReference
from session.heard_turns import HeardTurns
from session.history import History
from session.hypothesis import LocalAgreement
from session.latency import LatencyLedger, TurnMoments
from session.limits import SessionLimits
from session.log import EventLog
from session.overlap_recognition import OverlapRecognizer
from session.recognition import RecognitionCounts, TurnRecognizer
from session.speaking import Speaker
from session.timers import Timers
from session.turn import step
from session.turn_actions import PartialAsr, SetTimer, Timer, TurnAction, UserAction
from session.turn_events import (
    EndOfTurnScore,
    FinalPosition,
    InputStalled,
    ItemAudible,
    ItemPlayed,
    SayRequested,
    StopRequested,
    TimerExpired,
    TurnEvent,
    VadFrame,
)
from session.turn_state import TurnState, UserState, has_floor, ms_of_samples
from session.user_side import can_commit
from session.user_turns import UserTurns, core_event
from session.voice_activity import VoiceActivity

logger = structlog.get_logger("antiphon.session")

MAX_CHUNK_BYTES: Final = 32 * 1024
"""One second at 16 kHz: audio is taken a piece at a time, so that a long recording waits for the models."""
BEHIND_S: Final = 0.5
"""So much audio waits to be heard only when it comes faster than it is spoken: from a file, or after an outage."""

CloseReason = Literal["client", "idle", "shutdown", "failed"]


class Session:
    """A conversation. Made and run by :class:`session.manager.SessionManager`."""

    def __init__(
        self,
        session_id: str,
        created_at: str,
        settings: SessionSettings,
        *,
        owner: Principal,
        allowance: Allowance,
        host: EngineHost,
        voice_activity: VoiceActivity,
        log: EventLog,
        clock: Clock,
        limits: SessionLimits,
        counts: RecognitionCounts,
        decisions: DecisionRecorder,
        on_answered: Callable[[TurnMoments], None],
    ) -> None:
        self.session_id = session_id
        self.settings = settings
        self.owner = owner
        self._allowance = allowance
        self.log = log
        self._last_activity_us = clock.now_us()
        self._listeners = 0
        self._created_at = created_at
        self._host = host.on_behalf_of(Caller(tenant=owner.tenant, allowance=allowance))
        self._clock = clock
        self._decisions = decisions
        self._latency = LatencyLedger(self._publish, on_answered)
        self._state = TurnState()
        self._history = History()
        self._heard_turns = HeardTurns(self._history)
        self._audio = AudioBuffer()
        self._echo = EchoReference(settings.output_rate_hz, is_on=settings.turn.echo_threshold < 1.0)
        turn = settings.turn
        self._is_weighed = turn.is_weighed
        self._input = AudioInput(
            settings.input_rate_hz,
            voice_activity,
            limits.input_stall_s,
            is_weighed=self._is_weighed,
            hear=self._hear,
            is_held=self._waits_for_models,
            is_in_turn=lambda: (
                self._state.overlap is not None or self._state.user in {UserState.USER, UserState.PAUSED}
            ),
            on_stall=lambda: self._dispatch(InputStalled()),
            on_failure=self._fail,
        )
        self._counts = counts
        self._asr_deadline_s = limits.asr_deadline_s
        self._timers = Timers(clock, lambda timer, generation: self._dispatch(TimerExpired(timer, generation)))
        listening = host.on_behalf_of(Caller(tenant=owner.tenant))  # the user's audio is paid for when it comes in
        self._recognizer = TurnRecognizer(
            listening,
            session_id,
            settings,
            self._audio,
            limits.asr_deadline_s,
            counts,
            may_wait=self._will_know_soon,
            on_partial=self._on_partial,
            on_final=self._on_final,
            on_score=lambda generation, probability: self._dispatch(EndOfTurnScore(generation, probability)),
        )
        self._user_turns = UserTurns(session_id, self._recognizer, self._heard_turns, self._publish)
        self._speaker = Speaker(
            self._host,
            session_id,
            clock,
            settings.output_rate_hz,
            limits.tts_deadline_s,
            output_latency_ms=settings.output_latency_ms,
            publish=self._publish,
            on_audible=lambda item_id: self._dispatch(ItemAudible(item_id)),
            on_played=lambda item_id: self._dispatch(ItemPlayed(item_id)),
            on_final_position=lambda item_id: self._dispatch(FinalPosition(item_id)),
        )
        overlaps = OverlapRecognizer(
            listening,
            session_id,
            settings,
            self._audio,
            limits.asr_deadline_s,
            language=lambda: self._recognizer.final.language,
            is_own=lambda text: self._echo.is_own(text, self._speaker.said_lately(self._state.item_id or "")),
            on_heard=self._dispatch,
        )
        self._agent_turns = AgentTurns(self._speaker, overlaps, self._publish)
        self._tasks: TaskGroup
        self._close_reason: CloseReason | None = None
        self._closing = anyio.Event()
        self.ended = anyio.Event()
        """Set by the manager when the history is complete and the session forgotten."""

    # What clients ask for

    @property
    def info(self) -> SessionInfo:
        """The session as seen from outside."""
        return SessionInfo(
            session_id=self.session_id,
            # While it is being closed, its last events are still to come: who resumes now must not be told otherwise.
            state=SessionState.CLOSED if self.log.is_complete else SessionState.OPEN,
            created_at=self._created_at,
            settings=self.settings,
            last_seq=self.log.last_seq,
            received_ms=ms_of_samples(self._state.now_samples),
        )

    @property
    def history(self) -> History:
        """What was said and heard so far."""
        return self._history

    def is_stale(self, audio: SayAudio) -> bool:
        """Whether a piece of audio must not be played any more: whoever has some queued drops it."""
        return self._speaker.is_stale(audio)

    def is_idle_since(self, moment_us: int) -> bool:
        """Whether nobody has sent audio or called since then, the agent is silent and nobody listens."""
        return self._last_activity_us < moment_us and not self._speaker.unfinished and not self._listeners

    async def feed(self, pcm16: bytes) -> None:
        """Take the user's audio: 16-bit little-endian mono PCM at ``settings.input_rate_hz``, in chunks of any size.

        Waits while the models are seconds behind, so that the client's transport slows down.

        Raises:
            SpeechError: ``invalid_audio`` for half a sample; ``quota_exceeded``; ``session_closed``.
        """
        self._touch()
        if len(pcm16) % 2:
            raise SpeechError(
                ErrorCode.INVALID_AUDIO,
                f"A chunk of 16-bit PCM has an even number of bytes; this one has {len(pcm16)}.",
                param="audio",
            )
        self._allowance.take(len(pcm16) / 2 / self.settings.input_rate_hz)
        for start in range(0, len(pcm16), MAX_CHUNK_BYTES):
            if not await self._input.feed(pcm16[start : start + MAX_CHUNK_BYTES]):
                raise self._closed_error()
            # A whole file may take longer than an idle session is kept.
            self._last_activity_us = self._clock.now_us()

    async def command(self, command: InputCommand) -> None:
        """What the client says about its input, as of the audio fed so far; waits until that was heard.

        Raises:
            SpeechError: ``nothing_to_commit``; ``session_closed``.
        """
        self._touch()
        refused: list[SpeechError] = []

        def obey() -> None:
            if isinstance(command, Commit) and not can_commit(self._state, self.settings.turn):
                refused.append(
                    SpeechError(
                        ErrorCode.NOTHING_TO_COMMIT,
                        "There is nothing to commit: the user has said nothing since the last turn.",
                    )
                )
            else:
                self._dispatch(core_event(command))

        if not await self._input.after_heard(obey, fill=isinstance(command, Commit)):
            raise self._closed_error()
        if refused:
            raise refused[0]

    async def say(
        self,
        text: str,
        *,
        voice: str | None = None,
        append_to: str | None = None,
        more: bool = False,
        interruption: Interruption = Interruption.INTERRUPTIBLE,
        options: SpeechOptions | None = None,
    ) -> str:
        """Speak, once nobody has the floor; returns the item's id at once.

        Raises:
            SpeechError: ``empty_text``, ``text_too_long``, ``unknown_voice``, ``session_busy``, ``session_closed``,
                or ``invalid_request`` for an item that takes no more text, and for SSML or a lexicon that is wrong.
        """
        self._touch()
        if len(text) > MAX_SAY_CHARS:
            raise SpeechError(
                ErrorCode.TEXT_TOO_LONG,
                f"say takes at most {MAX_SAY_CHARS} characters at a time; this text has {len(text)}. Split it with "
                "more=true and append_to.",
                param="text",
            )
        if append_to is not None:
            self._speaker.append(append_to, text, more=more)
            return append_to
        if not more and not is_speakable(text):
            raise SpeechError(ErrorCode.EMPTY_TEXT, "There is nothing to speak in this text.", param="text")
        options = (options or SpeechOptions()).on_top_of(
            speed=self.settings.speed, gain_db=self.settings.gain_db, lexicon=self.settings.lexicon
        )
        spoken_by = self._host.voice(voice or self.settings.voice)
        item_id = self._speaker.create(text, spoken_by, options, more=more, interruption=interruption)
        self._dispatch(SayRequested(item_id, interruption))
        return item_id

    async def wait_spoken(self, item_id: str) -> AgentTurn:
        """Wait until an item is over, and return what was heard of it.

        Raises:
            SpeechError: ``invalid_request`` for an unknown item; ``session_closed`` if the session ends first.
        """
        await self._speaker.wait_ended(item_id)
        await self.log.written()
        turn = self._history.agent_turn(item_id)
        if turn is None:
            raise SpeechError(ErrorCode.INVALID_REQUEST, f"This session has no item {item_id[:64]!r}.", param="item_id")
        return turn

    async def listen(
        self, timeout_s: float, after_turn: int | None = None, *, while_speaking: bool = False, eager: bool = False
    ) -> UserTurn | None:
        """The user's next complete turn that has words (or an error in their place), or ``None`` after ``timeout_s``.

        Args:
            timeout_s: How long to wait at most.
            after_turn: Wait for the first turn after this number; ``None`` for the next one not yet returned.
            while_speaking: Do not wait unless the user is speaking, or once they turn out to have said nothing.
            eager: A turn that is probably over will do; it is not ``confirmed``. The next call returns it when it is.

        Raises:
            SpeechError: ``session_closed`` if the session ends first.
        """
        self._touch()
        self._listeners += 1
        try:
            with anyio.move_on_after(timeout_s):
                return await self._next_turn(after_turn, while_speaking=while_speaking, eager=eager)
        finally:
            self._listeners -= 1
            self._last_activity_us = self._clock.now_us()
        return None

    async def _next_turn(self, after_turn: int | None, *, while_speaking: bool, eager: bool) -> UserTurn | None:
        while (turn := self._heard_turns.take(after_turn, is_eager=eager)) is None:
            if self._close_reason is not None:
                raise self._closed_error()
            if while_speaking and not has_floor(self._state):
                return None
            await self._heard_turns.wait()
        with anyio.CancelScope(shield=True):  # a turn that is handed out must arrive
            await self.log.written()
        return turn

    async def stop_speaking(self) -> tuple[AgentTurn, ...]:
        """Silence the agent and drop what is queued; returns what was heard of each item."""
        return tuple([await self.wait_spoken(item_id) for item_id in self.silence()])

    def silence(self) -> tuple[str, ...]:
        """The same, without waiting for the client's last playback position; returns the items' ids."""
        self._touch()
        item_ids = self._speaker.unfinished
        self._dispatch(StopRequested())
        return item_ids

    def stop_item(self, item_id: str) -> None:
        """Stop one item, or drop it if it waits; others go on. Nothing happens if it is over."""
        if self._close_reason is None:
            self._dispatch(StopRequested(item_id))

    def agent_audio(self, item_id: str, start_ms: int = 0, end_ms: int | None = None) -> bytes:
        """What the agent said of an item by now, or a part of it: 16-bit mono PCM at ``settings.output_rate_hz``.

        Raises:
            SpeechError: ``not_found`` for an item the session does not have; ``audio_expired`` if it is no longer kept.
        """
        if self._history.agent_turn(item_id) is None:
            raise SpeechError(ErrorCode.NOT_FOUND, f"This session has no item {item_id[:64]!r}.", param="item_id")
        return self.log.audio.of_item(item_id, self.settings.output_rate_hz, start_ms, end_ms)

    async def playback(self, item_id: str, played_ms: int, *, final: bool = False) -> None:
        """The client's playback position of an item; ``final`` if it will not change any more."""
        self._touch()
        self._speaker.acknowledge(item_id, played_ms, final=final)
        self._latency.acked(item_id, played_ms, self._clock.now_us())

    async def close(self, reason: CloseReason) -> None:
        """End the session and wait until its history is complete."""
        self._close_reason = self._close_reason or reason
        self._closing.set()
        await self.ended.wait()

    def _touch(self) -> None:
        if self._close_reason is not None:
            raise self._closed_error()
        self._last_activity_us = self._clock.now_us()

    def _closed_error(self) -> SpeechError:
        return SpeechError(
            ErrorCode.SESSION_CLOSED,
            "This session is closed; its history can still be read with get_conversation. Open a new one to go on.",
            param="session_id",
        )

    # Life

    async def run(self, *, task_status: TaskStatus[None]) -> None:
        """Run until :meth:`close`, or until a part of the session fails; then the log ends with why."""
        self._publish(SessionOpened(session_id=self.session_id, settings=self.settings))
        async with anyio.create_task_group() as writing:
            writing.start_soon(self._write_log)
            writing.start_soon(self._decisions.run)
            try:
                async with anyio.create_task_group() as self._tasks:
                    self._tasks.start_soon(self._input.run)
                    task_status.started()
                    await self._closing.wait()
                    self._tasks.cancel_scope.cancel()
            except Exception as error:  # noqa: BLE001  the boundary of a session
                self._fail(error)
            finally:
                self._close_reason = self._close_reason or "shutdown"
                self._input.close()
                self._audio.trim(self._audio.end)  # cycles keep a session until the garbage collector comes
                for item_id in self._speaker.unfinished:
                    self._speaker.end(item_id, interrupted=True)
                if self._state.eager is not None:  # nothing will confirm it
                    self._publish(TurnResumed(turn=self._state.turn))
                self._latency.close()
                self._publish(SessionClosed(reason=self._close_reason))
                self._decisions.close()
                self._heard_turns.changed()

    async def _write_log(self) -> None:
        try:
            with anyio.CancelScope(shield=True):
                await self.log.write()
        except Exception:
            logger.exception("session_log_failed", session_id=self.session_id)
            self.log.abandon()
            self._close_reason = "failed"
            self._closing.set()

    def _hear(self, frame: Samples, probability: float) -> None:
        heard = np.zeros_like(frame) if self._state.is_muted else frame
        explained = self._echo.explained(heard)
        self._audio.append(heard, before=self._echo.without_echo)
        self._dispatch(VadFrame(probability, explained))
        self._audio.trim(needed_from(self._state, self.settings.turn))

    def _waits_for_models(self) -> bool:
        """Who speaks on while their words are recognised takes the turn back: not who was recorded an hour ago.

        Their pauses, too, are weighed as if they were live, if anything but their length decides.
        """
        is_asked = self._recognizer.is_scoring or self._recognizer.is_finalizing
        is_weighed = self._state.user is UserState.PAUSED and is_asked
        return (is_weighed or self._state.user is UserState.COMMIT) and self._input.unheard_s > BEHIND_S

    def _will_know_soon(self) -> bool:
        """Whether the audio at hand tells at once if a silence was the end, and nothing else is to be known of it."""
        return not self._is_weighed and self._input.unheard_s > BEHIND_S and self._state.user is not UserState.COMMIT

    def _fail(self, error: Exception) -> None:
        logger.error("session_failed", session_id=self.session_id, exc_info=error)
        self._close_reason = self._close_reason or "failed"
        self._closing.set()

    # Events through the core, actions out

    def _dispatch(self, event: TurnEvent) -> None:
        before, now_us = self._state, self._clock.now_us()
        self._state, actions = step(before, event, self.settings.turn)
        self._decisions.record(before, event, actions, now_us)
        self._latency.stepped(before, self._state, now_us)
        for action in actions:
            self._perform(action)
        self._recognizer.go_on(self._tasks)
        if not isinstance(event, VadFrame):
            self._input.go_on()

    def _perform(self, action: TurnAction) -> None:
        if isinstance(action, SetTimer):
            least_s = self._final_within_s if action.timer is Timer.COMMIT else 0.0
            self._timers.set(self._tasks, action.timer, max(action.after_ms / 1000, least_s), action.generation)
        elif isinstance(action, UserAction):
            self._user_turns.perform(self._tasks, action)
        else:
            self._agent_turns.perform(self._tasks, action)

    @property
    def _final_within_s(self) -> float:
        """How long a final transcript is waited for: while it holds up a recording, nobody waits for another text."""
        return self._asr_deadline_s if self._input.unheard_s > BEHIND_S else self._counts.usual_final_s

    def _on_final(self, generation: int) -> None:
        self._dispatch(self._user_turns.final_of(generation))

    def _on_partial(self, action: PartialAsr, words: LocalAgreement, language: str) -> None:
        if self._state.user is UserState.USER and action.turn == self._state.turn:
            self._user_turns.publish_partial(action, words)
        self._dispatch(self._user_turns.partial_of(action, words, language))

    def _publish(self, event: ServerEvent, pcm: bytes | None = None) -> None:
        event = self._latency.published(event, self._clock.now_us())
        self._history.add(event)
        self._echo.follow(event, pcm)
        self.log.publish(event, ms_of_samples(self._state.now_samples), pcm)
