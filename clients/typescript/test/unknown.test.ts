import assert from "node:assert/strict";
import { test } from "node:test";
import type { UnknownMessage } from "agent-world-client";
import { next, refusal, selected } from "./support/client.js";
import { startProxy } from "./support/proxy.js";
import { startServer } from "./support/server.js";

const envelope = { id: "019bc0d1-7a12-7c3e-9f21-3a5d8c6e1b12", timestamp: "2026-01-15T10:00:00.000Z" };
const event = { id: envelope.id, timestamp: envelope.timestamp, sender: "world", senderType: "world" };

test("what a newer server sends is delivered as unknown, and disturbs nothing", async (t) => {
  const server = await startServer(t);
  const proxy = await startProxy(t, server);
  const { client, world } = await selected(t, proxy, "solo");
  const told: UnknownMessage[] = [];
  client.on("unknown", (message) => told.push(message));
  const frames = [
    { ...envelope, type: "weather", payload: { sky: "blue" } },
    { ...envelope, type: "toString", payload: {} },
    { ...envelope, type: "status", payload: { type: "raining", message: "", data: {} } },
    { ...envelope, type: "event_stream", payload: { worldName: "test", eventType: "smell", event: { ...event, type: "smell", payload: {} } } },
    { ...envelope, type: "event_stream", payload: { worldName: "test", eventType: "world", event: { ...event, type: "world", payload: { action: "world-split" } } } },
    { ...envelope, type: "pong", payload: null },
    { ...envelope, type: "event_stream", payload: {} },
  ];
  for (const frame of frames) proxy.inject(frame);
  const inWorld = next(world, "unknown", ({ frame }) => frame.type === "weather");
  await world.chat("Hello").settled();
  assert.equal((await inWorld).frame.payload.sky, "blue");
  assert.deepEqual(told, frames.map((frame) => ({ type: "unknown", frame })));
});

test("an unknown durable event moves the cursor", async (t) => {
  const server = await startServer(t);
  const proxy = await startProxy(t, server);
  const { world } = await selected(t, proxy, "solo");
  const [epoch, seq] = world.cursor.split(":");
  const unknown = next(world, "unknown");
  proxy.inject({ ...envelope, seq: Number(seq) + 1, type: "weather", payload: {} });
  await unknown;
  assert.equal(world.cursor, `${epoch}:${Number(seq) + 1}`);
});

test("what is no frame is reported, and disturbs nothing", async (t) => {
  const server = await startServer(t);
  const proxy = await startProxy(t, server);
  const { client, world } = await selected(t, proxy, "solo");
  const errors: string[] = [];
  client.on("error", (error) => errors.push(error.code));
  const garbage = ["{", "null", "[]", "17", '{"type": 3}', '{"payload": {}}', ""];
  for (const text of garbage) proxy.inject(text);
  await world.chat("Hello").settled();
  assert.deepEqual(errors, garbage.map(() => "UNEXPECTED_REPLY"));
});

test("fields that are not known stay where they are", async (t) => {
  const server = await startServer(t);
  const proxy = await startProxy(t, server);
  proxy.filter = (text) => text.replace('"turnLimit":', '"mood":"good","turnLimit":');
  const { world } = await selected(t, proxy, "solo");
  assert.deepEqual(world.info.worldState, { name: "test", mood: "good", turnLimit: 5 });
});

test("an answer that is not understood rejects its request", async (t) => {
  const server = await startServer(t);
  const proxy = await startProxy(t, server);
  const { client } = await selected(t, proxy, "solo");
  proxy.filter = (text) => text.replace('"type":"pong"', '"type":"pang"');
  const unknown = next(client, "unknown");
  assert.equal(await refusal(client.ping()), "UNEXPECTED_REPLY");
  assert.equal((await unknown).frame.type, "pang");
});

test("a listener that throws disturbs neither others nor the connection", async (t) => {
  const server = await startServer(t);
  const { world } = await selected(t, server, "solo");
  const thrown: unknown[] = [];
  const before = process.listeners("uncaughtException");
  process.removeAllListeners("uncaughtException");
  process.on("uncaughtException", (error) => thrown.push(error));
  t.after(() => {
    process.removeAllListeners("uncaughtException");
    for (const listener of before) process.on("uncaughtException", listener);
  });
  world.on("message", () => {
    throw new Error("mine");
  });
  let heard = 0;
  const stop = world.on("message", () => (heard += 1));
  assert.equal((await world.chat("Hello").settled()).length, 1);
  assert.equal(heard, 2);
  stop();
  await world.chat("Hello").settled();
  assert.equal(heard, 2);
  assert.deepEqual(thrown.map(String), Array.from({ length: 4 }, () => "Error: mine"));
});
