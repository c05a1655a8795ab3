// A small client of its own, by docs/PROTOCOL.md alone, that passes `agent-world conform --client`; and, for each thing that
// a client can get wrong, one that does: CONFORM_BREAK says which (tests/conformance/client-mutants.json).

import { createRequire } from "node:module";

const { WebSocket } = createRequire(new URL("../../../clients/typescript/package.json", import.meta.url))("ws");
const broken = (name) => process.env.CONFORM_BREAK === name;
const say = (observed, more = {}) => console.log(JSON.stringify({ observed, ...more }));

/** By docs/PROTOCOL.md §8: whether to come back after a close code. */
const FINAL = new Set([4001, 4002, 4004]);
const FRAMES = new Set(["agent_updated", "chat_response", "error", "event_stream", "pong", "status", "world_reloaded", "world_selected"]);
const STATUSES = new Set(["connected", "message_accepted", "cancelled", "subscribed", "unsubscribed", "caught_up", "draining"]);

let socket;
let token = broken("brings-a-token") ? "x".repeat(43) : undefined;
let connections = 0;
let frames = 0;
let epoch;
let seq = 0;
let root;
let key = "the-key-of-hello";
let waiting = false;
let retryAfterMs = 0;
let replaying = false;
let over = false;
let replaced = false;
const replies = new Map();
const told = new Set();

function send(type, payload, more = {}) {
  frames += 1;
  const frame = { id: broken("same-id") ? "1" : `f${connections}-${frames}`, type, payload, ...more };
  if (broken("typo-in-a-frame")) frame.payloads = {};
  socket.send(JSON.stringify(frame));
}

function select() {
  const payload = { templateName: "default-world", worldName: broken("selects-another-world") ? "other" : "conform" };
  if (epoch !== undefined && !broken("forgets-the-cursor")) {
    payload.after = `${epoch}:${seq}`;
    replaying = true;
  }
  if (broken("cursor-out-of-nowhere") && epoch === undefined) payload.after = "aaaaaaaaaaaaaaaa:0";
  send("world_select", payload);
}

function chat() {
  if (broken("says-nothing")) return;
  if (broken("new-key-each-time")) key = `key-${connections}`;
  waiting = true;
  send("chat_send", { content: "Hello" }, { idempotencyKey: key });
}

function end(code = 0) {
  over = true;
  socket.close(1000);
  process.exitCode = broken("exits-with-1") ? 1 : code;
}

function length(text) {
  return broken("counts-utf16") ? text.length : Array.from(text).length;
}

/** A start, a delta or the end of a reply. */
function reply({ messageId, agentName, rootId, content, offset, complete, finishReason }, fresh) {
  if (rootId !== root) return;
  if (broken("hears-only-critic") && agentName !== "critic") return;
  if (broken("hears-only-guide") && agentName !== "guide") return;
  if (broken("deaf-after-reconnect") && connections > 1 && complete) return;
  const id = broken("one-buffer") ? "one" : messageId;
  const held = replies.get(id) ?? "";
  if (!complete) {
    if (content === "") return void replies.set(id, held);
    if (broken("ignores-catch-up") && offset === 0 && held !== "") return;
    if (replaced && broken("stops-after-replace")) return;
    if (offset === 0 && held !== "") replaced = true;
    if (offset !== 0 && offset !== length(held) && !broken("appends-always")) return;
    const text = broken("appends-always") ? held + content : offset === 0 ? content : held + content;
    replies.set(id, text);
    if (!broken("waits-for-the-end")) say("partial", { agentName, text });
    return;
  }
  if (!fresh) return;
  let text = broken("trusts-deltas") ? held : content;
  if (broken("cuts-the-text") || (broken("cuts-the-second-text") && agentName === "critic")) text = text.slice(0, 3);
  const reason = broken("hides-failures") ? "stop" : finishReason;
  say("reply", { agentName, text, finishReason: reason });
  if (broken("tells-replies-twice")) say("reply", { agentName, text, finishReason: reason });
  told.add(messageId);
  if (finishReason === "error" && broken("gives-up-on-failure")) end();
}

