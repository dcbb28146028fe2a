"use strict";
// Draws the page from the data in it. Every text goes in as text, never as markup.

const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const seconds = (ms) => `${(ms / 1000).toFixed(2)} s`;
const clock = (ms) => `${Math.floor(ms / 60000)}:${((ms % 60000) / 1000).toFixed(1).padStart(4, "0")}`;
const ofType = (type) => data.events.filter((event) => event.type === type);
const replyOf = (itemId) => data.replies.find((reply) => reply.item_id === itemId);

// Elements

function put(parent, tag, { text, tip, at, ...attributes } = {}, svg = false) {
  const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  if (tip !== undefined) element.dataset.tip = tip;
  if (at !== undefined) element.dataset.at = at;
  parent.append(element);
  return element;
}
const draw = (parent, tag, attributes) => put(parent, tag, attributes, true);

// Sound

const audio = byId("audio");
audio.src = data.audio;
const nowMs = () => audio.currentTime * 1000;
function seek(ms, play = true) {
  audio.currentTime = Math.max(0, Math.min(ms, data.duration_ms)) / 1000;
  if (play) audio.play();
  showNow();
}

// The timeline

const Y = { axis: 24, userBar: 30, userWave: 92, userWords: 136, partials: 167, agentBar: 186, agentWave: 248, agentWords: 292, end: 318 };
const WAVE_PX = 38, BAR_PX = 20, WORD_PX = 20;
const FIT_MIN_PX = 20, READABLE_PX = 96, ZOOM_MAX_PX = 400;
let pxPerS = 0;
let svg, playhead, marked;
const timed = []; // what lights up while it is heard: { element, from, to }

const x = (ms) => (ms / 1000) * pxPerS;
const fitPx = () => byId("scroll").clientWidth / (data.duration_ms / 1000);

function drawTimeline() {
  const width = Math.max(x(data.duration_ms), byId("scroll").clientWidth);
  timed.splice(0, timed.length, ...timed.filter((part) => !part.drawn));
  svg?.remove();
  svg = draw(byId("scroll"), "svg", {
    width, height: Y.end + 6, role: "img",
    "aria-label": "Waveforms of user and agent on a time axis, with turns, words and the interruption",
  });
  drawPattern();
  drawAxis(width);
  drawInterruption();
  drawUser();
  drawAgent();
  drawInterruptionLabel();
  marked = draw(svg, "rect", { class: "marked", y: Y.axis, height: Y.end - Y.axis, width: 0 });
  playhead = draw(svg, "line", { class: "playhead", y1: 0, y2: Y.end });
  showNow();
}

function drawPattern() {
  const pattern = draw(draw(svg, "defs"), "pattern", {
    id: "wait", width: 5, height: 5, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)",
  });
  draw(pattern, "line", { class: "stripe", x1: 0, x2: 0, y1: 0, y2: 5 });
}

function drawAxis(width) {
  const step = [0.5, 1, 2, 5, 10, 20, 60].find((candidate) => candidate * pxPerS >= 52) ?? 60;
  for (let second = 0; second * 1000 <= data.duration_ms; second += step) {
    const at = x(second * 1000);
    draw(svg, "line", { class: "grid", x1: at, x2: at, y1: Y.axis, y2: Y.end });
    draw(svg, "text", { x: at + 4, y: 15, text: `${second} s` });
  }
  for (const y of [Y.axis, Y.partials + 9]) draw(svg, "line", { class: "axis", x1: 0, x2: width, y1: y, y2: y });
}

function wave(peaks, startMs, y) {
  const up = [], down = [];
  const stepMs = Math.max(data.peak_ms, 1000 / pxPerS);
  const perPoint = stepMs / data.peak_ms;
  for (let point = 0; point * perPoint < peaks.length; point += 1) {
    const part = peaks.slice(Math.floor(point * perPoint), Math.max(Math.floor((point + 1) * perPoint), Math.floor(point * perPoint) + 1));
    const height = Math.max(0.6, (Math.max(...part) / 100) * WAVE_PX);
    const at = x(startMs + point * stepMs).toFixed(1);
    up.push(`${at},${(y - height).toFixed(1)}`);
    down.unshift(`${at},${(y + height).toFixed(1)}`);
  }
  return up.length ? `M${up.join("L")}L${down.join("L")}Z` : "";
}

function bar(side, kind, fromMs, toMs, tip, name) {
  const y = side === "user" ? Y.userBar : Y.agentBar;
  const width = Math.max(2, x(toMs - fromMs));
  draw(svg, "rect", { class: kind, x: x(fromMs), y, width, height: BAR_PX, rx: 4, tip });
  if (name && width > name.length * 6.5 + 12) {
    draw(svg, "text", { class: `bar-name ${side}`, x: x(fromMs) + 8, y: y + 14, text: name, tip });
  }
}

