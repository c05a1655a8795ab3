import assert from "node:assert/strict";
import { test } from "node:test";
import { AgentWorldError, REQUESTS, REQUEST_ERRORS } from "agent-world-client";
import { WebSocket } from "ws";
import { connected, next, refusal, selected } from "./support/client.js";
import { startProxy } from "./support/proxy.js";
import { startServer } from "./support/server.js";

test("each request settles with the reply of its type", async (t) => {
  const sent: { id: string; type: keyof typeof REQUESTS; idempotencyKey?: string }[] = [];
  class Recording extends WebSocket {
    override send(data: unknown): void {
      sent.push(JSON.parse(String(data)) as (typeof sent)[number]);
      super.send(String(data));
    }
  }
  const server = await startServer(t);
  const { client, world } = await selected(t, { url: server.url, WebSocket: Recording }, "solo");
  const { info } = world;
  assert.deepEqual([info.worldName, info.templateName, info.persistent, info.agents[0]?.name], ["test", "solo", true, "ada"]);

  assert.ok((await client.ping()) >= 0);
  assert.deepEqual(await client.request("ping", {}), {});

  const hanging = world.chat("HANG");
  const reply = await next(world, "reply");
  assert.deepEqual(await world.cancel(reply.messageId), { messageIds: [reply.messageId], dropped: 0 });
  assert.deepEqual((await hanging.settled()).map(({ finishReason }) => finishReason), ["cancelled"]);
  assert.deepEqual(await world.cancel(), { messageIds: [], dropped: 0 });

  const [failed] = await world.chat("FAIL").settled();
  const retried = await world.retry(failed!).accepted;
  assert.notEqual(retried.messageId, failed!.messageId);

  const updated = await world.updateAgent("ADA", { temperature: 0.5, systemPrompt: null });
  assert.deepEqual([updated.agentName, updated.config.temperature, updated.duplicate], ["ada", 0.5, false]);

  assert.equal((await world.reload()).worldName, "test");

  const subscribed = await world.subscribe({ eventTypes: ["message", "world", "sse", "system"] });
  assert.equal(subscribed.from, subscribed.head);
  const routed = next(world, "system", (event) => event.payload.action === "routed");
  await world.chat("Hello").settled();
  assert.deepEqual((await routed).payload.answering, ["ada"]);
  assert.equal(await world.unsubscribe(), undefined);

  const types = new Set(sent.map(({ type }) => type));
  assert.deepEqual([...types].toSorted(), Object.keys(REQUESTS).toSorted(), "every message was sent");
  for (const { type, idempotencyKey } of sent) {
    assert.equal(idempotencyKey !== undefined, REQUESTS[type].idempotent, `the key of ${type}`);
  }
  const keys = sent.flatMap(({ idempotencyKey }) => idempotencyKey ?? []);
  assert.equal(new Set(keys).size, keys.length, "each request has a key of its own");
  assert.equal(new Set(sent.map(({ id }) => id)).size, sent.length, "each frame has an id of its own");
});

