import assert from "node:assert/strict";
import { test } from "node:test";
import { connect } from "agent-world-client";
import { WebSocket } from "ws";
import { becomes, next, refusal, selected } from "./support/client.js";
import { startProxy } from "./support/proxy.js";
import { startServer } from "./support/server.js";

test("aborting a chat cancels its replies, and the chat ends by itself", async (t) => {
  const server = await startServer(t);
  const { world } = await selected(t, server);
  const controller = new AbortController();
  const other = world.chat("@bob SLOW");
  let text = "";
  for await (const reply of world.chat("LONG", { targetAgent: "ada", signal: controller.signal })) {
    for await (const piece of reply) {
      text += piece;
      if (text.length > 20) controller.abort();
    }
    assert.equal(reply.finishReason, "cancelled");
    assert.equal(reply.content, text);
  }
  assert.ok(text.length > 20 && text.length < 1000, `${text.length} characters`);
  assert.deepEqual((await other.settled()).map(({ finishReason }) => finishReason), ["stop"], "others go on");
});

test("aborting before the acceptance cancels when it comes", async (t) => {
  const server = await startServer(t);
  const { world } = await selected(t, server, "solo");
  const controller = new AbortController();
  const chat = world.chat("HANG", { signal: controller.signal });
  controller.abort();
  const replies = await chat.settled();
  for (const reply of replies) assert.equal(reply.finishReason, "cancelled");
  assert.ok(chat.messageId);
});

test("aborting a waiting chat drops its turn", async (t) => {
  const server = await startServer(t);
  const { world } = await selected(t, server, "solo");
  const first = world.chat("HANG");
  await next(world, "reply");
  const controller = new AbortController();
  const waiting = world.chat("Hello", { signal: controller.signal });
  await waiting.accepted;
  controller.abort();
  assert.deepEqual(await waiting.settled(), []);
  assert.deepEqual((await first.cancel()).messageIds.length, 1);
  assert.equal((await first.settled())[0]?.finishReason, "cancelled");
});

test("a retry is aborted as a chat is", async (t) => {
  const server = await startServer(t);
  const { world } = await selected(t, server, "solo");
  const first = world.chat("HANG");
  const reply = await next(world, "reply");
  await first.cancel();
  await first.settled();
  const controller = new AbortController();
  const again = world.retry(reply, { signal: controller.signal });
  const second = await next(world, "reply");
  controller.abort();
  assert.deepEqual((await again.settled()).map(({ messageId, finishReason }) => [messageId, finishReason]), [[second.messageId, "cancelled"]]);
});

test("what was not sent is not sent", async (t) => {
  const server = await startServer(t);
  const proxy = await startProxy(t, server);
  const { client, world } = await selected(t, proxy, "solo");
  assert.equal(await refusal(world.chat("never", { signal: AbortSignal.abort(new Error("too late")) }).settled()), "Error: too late");
  proxy.refusing = true;
  const lost = becomes(client, "reconnecting");
  proxy.cut();
  await lost;
  const controller = new AbortController();
  const chat = world.chat("never", { signal: controller.signal });
  controller.abort(new Error("changed my mind"));
  assert.equal(await refusal(chat.settled()), "Error: changed my mind");
  proxy.refusing = false;
  await becomes(client, "open");
  const said: string[] = [];
  world.on("message", (event) => said.push(event.payload.content));
  await world.chat("Hello").settled();
  assert.deepEqual(said, ["Hello", "ada heard: Hello"]);
});

test("a chat that is aborted while the connection is away is cancelled when it is back, however long that takes", async (t) => {
  const server = await startServer(t);
  const proxy = await startProxy(t, server);
  const { client, world } = await selected(t, { url: proxy.url, requestTimeoutMs: 100 }, "solo");
  const controller = new AbortController();
  const chat = world.chat("HANG", { signal: controller.signal });
  await next(world, "reply");
  proxy.refusing = true;
  proxy.cut();
  controller.abort();
  assert.equal(await refusal(client.ping()), "TIMEOUT", "what is waited for is given up");
  proxy.refusing = false;
  assert.deepEqual((await chat.settled()).map(({ finishReason }) => finishReason), ["cancelled"]);
});

test("connecting can be aborted, and times out", async (t) => {
  const server = await startServer(t);
  const proxy = await startProxy(t, server);
  proxy.stalled = true;
  const options = { url: proxy.url, WebSocket };
  await assert.rejects(connect({ ...options, signal: AbortSignal.abort(new Error("no")) }), /no/);
  await assert.rejects(connect({ ...options, signal: AbortSignal.timeout(50) }), { name: "TimeoutError" });
  assert.equal(await refusal(connect({ ...options, connectTimeoutMs: 50 })), "TIMEOUT");
});
