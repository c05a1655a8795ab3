// The pieces that no server can be made to try out.

import assert from "node:assert/strict";
import { test } from "node:test";
import { CLOSE_CODES, type ChatResponse, ERROR_CODES, REQUESTS, REQUEST_ERRORS } from "agent-world-client";
import { BUNDLE, FRAMES, frameValidator, schemaOf } from "agent-world-client/schemas";
import { validate } from "./support/client.js";

// What is not exported is tested where it lies.
const dist = new URL("../dist/", import.meta.url);
const { backoff } = (await import(new URL("backoff.js", dist).href)) as typeof import("../dist/backoff.js");
const { Reply } = (await import(new URL("reply.js", dist).href)) as typeof import("../dist/reply.js");
const { Chat } = (await import(new URL("chat.js", dist).href)) as typeof import("../dist/chat.js");
const { Roots } = (await import(new URL("roots.js", dist).href)) as typeof import("../dist/roots.js");
const { readEvents } = (await import(new URL("sse.js", dist).href)) as typeof import("../dist/sse.js");
const { httpUrl, webSocketUrl } = (await import(new URL("socket.js", dist).href)) as typeof import("../dist/socket.js");

test("the pauses double, have a bound, and are spread", () => {
  const longest = (attempt: number, retryAfterMs = 0): number => backoff(attempt, {}, retryAfterMs, () => 1);
  assert.deepEqual([1, 2, 3, 6, 7, 1000].map((attempt) => longest(attempt)), [250, 500, 1000, 8000, 10_000, 10_000]);
  assert.equal(backoff(5, {}, 0, () => 0), 0);
  assert.equal(backoff(1, {}, 2000, () => 0), 2000, "never less than the server asks for");
  assert.equal(longest(1, 2000), 2250);
  assert.equal(backoff(9, { initialDelayMs: 10, maxDelayMs: 30 }, 0, () => 1), 30);
});

test("addresses: of the WebSocket and of HTTP", () => {
  for (const [given, ws, http] of [
    ["http://localhost:3001", "ws://localhost:3001/ws", "http://localhost:3001/"],
    ["https://a.example/", "wss://a.example/ws", "https://a.example/"],
    ["ws://localhost:3001/ws", "ws://localhost:3001/ws", "http://localhost:3001/"],
    ["wss://a.example/chat/ws", "wss://a.example/chat/ws", "https://a.example/chat/"],
    ["https://a.example/agents", "wss://a.example/agents/ws", "https://a.example/agents"],
    ["https://a.example/agents/", "wss://a.example/agents/ws", "https://a.example/agents/"],
    ["http://a.example/ws", "ws://a.example/ws", "http://a.example/"],
  ]) {
    assert.equal(webSocketUrl(given!), ws);
    assert.equal(httpUrl(given!), http);
  }
});

type InnerReply = { take(payload: ChatResponse): void; readonly content: string };

test("deltas: appended, replacing, overlapping, beyond the end, behind it", () => {
  const payload = { worldName: "w", agentName: "a", messageId: "m", inReplyTo: "i", rootId: "r", content: "", offset: 0, complete: false };
  const take = (...pieces: Partial<ChatResponse>[]): InnerReply => {
    const reply = new (Reply as unknown as new (payload: ChatResponse) => InnerReply)(payload);
    for (const piece of pieces) reply.take({ ...payload, ...piece });
    return reply;
  };
  const end = (finishReason: ChatResponse["finishReason"], content: string): Partial<ChatResponse> => ({ complete: true, finishReason, content });
  const cases: [string, Partial<ChatResponse>[], string][] = [
    ["appended", [{ content: "Hel" }, { content: "lo", offset: 3 }], "Hello"],
    ["counted in code points", [{ content: "🌍" }, { content: "🌍!", offset: 1 }, { content: "?", offset: 3 }], "🌍🌍!?"],
    ["replaced from the beginning", [{ content: "Hel" }, { content: "Hello" }], "Hello"],
    ["overlapping", [{ content: "🌍ello" }, { content: "lo!", offset: 3 }], "🌍ello!"],
    ["beyond the end: waits for the end", [{ content: "Hel" }, { content: "!", offset: 9 }], "Hel"],
    ["a repeated start says nothing", [{ content: "Hel" }, { content: "" }], "Hel"],
    ["the end has the whole", [{ content: "Hel" }, end("stop", "Hello")], "Hello"],
    ["an interrupted reply keeps what was heard", [{ content: "Hel" }, end("interrupted", "")], "Hel"],
    ["unless the server knows better", [{ content: "Hel" }, end("interrupted", "Hell")], "Hell"],
    ["nothing comes behind the end", [end("stop", "Hello"), { content: "x" }, end("error", "y")], "Hello"],
  ];
  for (const [what, pieces, text] of cases) assert.equal(take(...pieces).content, text, what);
});