test("what is refused rejects with the server's code", async (t) => {
  const server = await startServer(t);
  const { client, world } = await selected(t, server);
  const unknownId = "019bc0d1-7a12-7c3e-9f21-3a5d8c6e1b12";
  const cases: [string, keyof typeof REQUEST_ERRORS, () => Promise<unknown>, string][] = [
    ["empty text", "chat_send", () => world.chat("").accepted, "INVALID_MESSAGE"],
    ["text that is too long", "chat_send", () => world.chat("x".repeat(32_769)).accepted, "INVALID_MESSAGE"],
    ["an unknown field", "chat_send", () => world.chat("hi", { colour: "red" } as never).accepted, "INVALID_MESSAGE"],
    ["a bad key", "chat_send", () => world.chat("hi", { idempotencyKey: "with space" }).accepted, "INVALID_MESSAGE"],
    ["an unknown target", "chat_send", () => world.chat("hi", { targetAgent: "zoe" }).accepted, "AGENT_NOT_FOUND"],
    ["an unknown sender", "chat_send", () => world.chat("hi", { sender: "zoe" }).accepted, "AGENT_NOT_FOUND"],
    ["an unknown reply", "chat_retry", () => world.retry({ messageId: unknownId, rootId: unknownId }).accepted, "MESSAGE_NOT_FOUND"],
    ["an unknown message", "chat_cancel", () => world.cancel(unknownId), "MESSAGE_NOT_FOUND"],
    ["no id at all", "chat_cancel", () => world.cancel("nonsense"), "INVALID_MESSAGE"],
    ["an unknown agent", "agent_update", () => world.updateAgent("zoe", {}), "AGENT_NOT_FOUND"],
    ["a bad temperature", "agent_update", () => world.updateAgent("ada", { temperature: 9 }), "INVALID_MESSAGE"],
    ["an address that is not allowed", "agent_update", () => world.updateAgent("ada", { baseUrl: "http://169.254.1.1/" }), "INVALID_MESSAGE"],
    ["a foreign cursor", "event_subscribe", () => world.subscribe({ after: "aaaaaaaaaaaaaaaa:1" }), "UNRESUMABLE"],
    ["an unknown template", "world_select", () => client.selectWorld({ templateName: "none", worldName: "other" }), "TEMPLATE_NOT_FOUND"],
    ["another template", "world_select", () => client.selectWorld({ templateName: "solo", worldName: "test" }), "CONFLICT"],
    ["a bad name", "world_select", () => client.selectWorld({ templateName: "solo", worldName: "../x" }), "INVALID_MESSAGE"],
  ];
  for (const [what, type, request, code] of cases) {
    assert.equal(await refusal(request()), code, what);
    assert.ok((REQUEST_ERRORS[type] as readonly string[]).includes(code), `${type} lists ${code}`);
  }
  assert.ok(cases.length >= 16);
  assert.equal(client.world, world, "a selection that fails changes nothing");
  assert.ok((await client.ping()) >= 0, "the connection lives");
});

test("an error says where the request is wrong", async (t) => {
  const server = await startServer(t);
  const { world } = await selected(t, server);
  const error: unknown = await world.updateAgent("ada", { temperature: 9 }).catch((reason: unknown) => reason);
  assert.ok(error instanceof AgentWorldError && error instanceof Error);
  assert.deepEqual([error.name, error.retryable], ["AgentWorldError", false]);
  assert.match(error.details?.errors?.[0]?.pointer ?? "", /\/config\/temperature$/);
});

test("without a world the server says so", async (t) => {
  const server = await startServer(t);
  const client = await connected(t, server);
  assert.equal(await refusal(client.request("chat_send", { content: "hi" })), "CONFLICT");
});

test("too many at once: OVERLOADED and RATE_LIMITED are retryable", async (t) => {
  const server = await startServer(t, "--chat-rate", "1", "--chat-burst", "40");
  const { world } = await selected(t, server, "solo");
  const codes: Record<string, boolean> = {};
  await Promise.all(
    Array.from({ length: 50 }, () =>
      world.chat("HANG").accepted.catch((error: AgentWorldError) => {
        codes[error.code] = error.retryable;
        if (error.code === "RATE_LIMITED") assert.ok(error.retryAfterMs! > 0);
      }),
    ),
  );
  assert.deepEqual(codes, { OVERLOADED: true, RATE_LIMITED: true });
});

test("another world closes the one before; its chats fail, and its replies go on", async (t) => {
  const server = await startServer(t);
  const { client, world } = await selected(t, server, "solo");
  const chat = world.chat("SLOW");
  await chat.accepted;
  const closed = next(world, "closed");
  const second = await client.selectWorld({ templateName: "solo", worldName: "second" });
  assert.equal((await closed).code, "CLOSED");
  assert.equal(await refusal(chat.settled()), "CLOSED");
  assert.equal(await refusal(world.chat("hi").accepted), "CLOSED");
  assert.equal(await refusal(world.reload()), "CLOSED");
  assert.equal(client.world, second);
  await second.chat("Hello").settled();

  const back = await client.selectWorld({ templateName: "solo", worldName: "test", after: world.cursor });
  const event = await next(back, "message", ({ sender }) => sender === "ada");
  assert.ok(event.payload.content.endsWith("twelve"));
});