function word(side, item, y) {
  const fromMs = item.start_s * 1000, toMs = item.end_s * 1000;
  const tip = `${item.text}\n${seconds(fromMs)} – ${seconds(toMs)} · sure to ${Math.round(item.probability * 100)} %`;
  const group = draw(svg, "g", { class: "word", tip });
  const width = Math.max(2, x(toMs - fromMs) - 1);
  draw(group, "rect", { class: side, x: x(fromMs), y, width, height: WORD_PX, rx: 3 });
  if (width > item.text.length * 6.2 + 2) draw(group, "text", { x: x(fromMs) + width / 2, y: y + 14, "text-anchor": "middle", text: item.text });
  timed.push({ element: group, from: fromMs, to: toMs, drawn: true });
}

function drawUser() {
  for (const { from, to } of voiced()) {
    draw(svg, "rect", { class: "voiced", x: x(from), y: Y.userWave - WAVE_PX - 2, width: x(to - from), height: 2 * WAVE_PX + 4, rx: 4, tip: `speech\n${seconds(from)} – ${seconds(to)}` });
  }
  draw(svg, "path", { class: "user", d: wave(data.peaks.user, 0, Y.userWave), "pointer-events": "none" });
  for (const turn of ofType("turn.ended")) {
    bar("user", "bar user", turn.started_ms, turn.ended_ms, `turn ${turn.turn}\n${seconds(turn.started_ms)} – ${seconds(turn.ended_ms)}`, `turn ${turn.turn}`);
    const waited = seconds(turn.at_ms - turn.ended_ms);
    bar("user", "wait", turn.ended_ms, turn.at_ms, `from the last word to the transcript: ${waited}\nsilence decided the turn after ${seconds(turn.decided_ms - turn.ended_ms)}`);
    const at = x(turn.at_ms);
    draw(svg, "line", { class: "end", x1: at, x2: at, y1: Y.userBar, y2: Y.partials + 8 });
    draw(svg, "path", { class: "flag", d: `M${at} ${Y.userBar}l9 5l-9 5z`, tip: `turn ${turn.turn} ended at ${seconds(turn.at_ms)}\n${turn.text}` });
    for (const item of turn.words) word("user", item, Y.userWords);
  }
  for (const partial of ofType("transcript.partial")) {
    draw(svg, "circle", { class: "partial", cx: x(partial.at_ms), cy: Y.partials, r: 4, tip: `partial transcript at ${seconds(partial.at_ms)}\n${partial.text}` });
  }
}

function voiced() {
  const spans = [];
  for (const event of data.events) {
    if (event.type === "speech.started") spans.push({ from: event.started_ms, to: data.duration_ms });
    if (event.type === "speech.resumed") spans.push({ from: event.resumed_ms, to: data.duration_ms });
    if (event.type === "speech.stopped" && spans.length) spans[spans.length - 1].to = event.stopped_ms;
  }
  return spans;
}

function drawAgent() {
  draw(svg, "path", { class: "agent", d: wave(data.peaks.agent, 0, Y.agentWave), "pointer-events": "none" });
  for (const reply of data.replies) {
    const endMs = reply.started_ms + reply.played_ms;
    const said = data.items.find((item) => item.item_id === reply.item_id);
    bar("agent", "wait", reply.called_ms, reply.started_ms, `from say to its first sound: ${seconds(reply.started_ms - reply.called_ms)}`);
    bar("agent", "bar agent", reply.started_ms, endMs, `${said.status}: heard for ${seconds(said.heard_ms)}\n${said.heard_text}`, said.status);
    if (reply.dropped_ms > 0) {
      const tip = `received, not played: ${seconds(reply.dropped_ms)}\n${said.remaining_text}`;
      bar("agent", "dropped-bar", endMs, Math.min(endMs + reply.dropped_ms, data.duration_ms), tip);
      draw(svg, "path", { class: "dropped", d: wave(reply.dropped_peaks, endMs, Y.agentWave), tip });
    }
    for (const item of reply.words) word("agent", item, Y.agentWords);
  }
}

const interruptions = () => data.replies.filter((reply) => reply.flushed_ms !== null);
const onsetOf = (reply) => ofType("speech.started").findLast((event) => event.started_ms <= reply.flushed_ms)?.started_ms ?? reply.flushed_ms;

