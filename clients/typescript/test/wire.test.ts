// What goes over the wire, as an inspector sees it.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { WireFrame } from "agent-world-client";
import { becomes, connected } from "./support/client.js";
import { startProxy } from "./support/proxy.js";
import { startServer } from "./support/server.js";

interface Frame {
  id: string;
  type: string;
  replyTo?: string;
  payload?: { type?: string };
}

const framesOf = (wire: WireFrame[], direction: WireFrame["direction"]): Frame[] =>
  wire.filter((frame) => frame.direction === direction).map(({ text }) => JSON.parse(text) as Frame);

test("every frame is heard, from the greeting on, the client's pings and those of a new connection too", async (t) => {
  const server = await startServer(t);
  const proxy = await startProxy(t, server);
  const wire: WireFrame[] = [];
  const client = await connected(t, { url: proxy.url, pingIntervalMs: 20, onFrame: (frame) => wire.push(frame) });
  const world = await client.selectWorld({ templateName: "stage", worldName: "wire", persistent: true });
  const starts: unknown[] = [];
  world.on("reply", (reply, { seq, payload }) => starts.push([reply.messageId === payload.messageId, typeof seq]));
  await world.chat("Hello").settled();
  assert.ok(starts.length > 0);
  for (const start of starts) assert.deepEqual(start, [true, "number"], "the start of a reply has its place in the log");

  const heard = framesOf(wire, "server");
  assert.equal(heard[0]?.payload?.type, "connected");
  const sent = framesOf(wire, "client");
  assert.deepEqual(sent.filter(({ type }) => type !== "ping").map(({ type }) => type), ["world_select", "chat_send"]);
  for (const { id, type } of sent.filter(({ type }) => type !== "ping")) {
    const answers = wire.filter(({ text }) => (JSON.parse(text) as Frame).replyTo === id);
    assert.equal(answers.length, 1, `${type} is answered once`);
    const request = wire.findIndex(({ text }) => (JSON.parse(text) as Frame).id === id);
    assert.ok(request < wire.indexOf(answers[0]!), `${type} stands before its answer`);
  }
  for (const { at } of wire) assert.match(at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);

  const before = wire.length;
  const later: WireFrame[] = [];
  const stop = client.on("frame", (frame) => later.push(frame));
  const lost = becomes(client, "reconnecting");
  proxy.cut();
  await lost;
  await becomes(client, "open");
  assert.deepEqual(framesOf(wire.slice(before), "client").filter(({ type }) => type !== "ping").map(({ type }) => type), ["world_select"]);
  assert.deepEqual(later, wire.slice(before));
  stop();
});

test("silence is broken by pings that are heard", async (t) => {
  const server = await startServer(t);
  const wire: WireFrame[] = [];
  const pong = new Promise<void>((resolve) => {
    void connected(t, {
      url: server.url,
      pingIntervalMs: 10,
      onFrame: (frame) => {
        wire.push(frame);
        if ((JSON.parse(frame.text) as Frame).type === "pong") resolve();
      },
    });
  });
  await pong;
  assert.equal(framesOf(wire, "client")[0]?.type, "ping");
});

test("a listener may close the client in the middle of a request", async (t) => {
  const server = await startServer(t);
  const client = await connected(t, server);
  client.on("frame", ({ direction }) => {
    if (direction === "client") client.close();
  });
  await assert.rejects(client.ping(), { code: "CLOSED" });
});