test("a key that is given again is answered as before, and nothing happens twice", async (t) => {
  const server = await startServer(t);
  const { client, world } = await selected(t, server, "solo");
  const first = world.chat("Hello", { idempotencyKey: "mine" });
  const replies = await first.settled();
  const repeated = world.chat("Hello", { idempotencyKey: "mine" });
  const [one, two] = [await first.accepted, await repeated.accepted];
  assert.deepEqual([one.duplicate, two.duplicate, two.messageId], [false, true, one.messageId]);
  assert.deepEqual(await repeated.settled(), replies, "it has the same replies");
  assert.equal(await refusal(world.chat("Other", { idempotencyKey: "mine" }).accepted), "CONFLICT");

  const later = await client.selectWorld({ templateName: "solo", worldName: "test" });
  const unheard = later.chat("Hello", { idempotencyKey: "mine" });
  assert.equal((await unheard.accepted).duplicate, true);
  assert.equal(await refusal(unheard.settled()), "NOT_SUBSCRIBED", "what was before the subscription is not waited for");

  const [epoch] = world.cursor.split(":");
  const replayed = await client.selectWorld({ templateName: "solo", worldName: "test", after: `${epoch}:0` });
  const heard = await replayed.chat("Hello", { idempotencyKey: "mine" }).settled();
  assert.deepEqual(heard.map(({ content }) => content), ["ada heard: Hello"]);
});

test("chats need the events that they are made of", async (t) => {
  const server = await startServer(t);
  const { world } = await selected(t, server, "solo");
  const running = world.chat("SLOW");
  await running.accepted;
  await world.subscribe({ eventTypes: ["message"] });
  assert.equal(await refusal(running.settled()), "NOT_SUBSCRIBED");
  const deaf = world.chat("Hello");
  assert.equal((await deaf.accepted).duplicate, false, "it is said all the same");
  assert.equal(await refusal(deaf.settled()), "NOT_SUBSCRIBED");
  await world.unsubscribe();
  assert.equal(await refusal(world.chat("Hello").settled()), "NOT_SUBSCRIBED");
  await world.subscribe();
  assert.equal((await world.chat("Hello").settled()).length, 1);
});

test("a subscription replays the history, each event once", async (t) => {
  const server = await startServer(t);
  const { world } = await selected(t, server, "solo");
  await world.chat("one").settled();
  await world.chat("two").settled();
  const end = world.cursor;
  const said: string[] = [];
  world.on("message", (event) => said.push(event.payload.content));
  const caughtUp = next(world, "caught_up");
  const { from, head } = await world.subscribe({ after: `${end.split(":")[0]}:0` });
  assert.ok(from.endsWith(":0") && head === end);
  assert.equal(await caughtUp, end);
  assert.deepEqual(said, ["one", "ada heard: one", "two", "ada heard: two"]);
  assert.equal(world.cursor, end);
});

test("a request that is too large is refused, and the connection comes back", async (t) => {
  const server = await startServer(t);
  const { client, world } = await selected(t, server, "solo");
  const huge = client.request("agent_update", { agentName: "ada", config: { systemPrompt: "x".repeat(100_000) } });
  assert.equal(await refusal(huge), "PAYLOAD_TOO_LARGE");
  assert.equal((await world.chat("Hello").settled()).length, 1);
  assert.equal(client.state.status, "open");
});

test("requests wait no longer than they should", async (t) => {
  const server = await startServer(t);
  const proxy = await startProxy(t, server);
  const { client, world } = await selected(t, { url: proxy.url, requestTimeoutMs: 150, maxPending: 2 });
  proxy.stalled = true;
  const begin = Date.now();
  assert.equal(await refusal(client.ping()), "TIMEOUT");
  assert.ok(Date.now() - begin >= 145);
  assert.equal(await refusal(client.ping({ timeoutMs: 20 })), "TIMEOUT");
  assert.equal(await refusal(world.chat("Hello", { timeoutMs: 20 }).settled()), "TIMEOUT");

  const controller = new AbortController();
  const waiting = [client.ping({ signal: controller.signal }), client.ping({ signal: controller.signal })];
  assert.equal(await refusal(client.ping()), "TOO_MANY_REQUESTS");
  controller.abort(new Error("changed my mind"));
  for (const ping of waiting) await assert.rejects(ping, /changed my mind/);
  await assert.rejects(client.ping({ signal: AbortSignal.abort(new Error("never began")) }), /never began/);

  proxy.stalled = false;
  assert.ok((await client.ping()) >= 0, "late answers disturb nobody");
});

test("a closed client refuses everything", async (t) => {
  const server = await startServer(t);
  const { client, world } = await selected(t, server);
  const waiting = client.ping();
  const chat = world.chat("SLOW");
  client.close();
  client.close();
  assert.deepEqual(client.state, { status: "closed", cause: null });
  assert.equal(await refusal(waiting), "CLOSED");
  assert.equal(await refusal(chat.settled()), "CLOSED");
  assert.equal(await refusal(client.ping()), "CLOSED");
  assert.equal(await refusal(world.chat("hi").accepted), "CLOSED");
  assert.equal(client.world, undefined);
});