function drawInterruption() {
  for (const reply of interruptions()) {
    const onset = onsetOf(reply);
    draw(svg, "rect", { class: "cut-band", x: x(onset), y: Y.axis, width: Math.max(2, x(reply.flushed_ms - onset)), height: Y.end - Y.axis });
    draw(svg, "line", { class: "cut-line", x1: x(reply.flushed_ms), x2: x(reply.flushed_ms), y1: Y.axis, y2: Y.end });
  }
}

function drawInterruptionLabel() {
  for (const reply of interruptions()) {
    const ms = reply.flushed_ms - onsetOf(reply);
    const nearEnd = x(reply.flushed_ms) > x(data.duration_ms) - 150;
    draw(svg, "text", {
      class: "cut", x: x(reply.flushed_ms) + (nearEnd ? -8 : 8), y: Y.agentWords + 14, "text-anchor": nearEnd ? "end" : "start",
      text: `✂ silent after ${ms} ms`, tip: `The user's first sound: ${seconds(onsetOf(reply))}\nThe loudspeaker stops: ${seconds(reply.flushed_ms)}`,
    });
  }
}

function zoom(px) {
  const scroll = byId("scroll");
  const middle = pxPerS ? (scroll.scrollLeft + scroll.clientWidth / 2) / pxPerS : 0;
  pxPerS = Math.min(Math.max(px, Math.min(fitPx(), READABLE_PX)), Math.max(ZOOM_MAX_PX, fitPx()));
  drawTimeline();
  scroll.scrollLeft = middle * pxPerS - scroll.clientWidth / 2;
}

// On a phone the whole conversation would be a smear: there one scrolls.
const fit = () => zoom(fitPx() < FIT_MIN_PX ? READABLE_PX : fitPx());

// What lights up while it is heard

function showNow() {
  const now = nowMs();
  byId("now").textContent = clock(now);
  playhead.setAttribute("x1", x(now));
  playhead.setAttribute("x2", x(now));
  for (const { element, from, to } of timed) element.classList.toggle("now", now > 0 && from <= now && now < to);
  const scroll = byId("scroll");
  if (!audio.paused && (x(now) < scroll.scrollLeft || x(now) > scroll.scrollLeft + scroll.clientWidth * 0.9)) {
    scroll.scrollLeft = x(now) - scroll.clientWidth * 0.2;
  }
}

function follow() {
  showNow();
  if (!audio.paused) requestAnimationFrame(follow);
}

// Texts

function drawHeader() {
  const passed = data.checks.filter((check) => check.passed).length;
  byId("about").textContent = [new Date(data.created_at).toLocaleString(), `${(data.duration_ms / 1000).toFixed(1)} s`, `voice ${data.voice}`, data.session_id].join(" · ");
  byId("length").textContent = `/ ${clock(data.duration_ms)}`;
  byId("verdict").textContent = passed === data.checks.length ? `✓ all ${passed} checks passed` : `✗ ${data.checks.length - passed} of ${data.checks.length} checks failed`;
  byId("verdict").classList.add(passed === data.checks.length ? "passed" : "failed");
  for (const figure of data.figures) {
    const button = put(put(byId("figures"), "li"), "button", { type: "button", tip: `from ${seconds(figure.from_ms)} to ${seconds(figure.to_ms)}` });
    const ms = figure.to_ms - figure.from_ms;
    put(button, "strong", { text: ms < 1000 ? `${ms} ms` : seconds(ms) });
    put(button, "span", { text: figure.title });
    const show = () => { marked.setAttribute("x", x(figure.from_ms)); marked.setAttribute("width", x(ms)); };
    for (const name of ["pointerenter", "focus"]) button.addEventListener(name, show);
    for (const name of ["pointerleave", "blur"]) button.addEventListener(name, () => marked.setAttribute("width", 0));
    button.addEventListener("click", () => { seek(figure.from_ms - 1000); show(); });
  }
  for (const check of data.checks) {
    const row = put(byId("checks"), "li", { class: check.passed ? "passed" : "failed" });
    put(row, "span", { class: "sign", text: check.passed ? "✓" : "✗" });
    put(row, "b", { text: check.title });
    put(row, "span", { class: "detail", text: check.detail });
  }
}

function words(parent, items, unsureBelow) {
  for (const item of items) {
    const attributes = item.start_s === null ? {} : { at: item.start_s * 1000, tip: `${seconds(item.start_s * 1000)} – ${seconds(item.end_s * 1000)}` };
    if (item.probability !== null && item.probability < unsureBelow) attributes.class = "unsure";
    const span = put(parent, "span", { text: item.text, ...attributes });
    if (item.start_s !== null) timed.push({ element: span, from: item.start_s * 1000, to: item.end_s * 1000 });
    parent.append(" ");
  }
}

