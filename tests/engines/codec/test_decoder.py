# pyright: reportPrivateUsage=false
# A test may look inside: which worker is busy, what it has used.

from __future__ import annotations

import io
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import av
import numpy as np
import pytest
from faster_whisper.audio import decode_audio

from engines.codec.decoder import DecodeLimits, Decoder, RawPcm
from engines.codec.worker_process import WorkerProcess
from schemas.audio import Samples, pcm16_from_float
from schemas.errors import ErrorCode, SpeechError

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024

# A stand-in for the worker that speaks its protocol and does, by the length of the file, what a broken one does.
FAKE_WORKER = """
import os, signal, sys
from engines.codec.decode_protocol import Decoded, Ready, encode_message, request_decoder
def say(message, payload=b""):
    sys.stdout.buffer.write(encode_message(message) + payload)
    sys.stdout.buffer.flush()
say(Ready())
while header := sys.stdin.buffer.read(4):
    request = request_decoder.decode(sys.stdin.buffer.read(int.from_bytes(header, "big")))
    sys.stdin.buffer.read(request.input_bytes)
    match request.input_bytes:
        case 12: say(Decoded(samples=1, peak_rss_bytes=0), bytes(2))
        case 13: signal.pause()
        case 14: os.kill(os.getpid(), signal.SIGSEGV)
        case 15: say(Decoded(samples=1_000, peak_rss_bytes=0), bytes(10)); os._exit(0)
        case 16: say(Decoded(samples=1, peak_rss_bytes=1 << 30), bytes(2))
        case 17: os.close(1); sum(range(2_000_000)); os.kill(os.getpid(), signal.SIGSEGV)
        case _: sys.stdout.buffer.write(b"\\xff" * 100); sys.stdout.buffer.flush(); signal.pause()
"""
GOOD, HANGS, CRASHES, STOPS_SHORT, GROWS, DIES_SLOWLY, BABBLES = (
    b"OggS" + bytes(length - 4) for length in range(12, 19)
)


def fake(limits: DecodeLimits | None = None) -> Decoder:
    return Decoder(limits, command=(sys.executable, "-P", "-c", FAKE_WORKER))


async def code_of(decoder: Decoder, data: bytes) -> ErrorCode:
    with pytest.raises(SpeechError) as caught:
        await decoder.decode(data)
    return caught.value.code


async def only_idle_worker(decoder: Decoder) -> WorkerProcess:
    while not decoder._idle:
        await anyio.lowlevel.checkpoint()
    (worker,) = decoder._idle
    return worker


async def only_busy_worker(decoder: Decoder) -> WorkerProcess:
    while not decoder._alive - set(decoder._idle) or decoder._slots.value == decoder._limits.workers:
        await anyio.lowlevel.checkpoint()
    (worker,) = decoder._alive - set(decoder._idle)
    return worker


def pid_of(worker: WorkerProcess) -> int:
    return worker._process.pid


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


# What comes in ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["wav", "flac", "mp3", "opus", "aac", "m4a", "webm"])
async def test_every_container_is_decoded(
    decoder: Decoder, name: str, small_files: dict[str, bytes], chirp: Samples
) -> None:
    audio = await decoder.decode(small_files[name])
    assert audio.sample_rate_hz == 16_000
    assert abs(audio.duration_s - 1) < 0.2
    middle = slice(4_000, 12_000)
    assert abs(float(np.std(audio.samples[middle])) - float(np.std(chirp[middle]))) < 0.02


async def test_the_rate_is_the_one_asked_for(decoder: Decoder, small_files: dict[str, bytes]) -> None:
    audio = await decoder.decode(small_files["flac"], sample_rate_hz=24_000)
    assert (audio.sample_rate_hz, len(audio.samples)) == (24_000, 24_000)


async def test_nothing_is_empty_audio(decoder: Decoder) -> None:
    assert await code_of(decoder, b"") is ErrorCode.EMPTY_AUDIO


async def test_what_is_not_audio_is_refused_with_the_list_of_what_is_accepted(decoder: Decoder) -> None:
    with pytest.raises(SpeechError, match="WAV, FLAC, MP3, Ogg") as caught:
        await decoder.decode(b"<!doctype html><html></html>")
    assert caught.value.code is ErrorCode.UNSUPPORTED_FORMAT