test("a question that is followed is not forgotten, whatever else is asked", async () => {
  const answer = { messageId: "mine", seq: 5, duplicate: false, answering: ["a"] };
  const chat = new (Chat as unknown as new (...values: unknown[]) => InstanceType<typeof Chat>)(Promise.resolve(answer), () => {});
  const roots = new Roots();
  roots.open(chat);
  roots.begin(chat, "mine", answer, 0, 4);
  const reply = { worldName: "w", agentName: "a", inReplyTo: "i", content: "x", offset: 0, complete: true, finishReason: "stop" } as const;
  for (let other = 0; other < 2_000; other += 1) roots.take({ ...reply, messageId: `m${other}`, rootId: `r${other}` });
  roots.take({ ...reply, messageId: "late", rootId: "mine" });
  roots.settle("mine", 9);
  assert.deepEqual((await chat.settled()).map(({ messageId }) => messageId), ["late"]);
  assert.equal(roots.root("r0").replies.length, 0, "others are");
});

test("server-sent events, however they are cut", async () => {
  const text = ":hi\r\nid: e:1\r\ndata: {\"a\":\"ü🌍\"}\r\n\r\n: beat\n\ndata:one\ndata: two\n\nid:e:3\rdata:three\r\rdata: lost";
  const expected = [{ id: "e:1", data: '{"a":"ü🌍"}' }, { id: undefined, data: "one\ntwo" }, { id: "e:3", data: "three" }];
  const bytes = new TextEncoder().encode(text);
  for (let size = 1; size <= bytes.length; size += 1) {
    let at = 0;
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        if (at >= bytes.length) return controller.close();
        controller.enqueue(bytes.slice(at, at + size));
        at += size;
      },
    });
    const found = [];
    for await (const event of readEvents(body)) found.push(event);
    assert.deepEqual(found, expected, `${size} bytes at a time`);
  }
});

test("the schemas tell good frames from bad ones", () => {
  const pong = { id: "019bc0d1-7a12-7c3e-9f21-3a5d8c6e1b12", type: "pong", timestamp: "2026-01-15T10:00:00.000Z", payload: {} };
  assert.deepEqual(validate(pong), []);
  assert.deepEqual(validate({ ...pong, future: 1 }), [], "fields that are not known are no mistake");
  assert.match(validate({ ...pong, payload: 1 })[0] ?? "", /^\/payload must be object/);
  assert.equal(validate({ ...pong, type: "weather" }).length, 1);
  let compiled = 0;
  const counting = frameValidator(() => ((compiled += 1), () => true));
  counting(pong);
  counting(pong);
  assert.equal(compiled, 1);
  assert.ok(Object.keys(FRAMES).length >= 14);
  assert.ok(Object.keys(BUNDLE["$defs"] as object).length > 100);
  for (const definition of Object.values(FRAMES)) assert.ok(definition in (BUNDLE["$defs"] as object), definition);
  assert.equal(schemaOf("ChatSend")["$ref"], "#/$defs/ChatSend");
});

test("the tables are those of the protocol", () => {
  assert.equal(CLOSE_CODES[4001].reconnect, false);
  assert.equal(CLOSE_CODES[1001].reconnect, true);
  assert.equal(ERROR_CODES.RATE_LIMITED.status, 429);
  assert.equal(REQUESTS.chat_send.idempotent, true);
  assert.deepEqual(Object.keys(REQUESTS), Object.keys(REQUEST_ERRORS));
  for (const codes of Object.values(REQUEST_ERRORS)) for (const code of codes) assert.ok(code in ERROR_CODES);
});