function event({ type, payload }, frame) {
  say("event", { seq: frame.seq });
  if (type !== "world" || payload.action !== "settled") return;
  if (payload.rootId !== root) {
    if (broken("any-settled")) say("settled");
    return;
  }
  if (broken("ignores-settled") || (replaying && broken("skips-settled-in-replay"))) return;
  if (broken("waits-for-a-reply") && told.size === 0) return;
  if (broken("invents-a-reply")) say("reply", { agentName: "guide", text: "", finishReason: "stop" });
  say("settled");
  end();
}

function status({ type, data }) {
  if (type === "connected") {
    if (data.sessionToken !== undefined) token = data.sessionToken;
    select();
  } else if (type === "message_accepted") {
    if (broken("ignores-duplicate") && data.duplicate) return;
    waiting = false;
    root = data.messageId;
  } else if (type === "caught_up") {
    replaying = false;
  } else if (type === "draining") {
    retryAfterMs = data.retryAfterMs;
  }
}

function error(payload) {
  if (payload.code === "UNRESUMABLE") {
    if (broken("gives-up-on-unresumable")) return end();
    epoch = undefined;
    seq = 0;
    waiting = false;
    if (!broken("silent-gap")) say("gap");
    say("error", { code: payload.code });
    select();
    // The question is lost with the history.
    root = "lost";
    setTimeout(end, 200);
    return;
  }
  if (!broken("swallows-errors")) say("error", { code: payload.code });
  if (broken("hangs-after-an-error")) return void setInterval(() => {}, 1_000);
  if (payload.code !== "INVALID_MESSAGE") end();
}

function hear(text) {
  if (over) return;
  let frame;
  try {
    frame = JSON.parse(text);
  } catch {
    if (broken("dies-of-garbage")) process.exit(1);
    return;
  }
  if (typeof frame !== "object" || frame === null || Array.isArray(frame)) return;
  const { type, payload } = frame;
  const known = FRAMES.has(type) && (type !== "status" || STATUSES.has(payload.type)) && payload.eventType !== "weather";
  if (!known) {
    if (broken("dies-of-unknown-types")) process.exit(1);
    return;
  }
  if (frame.laterField !== undefined) {
    if (broken("refuses-unknown-fields") && type === "chat_response") return;
    if (broken("refuses-unknown-fields-of-events") && type === "event_stream") return;
  }
  if (replaying && broken("skips-the-replay") && frame.seq !== undefined) return;
  // An event that was seen before a reconnect may come again.
  const fresh = frame.seq === undefined || frame.seq > seq || broken("takes-events-twice");
  if (frame.seq !== undefined && fresh) seq = frame.seq;
  if (type === "status") status(payload);
  else if (type === "world_selected") {
    const first = epoch === undefined && root === undefined;
    const [now, head] = payload.cursor.split(":");
    if (epoch !== now) [epoch, seq] = [now, Number(head)];
    if (first || waiting) chat();
  } else if (type === "error") error(payload);
  else if (type === "chat_response") reply(payload, fresh);
  else if (type === "event_stream" && fresh) event(payload.event, frame);
}

function open() {
  connections += 1;
  const protocols = [broken("another-version") ? "agent-world.v9" : "agent-world.v1"];
  if (token !== undefined && !(connections > 1 && broken("forgets-the-token"))) protocols.push(`bearer.${token}`);
  socket = new WebSocket(process.env.CONFORM_URL, protocols, { autoPong: !broken("no-pong") });
  socket.addEventListener("message", ({ data }) => hear(String(data)));
  socket.addEventListener("error", () => {});
  socket.addEventListener("close", ({ code }) => {
    if (over) return;
    if (broken("never-comes-back") || (FINAL.has(code) && !broken("always-comes-back"))) {
      if (!broken("hides-the-close-code")) say("closed", { code });
      over = true;
      return;
    }
    setTimeout(open, broken("comes-back-at-once") ? 0 : Math.max(20, retryAfterMs));
  });
}

open();