async def test_a_file_larger_than_the_limit_is_refused_unread() -> None:
    async with fake(DecodeLimits(max_input_bytes=11)) as decoder:
        assert await code_of(decoder, GOOD) is ErrorCode.BODY_TOO_LARGE


async def test_every_real_recording_has_the_duration_its_manifest_says(
    decoder: Decoder, speech_dir: Path, speech_manifest: list[dict[str, Any]]
) -> None:
    for row in speech_manifest:
        audio = await decoder.decode((speech_dir / row["file"]).read_bytes())
        assert audio.duration_s == pytest.approx(row["duration_s"], abs=0.05), row["file"]
        assert np.abs(audio.samples).max() <= 1


async def test_recordings_are_heard_sample_for_sample_as_faster_whisper_hears_them(
    decoder: Decoder, speech_dir: Path
) -> None:
    for name in ("ljspeech/LJ001-0001.flac", "dialogue/stereo_diarization.flac", "fleurs/fleurs-de-000.ogg"):
        data = (speech_dir / name).read_bytes()
        ours = (await decoder.decode(data)).samples
        theirs = decode_audio(io.BytesIO(data))
        assert isinstance(theirs, np.ndarray)
        np.testing.assert_array_equal(ours, theirs, name)


# Raw PCM ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [1, 20])  # In place, and in a thread.
async def test_raw_pcm_is_mixed_and_resampled(decoder: Decoder, chirp: Samples, seconds: int) -> None:
    said = np.tile(chirp, seconds)
    stereo = np.repeat(said, 2)
    audio = await decoder.decode(pcm16_from_float(stereo), raw=RawPcm(16_000, 2))
    np.testing.assert_allclose(audio.samples, said, atol=1 / 32_768)
    half = await decoder.decode(pcm16_from_float(said), sample_rate_hz=8_000, raw=RawPcm(16_000))
    assert len(half.samples) == len(said) // 2


@pytest.mark.parametrize(
    ("length", "raw", "code"),
    [
        (3, RawPcm(16_000), ErrorCode.INVALID_AUDIO),
        (6, RawPcm(16_000, 2), ErrorCode.INVALID_AUDIO),
        (4, RawPcm(7_999), ErrorCode.INVALID_REQUEST),
        (4, RawPcm(192_001), ErrorCode.INVALID_REQUEST),
        (4, RawPcm(0), ErrorCode.INVALID_REQUEST),
        (4, RawPcm(16_000, 0), ErrorCode.INVALID_REQUEST),
        (4, RawPcm(16_000, 65), ErrorCode.INVALID_REQUEST),
        (8_000 * 2 * 601, RawPcm(8_000), ErrorCode.AUDIO_TOO_LONG),
    ],
)
async def test_impossible_raw_pcm_is_refused(decoder: Decoder, length: int, raw: RawPcm, code: ErrorCode) -> None:
    with pytest.raises(SpeechError) as caught:
        await decoder.decode(bytes(length), raw=raw)
    assert caught.value.code is code


# Damage -------------------------------------------------------------------------------------------------------

