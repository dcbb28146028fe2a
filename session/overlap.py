"""Speech of the user while the agent speaks: an interruption, or listening aloud?

Nobody can tell at once, so the agent gives way by degrees: it is ducked at the onset, paused when the voice lasts, and
stopped when it is an interruption. If it is none, the agent goes on, and nothing that it said is lost. Being quiet
already, it can wait for the words:

- "stop", "wait", "no", "what?": an interruption at once, however short; what sounds like one, too, when all is heard;
- words with content, clearly heard: an interruption;
- listening aloud ("mhm", "yeah, right"), no words, or words so unclear that they are a guess: none, once it is over;
- a voice that lasts for ``yield_ms`` without turning out to be one of these: an interruption.

Words that come too late for a verdict still stop the agent, if they are an interruption: the recogniser was busy.

A recogniser hears words in everything. What "uh-huh" and "hmm" become ("oh, hi", "come here") it is not sure of, and
that tells them from short questions (docs/adr/0023).
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from schemas.audio import VAD_FRAME_SAMPLES
from schemas.sessions import Interruption, TurnSettings
from session.agent_side import yield_floor
from session.turn_actions import (
    BumpEpoch,
    DuckItem,
    HearOverlap,
    NotifyBackchannel,
    PauseItem,
    ResumeItem,
    TurnAction,
    UnduckItem,
)
from session.turn_events import OverlapHeard, VadFrame
from session.turn_state import AgentState, Overlap, Step, TurnState, UserState, samples_of_ms

CLEAR: Final = 0.75
"""Mean probability of the words from which they count as heard. Of 65 backchannels rendered by five voices one passes,
of 75 interruptions all that are no stop-word; at 0.5, fourteen backchannels do."""
UNHEARD_VOICED_MS: Final = 600
"""Voice that interrupts if nobody could say what it said."""
FIRST_WORDS_MS: Final = 224
"""Voice that holds a word. Less is not worth the recogniser's time."""
WORDS_EVERY_MS: Final = 160
"""New audio between two looks at the words while the user speaks."""
PAUSE_MS: Final = 64
"""Silence after which all the words are asked for."""
OVER_MS: Final = 192
"""Silence after which the voice is over: gaps within a sentence are shorter."""
SETTLING_MS: Final = 3_000
"""How long the agent has been heard before its echo is known."""


def overlaps(state: TurnState) -> bool:
    """Whether a voice heard now is one over the agent's."""
    if state.overlap is not None:
        return state.agent is not AgentState.SILENT
    return (
        state.agent is AgentState.SPEAKING
        and state.is_audible
        and state.interruption is not Interruption.UNINTERRUPTIBLE
        and state.user in {UserState.IDLE, UserState.PENDING}
    )


def overlap_frame(state: TurnState, frame: VadFrame, settings: TurnSettings) -> Step:
    """The next frame of the user's audio while the agent can be heard."""
    is_voiced = _is_voiced(state, frame, settings)
    overlap = state.overlap
    if overlap is None:
        voiced_samples = state.voiced_samples + VAD_FRAME_SAMPLES if is_voiced else 0
        state = replace(state, voiced_samples=voiced_samples)
        return _duck(state, frame, settings) if voiced_samples >= samples_of_ms(settings.onset_ms) else (state, ())
    if overlap.may_be_echo and frame.echo is not None:
        if is_echo(frame, settings) and frame.probability >= settings.vad_off:
            return drop_overlap(state)
        overlap = replace(overlap, may_be_echo=False)
        state = replace(state, overlap=overlap)
    if is_voiced:
        voiced_samples = overlap.voiced_samples + VAD_FRAME_SAMPLES
        overlap = replace(overlap, voiced_samples=voiced_samples, last_voiced_samples=state.now_samples)
        state = replace(state, overlap=overlap)
    if state.agent is AgentState.YIELD:
        return state, ()
    state, paused = _pause(state, settings)
    state, asked = _ask(state, settings)
    state, judged = _judge(state, settings)
    return state, (*paused, *asked, *judged)


def overlap_heard(state: TurnState, event: OverlapHeard, settings: TurnSettings) -> Step:
    """The words so far; or of an overlap that was judged without them."""
    overlap = state.overlap or state.unheard
    if overlap is None or event.start_samples != overlap.start_samples or event.end_samples < overlap.heard_samples:
        return state, ()
    is_clear = event.confidence >= CLEAR
    overlap = replace(
        overlap,
        heard_samples=event.end_samples,
        text=event.text,
        is_stop=event.cues.stop,
        is_like_stop=event.is_like_stop and not is_clear,
        is_backchannel=not event.text or event.cues.backchannel,
        content_words=event.cues.content_words if is_clear else 0,
    )
    if state.overlap is not None:
        return _judge(replace(state, overlap=overlap), settings)
    is_over = overlap.heard_samples > overlap.last_voiced_samples
    if state.agent is AgentState.SPEAKING and _is_interruption(overlap, is_over=is_over):
        return take_floor(replace(state, overlap=overlap, unheard=None), settings)
    return replace(state, unheard=None if is_over else overlap), ()


def overlap_stalled(state: TurnState, settings: TurnSettings) -> Step:
    """No audio arrives any more: what there is must do for a verdict."""
    overlap = state.overlap
    if overlap is None or state.agent not in {AgentState.DUCKED, AgentState.HELD}:
        return state, ()
    return take_floor(state, settings) if _is_interruption(overlap, is_over=True) else go_on(state)


def take_floor(state: TurnState, settings: TurnSettings) -> Step:
    """It is an interruption. What must be said to its end waits for that of the user's turn."""
    if state.interruption is not Interruption.HOLD or state.overlap is None:
        return yield_floor(state, settings)
    paused = (PauseItem(_item_id(state)),) if state.agent is not AgentState.HELD else ()
    return replace(state, agent=AgentState.HELD, overlap=replace(state.overlap, is_turn=True)), paused