function drawTalk() {
  for (const item of data.items) {
    const row = put(byId("talk"), "li", { class: item.role });
    const title = put(row, "h3");
    const text = put(row, "p", { class: "text" });
    if (item.role === "user") {
      const ended = ofType("turn.ended").find((event) => event.turn === item.turn);
      put(title, "b", { text: "User" });
      title.append(`${seconds(item.started_ms)} – ${seconds(item.ended_ms)} · transcript ${seconds(ended.at_ms - item.ended_ms)} after the last word`);
      if (item.words.length) words(text, item.words, 0.5);
      else text.textContent = item.text || "(nothing was understood)";
      drawPartials(row, item.turn);
      timed.push({ element: row, from: item.started_ms, to: item.ended_ms });
    } else {
      const reply = replyOf(item.item_id);
      put(title, "b", { text: "Agent" });
      title.append(`${item.status} · heard for ${seconds(item.heard_ms)} of its audio`);
      if (reply) {
        words(text, reply.heard_words, 0);
        timed.push({ element: row, from: reply.started_ms, to: reply.started_ms + reply.played_ms });
      } else text.textContent = item.heard_text;
      if (item.remaining_text) {
        put(text, "span", { class: "cut", text: "✂ interrupted, the rest was never heard" });
        text.append(" ");
        put(text, "s", { text: item.remaining_text });
      }
    }
  }
}

function drawPartials(row, turn) {
  const partials = ofType("transcript.partial").filter((event) => event.turn === turn);
  if (!partials.length) return;
  const details = put(row, "details");
  put(details, "summary", { text: `${partials.length} partial transcript${partials.length > 1 ? "s" : ""} on the way` });
  const list = put(details, "ol");
  for (const partial of partials) {
    const line = put(list, "li");
    put(line, "time", { text: seconds(partial.at_ms) });
    line.append(partial.text);
  }
}

function drawEvents() {
  byId("events-title").textContent = `${data.events.length} events, as any client sees them`;
  for (const event of data.events) {
    const { type, seq, at_ms: at, ...rest } = event;
    const side = /^(speech|transcript|turn)/.test(type) ? "user" : /^(say|playback)/.test(type) ? "agent" : "session";
    const row = put(byId("events"), "tr", { class: type === "say.audio" ? `${side} audio` : side, at });
    put(row, "td", { text: seq });
    put(row, "td", { text: seconds(at) });
    put(row, "td", { text: type });
    put(row, "td", { text: eventText(rest) });
  }
  byId("audio-rows").addEventListener("change", (event) => byId("events").classList.toggle("with-audio", event.target.checked));
}

function eventText(fields) {
  const { words: list, settings, audio: _, ...rest } = fields;
  const shown = Object.entries(rest).filter(([, value]) => value !== null && value !== "");
  return shown.map(([name, value]) => `${name} ${typeof value === "object" ? JSON.stringify(value) : value}`).join(" · ");
}

// Hands

const tip = byId("tip");
function showTip(event) {
  const target = event.target.closest("[data-tip]");
  tip.hidden = !target;
  if (!target) return;
  tip.textContent = target.dataset.tip;
  tip.style.left = `${Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8)}px`;
  tip.style.top = `${event.clientY + 20 + tip.offsetHeight > innerHeight ? event.clientY - tip.offsetHeight - 12 : event.clientY + 20}px`;
}
document.addEventListener("pointermove", showTip);
document.addEventListener("pointerdown", showTip);
document.addEventListener("click", (event) => {
  const target = event.target.closest("[data-at]");
  if (target) seek(Number(target.dataset.at));
});
byId("scroll").addEventListener("click", (event) => seek(((event.clientX - svg.getBoundingClientRect().left) / pxPerS) * 1000));
byId("play").addEventListener("click", () => (audio.paused ? audio.play() : audio.pause()));
for (const name of ["play", "pause", "ended"]) {
  audio.addEventListener(name, () => {
    byId("play").classList.toggle("playing", !audio.paused);
    byId("play").setAttribute("aria-label", audio.paused ? "Play" : "Pause");
    follow();
  });
}
document.addEventListener("keydown", (event) => {
  if (event.target.closest("button, summary, input, a")) return;
  const jump = { ArrowLeft: -2000, ArrowRight: 2000 }[event.key];
  if (jump) seek(nowMs() + jump, !audio.paused);
  if (event.key === " ") audio.paused ? audio.play() : audio.pause();
  if (jump || event.key === " ") event.preventDefault();
});
byId("in").addEventListener("click", () => zoom(pxPerS * 1.6));
byId("out").addEventListener("click", () => zoom(pxPerS / 1.6));
byId("fit").addEventListener("click", fit);
addEventListener("resize", fit);

drawHeader();
drawTalk();
drawEvents();
fit();