# What each file must come to: seconds of audio, or an error. `faulty_*` break RFC 9639, `uncommon_*` do not.
MALFORMED: dict[str, float | ErrorCode] = {
    "az_missing_wav_header.wav": ErrorCode.UNSUPPORTED_FORMAT,  # bare samples; nothing says their rate
    "ps_awful.wav": ErrorCode.INVALID_AUDIO,  # 1,092,676 Hz
    "ps_bad.wav": ErrorCode.INVALID_AUDIO,  # a format chunk of 1.7 GB
    "ps_evil.wav": ErrorCode.INVALID_AUDIO,  # no data chunk
    "ps_null.wav": ErrorCode.NO_AUDIO,  # a data chunk of nothing
    "faulty_01_-_wrong_max_blocksize.flac": ErrorCode.INVALID_AUDIO,  # FFmpeg believes it, and loses 6 frames of 7
    "faulty_02_-_wrong_maximum_framesize.flac": 4.442,  # harmless
    "faulty_03_-_wrong_bit_depth.flac": ErrorCode.INVALID_AUDIO,  # no frame agrees with the header
    "faulty_04_-_wrong_number_of_channels.flac": 4.058,  # the frames know better
    "faulty_05_-_wrong_total_number_of_samples.flac": 4.562,  # the number is not believed
    "faulty_06_-_missing_streaminfo_metadata_block.flac": ErrorCode.INVALID_AUDIO,
    "faulty_07_-_other_metadata_blocks_preceding_streaminfo_metadata_block.flac": ErrorCode.INVALID_AUDIO,
    "faulty_08_-_blocksize_65536.flac": ErrorCode.INVALID_AUDIO,
    "faulty_09_-_blocksize_1.flac": ErrorCode.INVALID_AUDIO,
    "faulty_10_-_invalid_vorbis_comment_metadata_block.flac": 4.970,  # tags are not read
    "faulty_11_-_incorrect_metadata_block_length.flac": ErrorCode.NO_AUDIO,  # all audio is inside the block
    "uncommon_02_-_increasing_number_of_channels.flac": 14.486,
    "uncommon_03_-_decreasing_number_of_channels.flac": 8.508,
    "uncommon_04_-_changing_bitdepth.flac": ErrorCode.INVALID_AUDIO,  # FFmpeg stops at the change: 87 frames lost
    "uncommon_07_-_15_bit_per_sample.flac": 11.757,
    "uncommon_08_-_blocksize_65535.flac": 10.565,
    "uncommon_09_-_Rice_partition_order_15.flac": 4.378,
    "uncommon_10_-_file_starting_at_frame_header.flac": 15.072,
    "uncommon_11_-_file_starting_with_unparsable_data.flac": ErrorCode.UNSUPPORTED_FORMAT,  # could be anything
}


async def test_every_malformed_file_is_decoded_or_refused_as_it_should_be(decoder: Decoder, speech_dir: Path) -> None:
    outcomes: dict[str, float | ErrorCode] = {}
    messages: list[str] = []
    for path in sorted((speech_dir / "malformed").glob("*.[wf]*")):
        try:
            outcomes[path.name] = (await decoder.decode(path.read_bytes())).duration_s
        except SpeechError as error:
            outcomes[path.name] = error.code
            messages.append(error.message)
    assert not [message for message in messages if "/" in message.replace("M4A/MP4", "") or "Traceback" in message]
    assert outcomes.keys() == MALFORMED.keys()
    for name, expected in MALFORMED.items():
        if isinstance(expected, ErrorCode):
            assert outcomes[name] is expected, name
        else:
            assert outcomes[name] == pytest.approx(expected, abs=0.01), name