def go_on(state: TurnState) -> Step:
    """It is none, or over: the agent speaks on."""
    overlap, item_id = state.overlap, _item_id(state)
    resumed: tuple[TurnAction, ...] = (UnduckItem(item_id),)
    if state.agent is AgentState.HELD:
        resumed = (BumpEpoch(), ResumeItem(item_id))
    state = replace(state, agent=AgentState.SPEAKING, overlap=None, voiced_samples=0)
    if overlap is None:
        return state, resumed
    if overlap.heard_samples <= overlap.last_voiced_samples:
        state = replace(state, unheard=overlap)
    return state, (*resumed, NotifyBackchannel(overlap.start_samples, overlap.last_voiced_samples, overlap.text))


def drop_overlap(state: TurnState) -> Step:
    """It does not count: the client says so, or it was the agent's own voice."""
    state = replace(state, overlap=None)
    return go_on(state) if state.agent in {AgentState.DUCKED, AgentState.HELD} else (state, ())


def is_echo(frame: VadFrame, settings: TurnSettings) -> bool:
    """Whether a frame is the agent's own voice, come back."""
    return frame.echo is not None and frame.echo >= settings.echo_threshold


def _is_voiced(state: TurnState, frame: VadFrame, settings: TurnSettings) -> bool:
    """Whether a frame is the user's voice: neither the agent's echo, nor below the threshold that goes with it."""
    if is_echo(frame, settings):
        return False
    overlap = state.overlap
    last = state.now_samples - VAD_FRAME_SAMPLES
    if state.voiced_samples if overlap is None else overlap.last_voiced_samples == last:
        return frame.probability >= min(settings.vad_on, settings.vad_off)
    on = settings.vad_on
    if state.agent is not AgentState.HELD:
        on = max(on, settings.vad_on_speaking)
        if state.now_samples - state.audible_samples < samples_of_ms(SETTLING_MS):
            on = max(on, settings.vad_on_first)
    return frame.probability >= on


def _duck(state: TurnState, frame: VadFrame, settings: TurnSettings) -> Step:
    overlap = Overlap(
        start_samples=state.now_samples - state.voiced_samples,
        voiced_samples=state.voiced_samples,
        last_voiced_samples=state.now_samples,
        may_be_echo=frame.echo is None,
    )
    state = replace(state, agent=AgentState.DUCKED, overlap=overlap, unheard=None, voiced_samples=0)
    return state, (DuckItem(_item_id(state), settings.duck_db),)


def _pause(state: TurnState, settings: TurnSettings) -> Step:
    overlap = state.overlap
    if overlap is None or state.agent is not AgentState.DUCKED:
        return state, ()
    if overlap.voiced_samples < samples_of_ms(settings.hold_ms):
        return state, ()
    return replace(state, agent=AgentState.HELD, held_samples=state.now_samples), (PauseItem(_item_id(state)),)


def _ask(state: TurnState, settings: TurnSettings) -> Step:
    """Ask for the words: now and then while the user speaks, and for all of them at the first silence."""
    overlap = state.overlap
    if overlap is None:
        return state, ()
    is_over = state.now_samples - overlap.last_voiced_samples >= samples_of_ms(PAUSE_MS)
    if is_over:
        is_due = overlap.asked_samples < overlap.last_voiced_samples + samples_of_ms(PAUSE_MS)
    else:
        has_words = overlap.voiced_samples >= samples_of_ms(FIRST_WORDS_MS)
        is_due = has_words and state.now_samples - overlap.asked_samples >= samples_of_ms(WORDS_EVERY_MS)
    if not is_due:
        return state, ()
    start_samples = overlap.start_samples - samples_of_ms(settings.pre_roll_ms)
    ask = HearOverlap(
        overlap.start_samples, max(0, state.boundary_samples, start_samples), state.now_samples, is_complete=is_over
    )
    return replace(state, overlap=replace(overlap, asked_samples=state.now_samples)), (ask,)


def _judge(state: TurnState, settings: TurnSettings) -> Step:
    overlap = state.overlap
    if overlap is None or overlap.is_turn or state.agent not in {AgentState.DUCKED, AgentState.HELD}:
        return state, ()
    silent_samples = state.now_samples - overlap.last_voiced_samples
    is_over = silent_samples >= samples_of_ms(OVER_MS)
    is_heard_whole = overlap.heard_samples > overlap.last_voiced_samples
    if _is_interruption(overlap, is_over=is_heard_whole and silent_samples > 0):
        return take_floor(state, settings)
    if is_over and is_heard_whole:
        return go_on(state)
    if silent_samples >= samples_of_ms(settings.verdict_ms):
        return take_floor(state, settings) if _is_interruption(overlap, is_over=True) else go_on(state)
    if overlap.voiced_samples >= samples_of_ms(settings.yield_ms) and not overlap.is_backchannel:
        return take_floor(state, settings)
    is_held_long = state.now_samples - state.held_samples >= samples_of_ms(settings.hold_limit_ms)
    return go_on(state) if state.agent is AgentState.HELD and is_held_long else (state, ())


def _is_interruption(overlap: Overlap, *, is_over: bool) -> bool:
    """By the words there are. While the user speaks, one of them may be the beginning of anything."""
    if overlap.is_stop or (is_over and overlap.is_like_stop):
        return True
    if not overlap.heard_samples:
        return is_over and overlap.voiced_samples >= samples_of_ms(UNHEARD_VOICED_MS)
    return overlap.content_words >= (1 if is_over else 2)


def _item_id(state: TurnState) -> str:
    assert state.item_id is not None  # since the agent speaks
    return state.item_id
