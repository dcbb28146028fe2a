// OpenAI's client for Node against a running server: what it sends, how it reads what comes back.

import assert from "node:assert/strict";
import { createReadStream, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { test } from "node:test";

const require = createRequire(join(process.env.ANTIPHON_NODE_MODULES, "index.js"));
const { default: OpenAI, toFile, NotFoundError, BadRequestError } = require("openai");

const client = new OpenAI({ baseURL: process.env.ANTIPHON_URL, apiKey: "unused", maxRetries: 0 });
const RECORDING = join(process.env.ANTIPHON_EXAMPLES, "made-amiable.flac");
const SAID = "he might even have been made amiable himself";
const TEXT = "The quick brown fox jumps over the lazy dog.";

const words = (text) => text.toLowerCase().match(/\w+/g).join(" ");
const transcribe = (options) =>
  client.audio.transcriptions.create({ model: "whisper-1", language: "en", ...options });
const speak = (options) =>
  client.audio.speech.create({ model: "gpt-4o-mini-tts", voice: "alloy", input: TEXT, ...options });

async function* pieces(data) {
  for (let start = 0; start < data.length; start += 10_000) yield data.subarray(start, start + 10_000);
}

test("a recording can be uploaded in every way the client has", async () => {
  const data = readFileSync(RECORDING);
  const uploads = [
    createReadStream(RECORDING),
    await toFile(data, "recording.flac", { type: "audio/flac" }),
    await toFile(pieces(data), "recording.flac"),
    await toFile(data),
    new File([data], "recording.flac", { type: "audio/x-flac" }),
    new Response(data, { headers: { "content-type": "application/octet-stream" } }),
  ];
  for (const file of uploads) assert.equal(words((await transcribe({ file })).text), SAID);
});

test("a transcription comes in every format", async () => {
  const file = () => createReadStream(RECORDING);
  const verbose = await transcribe({
    file: file(),
    response_format: "verbose_json",
    timestamp_granularities: ["word", "segment"],
  });
  assert.equal(verbose.language, "english");
  assert.equal(words(verbose.words.map((word) => word.word).join(" ")), SAID);
  assert.ok(verbose.segments[0].avg_logprob < 0);
  assert.equal(verbose.usage.type, "duration");
  assert.equal(words(await transcribe({ file: file(), response_format: "text" })), SAID);
  assert.match(await transcribe({ file: file(), response_format: "srt" }), /^1\n00:00:/);
  assert.match(await transcribe({ file: file(), response_format: "vtt" }), /^WEBVTT\n/);
});

test("a transcription is streamed, with the probability of its tokens", async () => {
  const stream = await transcribe({
    model: "gpt-4o-transcribe",
    file: createReadStream(RECORDING),
    include: ["logprobs"],
    chunking_strategy: { type: "server_vad", threshold: 0.4, prefix_padding_ms: 200, silence_duration_ms: 800 },
    stream: true,
  });
  const events = [];
  for await (const event of stream) events.push(event);
  const done = events.pop();
  assert.equal(done.type, "transcript.text.done");
  assert.ok(events.every((event) => event.type === "transcript.text.delta"));
  assert.equal(events.map((event) => event.delta).join(""), done.text);
  assert.equal(words(done.text), SAID);
  assert.equal(Buffer.from(done.logprobs.flatMap((token) => token.bytes)).toString(), done.text);
  assert.ok(done.logprobs.every((token) => token.logprob < 0));
  assert.equal(done.usage.total_tokens, done.usage.input_tokens + done.usage.output_tokens);
});

test("lists are taken as the client sends them", async () => {
  const heard = await client.audio.transcriptions.create({
    model: "gpt-transcribe",
    file: createReadStream(RECORDING),
    languages: ["en", "de"],
    keywords: ["amiable"],
  });
  assert.deepEqual(heard.languages, [{ code: "en" }]);
  assert.equal(words(heard.text), SAID);
});

test("a translation is English", async () => {
  const english = await client.audio.translations.create({
    model: "whisper-1",
    file: createReadStream(RECORDING),
    response_format: "verbose_json",
  });
  assert.equal(english.language, "english");
  assert.ok(english.text.length > 0);
});

test("speech has the content type of its format, and is understood", async () => {
  const types = { mp3: "audio/mpeg", opus: "audio/opus", aac: "audio/aac", flac: "audio/flac", wav: "audio/wav" };
  for (const [format, type] of Object.entries(types)) {
    const response = await speak({ response_format: format });
    assert.equal(response.headers.get("content-type"), type);
    const file = await toFile(Buffer.from(await response.arrayBuffer()), `speech.${format}`);
    assert.equal(words((await transcribe({ file })).text), words(TEXT), format);
  }
});

test("pcm is 24 kHz, 16 bit, mono, and twice the speed is half as long", async () => {
  const seconds = async (speed) => {
    const response = await speak({ response_format: "pcm", speed });
    assert.equal(response.headers.get("content-type"), "audio/pcm");
    return (await response.arrayBuffer()).byteLength / 48_000;
  };
  const [usual, fast] = [await seconds(1), await seconds(2)];
  assert.ok(usual > 1.5 && usual < 5, `${usual} s`);
  assert.ok(fast < 0.7 * usual, `${fast} s of ${usual} s`);
});

test("speech is streamed as events", async () => {
  const response = await speak({ response_format: "pcm", stream_format: "sse", voice: { id: "marin" } });
  assert.match(response.headers.get("content-type"), /^text\/event-stream/);
  const lines = (await response.text()).split("\n").filter((line) => line.startsWith("data: "));
  const events = lines.map((line) => JSON.parse(line.slice(6)));
  const done = events.pop();
  assert.equal(done.type, "speech.audio.done");
  assert.equal(done.usage.input_tokens, TEXT.length);
  assert.ok(events.every((event) => event.type === "speech.audio.delta"));
  assert.ok(Buffer.concat(events.map((event) => Buffer.from(event.audio, "base64"))).length > 48_000);
});

test("models are listed, and found by OpenAI's names", async () => {
  const names = [];
  for await (const model of client.models.list()) names.push(model.id);
  assert.ok(names.includes("whisper-base"));
  assert.equal((await client.models.retrieve("whisper-1")).id, "whisper-base");
});

test("errors are the client's own", async () => {
  await assert.rejects(speak({ voice: "nobody" }), (error) => {
    assert.ok(error instanceof NotFoundError);
    assert.equal(error.code, "unknown_voice");
    assert.equal(error.param, "voice");
    assert.ok(error.requestID);
    return true;
  });
  await assert.rejects(
    transcribe({ file: createReadStream(RECORDING), response_format: "diarized_json" }),
    (error) => error instanceof BadRequestError && error.param === "response_format",
  );
});