def silence(container: str, codec: str, options: dict[str, str], *, seconds: int, rate_hz: int = 8_000) -> bytes:
    """A bomb: much silence in little space."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as opened:
        stream = opened.add_stream(codec, rate=rate_hz, layout="mono", options=options)  # pyright: ignore[reportUnknownMemberType]
        assert isinstance(stream, av.AudioStream)
        stream.bit_rate = 8_000
        minute = np.zeros((1, rate_hz * 60), dtype=np.int16)
        for start in range(0, seconds, 60):
            frame = av.AudioFrame.from_ndarray(minute, format="s16", layout="mono")
            frame.sample_rate = rate_hz
            frame.pts = start * rate_hz
            opened.mux(stream.encode(frame))  # pyright: ignore[reportUnknownMemberType]
        opened.mux(stream.encode(None))  # pyright: ignore[reportUnknownMemberType]
    return file.getvalue()


@pytest.mark.parametrize(
    ("container", "codec", "options"),
    [
        ("flac", "flac", {}),
        ("mp3", "libmp3lame", {"compression_level": "9"}),
        ("ogg", "libopus", {"frame_duration": "60", "compression_level": "0"}),
    ],
)
async def test_a_bomb_is_refused_before_it_is_decoded(
    decoder: Decoder, container: str, codec: str, options: dict[str, str]
) -> None:
    bomb = silence(container, codec, options, seconds=720)
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert await code_of(decoder, bomb) is ErrorCode.AUDIO_TOO_LONG
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 64 * 1024
    assert max(worker._peak_rss_bytes for worker in decoder._alive) < 128 * MIB


async def test_what_fits_no_memory_is_refused_and_the_worker_stays_small() -> None:
    bomb = silence("flac", "flac", {}, seconds=6_000, rate_hz=48_000)  # 576 MB of samples
    async with Decoder(DecodeLimits(max_duration_s=20_000)) as decoder:
        worker = await only_idle_worker(decoder)
        with pytest.raises(SpeechError, match="memory") as caught:
            await decoder.decode(bomb, sample_rate_hz=48_000)
        assert caught.value.code is ErrorCode.INVALID_AUDIO
        assert 256 * MIB < worker._peak_rss_bytes <= 512 * MIB
        assert worker not in decoder._alive


# The worker ---------------------------------------------------------------------------------------------------


async def test_one_worker_serves_file_after_file() -> None:
    with anyio.fail_after(30):
        async with fake() as decoder:
            worker = await only_idle_worker(decoder)
            for _ in range(3):
                assert len((await decoder.decode(GOOD)).samples) == 1
                assert await only_idle_worker(decoder) is worker


@pytest.mark.parametrize(
    ("file", "code"),
    [
        (CRASHES, ErrorCode.INVALID_AUDIO),
        (DIES_SLOWLY, ErrorCode.INVALID_AUDIO),  # its pipe is closed some time before it is gone
        (STOPS_SHORT, ErrorCode.ENGINE_FAILED),
        (HANGS, ErrorCode.DEADLINE_EXCEEDED),
    ],
)
async def test_a_worker_that_fails_is_replaced_and_only_its_file_suffers(file: bytes, code: ErrorCode) -> None:
    with anyio.fail_after(30):
        async with fake(DecodeLimits(timeout_s=1)) as decoder:
            pid = pid_of(await only_idle_worker(decoder))
            assert await code_of(decoder, file) is code
            assert not is_running(pid)
            assert len((await decoder.decode(GOOD)).samples) == 1


async def test_a_worker_that_talks_nonsense_is_ended() -> None:
    with anyio.fail_after(30):
        async with fake() as decoder:
            await only_idle_worker(decoder)
            assert await code_of(decoder, BABBLES) is ErrorCode.ENGINE_FAILED
            assert not decoder._alive


async def test_a_worker_that_grew_is_not_used_again() -> None:
    with anyio.fail_after(30):
        async with fake() as decoder:
            await only_idle_worker(decoder)
            assert len((await decoder.decode(GROWS)).samples) == 1
            assert not decoder._alive


async def test_a_worker_killed_from_outside_is_the_servers_fault_and_the_next_file_works() -> None:
    with anyio.fail_after(30):
        async with fake() as decoder, anyio.create_task_group() as tasks:
            await only_idle_worker(decoder)

            async def hang() -> None:
                assert await code_of(decoder, HANGS) is ErrorCode.ENGINE_FAILED

            tasks.start_soon(hang)
            os.kill(pid_of(await only_busy_worker(decoder)), signal.SIGKILL)
            while decoder._alive:
                await anyio.lowlevel.checkpoint()
            assert len((await decoder.decode(GOOD)).samples) == 1


async def test_a_worker_that_died_idle_is_nobodys_failure() -> None:
    with anyio.fail_after(30):
        async with fake() as decoder:
            worker = await only_idle_worker(decoder)
            os.kill(pid_of(worker), signal.SIGKILL)
            await worker._process.wait()
            assert len((await decoder.decode(GOOD)).samples) == 1


async def test_a_cancelled_request_ends_its_worker_and_leaves_nothing_to_the_next() -> None:
    with anyio.fail_after(30):
        async with fake() as decoder:
            pid = pid_of(await only_idle_worker(decoder))
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(decoder.decode, HANGS)
                await only_busy_worker(decoder)
                tasks.cancel_scope.cancel()
            assert not is_running(pid)
            assert len((await decoder.decode(GOOD)).samples) == 1


async def test_a_failure_in_the_body_comes_through_as_it_is() -> None:
    with pytest.raises(LookupError):
        async with fake():
            raise LookupError


async def test_no_worker_outlives_the_decoder() -> None:
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            async with fake() as decoder:
                await only_idle_worker(decoder)

                async def hang() -> None:
                    assert await code_of(decoder, HANGS) is ErrorCode.SHUTTING_DOWN

                tasks.start_soon(hang)
                pids = [pid_of(await only_busy_worker(decoder))]
            assert not any(map(is_running, pids))
            assert not decoder._alive
            assert await code_of(decoder, GOOD) is ErrorCode.SHUTTING_DOWN


async def test_a_worker_ended_by_two_is_killed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    # A second kill may take the status that asyncio waits for; it then warns, on everybody's console.
    with anyio.fail_after(30):
        worker = await WorkerProcess.start((sys.executable, "-P", "-c", FAKE_WORKER))
        await worker.wait_ready()
        kills: list[int] = []
        process = worker._process
        kill = process.kill
        monkeypatch.setattr(process, "kill", lambda: (kills.append(1), kill()))
        async with anyio.create_task_group() as tasks:
            for _ in range(2):
                tasks.start_soon(worker.end)
    assert len(kills) == 1
    assert await worker.end() == -signal.SIGKILL


async def test_more_files_than_may_wait_are_refused_at_once() -> None:
    with anyio.fail_after(30):
        async with fake(DecodeLimits(workers=1, max_waiting=1)) as decoder, anyio.create_task_group() as tasks:
            await only_idle_worker(decoder)
            tasks.start_soon(decoder.decode, HANGS)
            await only_busy_worker(decoder)
            tasks.start_soon(decoder.decode, GOOD)
            while not decoder._slots.statistics().tasks_waiting:
                await anyio.lowlevel.checkpoint()
            with pytest.raises(SpeechError) as caught:
                await decoder.decode(GOOD)
            assert caught.value.code is ErrorCode.OVERLOADED
            assert caught.value.retry_after_s
            tasks.cancel_scope.cancel()


async def test_a_file_that_waits_too_long_is_refused() -> None:
    with anyio.fail_after(30):
        async with fake(DecodeLimits(workers=1, wait_s=0.05)) as decoder, anyio.create_task_group() as tasks:
            await only_idle_worker(decoder)
            tasks.start_soon(decoder.decode, HANGS)
            await only_busy_worker(decoder)
            assert await code_of(decoder, GOOD) is ErrorCode.OVERLOADED
            tasks.cancel_scope.cancel()


async def test_a_worker_that_does_not_start_is_said_so() -> None:
    with anyio.fail_after(30):
        for command in ((sys.executable, "-c", ""), (sys.executable, "-c", "import signal; signal.pause()")):
            async with Decoder(DecodeLimits(start_s=0.2), command=command) as decoder:
                assert await code_of(decoder, GOOD) is ErrorCode.ENGINE_FAILED


# The seal -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "attempt",
    [
        "open('/etc/passwd')",
        "open('/tmp/x', 'w')",
        "import socket; socket.socket()",
        "bytearray(600 * 1024 * 1024)",
        "os.write(2, b''); os.ftruncate(file, 10)",
    ],
)
def test_behind_the_seal_no_file_socket_or_large_memory_can_be_had(attempt: str, tmp_path: Path) -> None:
    program = f"""
import os, signal
from engines.codec.decode_worker import _seal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
file = os.open({str(tmp_path / "file")!r}, os.O_CREAT | os.O_RDWR)
_seal()
try:
    {attempt}
except (OSError, MemoryError, ImportError):
    os._exit(42)
os._exit(0)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False, cwd="/").returncode == 42


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
async def test_the_worker_does_not_see_the_servers_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTIPHON_API_KEYS", "very-secret")
    with anyio.fail_after(30):
        async with Decoder() as decoder:
            worker = await only_idle_worker(decoder)
            assert b"very-secret" not in await anyio.Path(f"/proc/{pid_of(worker)}/environ").read_bytes()
