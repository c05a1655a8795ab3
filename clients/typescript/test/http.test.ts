import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { AgentWorldError, type ServerMessage } from "agent-world-client";
import * as http from "agent-world-client/http";
import { refusal, validate } from "./support/client.js";
import { home, startServer } from "./support/server.js";

const catalogue = JSON.parse(readFileSync(`${home}../../generated/catalogue.json`, "utf8")) as { routes: { operationId: string }[] };

test("every route has a function, and each answers", async (t) => {
  const { url } = await startServer(t);
  const called = new Set<string>();
  const routes = new Proxy(http, {
    get: (target, name: string) => (called.add(name), target[name as keyof typeof target]),
  });
  const { sessionToken: token, userId } = await routes.createSession({ url });
  assert.match(userId, /^anon_/);
  const me = { url, token };
  const worldName = "my world";

  assert.equal((await routes.createWorld(me, { worldName, body: { templateName: "solo", persistent: true, title: "Mein Zuhause" } })).title, "Mein Zuhause");
  assert.deepEqual((await routes.listSessionWorlds(me)).map((world) => world.worldName), [worldName]);
  assert.ok((await routes.listTemplates({ url })).some(({ name }) => name === "stage"));
  assert.equal((await routes.updateWorld(me, { worldName, body: { turnLimit: 7, title: null } })).worldState.turnLimit, 7);
  assert.equal((await routes.getWorld(me, { worldName })).title, undefined);
  assert.equal((await routes.getWorld({ url }, { worldName: "stage" })).kind, "template");

  assert.equal((await routes.createAgent(me, { worldName, body: { name: "eve", config: { provider: "script" } } })).name, "eve");
  assert.deepEqual((await routes.listAgents(me, { worldName })).map(({ name }) => name), ["ada", "eve"]);
  assert.equal((await routes.updateAgent(me, { worldName, agentName: "eve", idempotencyKey: "k", body: { status: "inactive", config: { temperature: 0 } } })).config.temperature, 0);
  assert.equal((await routes.getAgent(me, { worldName, agentName: "eve" })).status, "inactive");
  assert.equal(await routes.deleteAgent(me, { worldName, agentName: "eve" }), undefined);

  const stream = await routes.chat(me, { worldName, body: { message: "Hello" } });
  const frames: ServerMessage[] = [];
  let reply = "";
  for await (const frame of stream) {
    assert.notEqual(frame.type, "unknown");
    if (frame.type === "unknown") continue;
    assert.deepEqual(validate(frame), []);
    if (frame.type === "chat_response" && frame.payload.complete) reply = frame.payload.messageId;
    frames.push(frame);
  }
  assert.deepEqual(frames.slice(0, 3).map(({ type }) => type), ["status", "status", "event_stream"]);
  const last = frames.at(-1)!;
  assert.ok(last.type === "event_stream" && last.payload.event.type === "world" && last.payload.event.payload.action === "settled");
  assert.equal(stream.cursor?.split(":")[1], String(last.seq), "the last frame's position");
  assert.deepEqual(await routes.cancelReply(me, { worldName, messageId: reply }), { messageIds: [], dropped: 0 });

  const page = await routes.listEvents(me, { worldName, types: "message", limit: 1 });
  assert.equal(page.events.length, 1);
  const after = page.prev;
  const tail = await routes.listEventsStream(me, { worldName, lastEventId: `${page.cursor.split(":")[0]}:0` });
  for await (const frame of tail) {
    if (frame.type === "event_stream" && frame.seq === last.seq) break;
  }
  assert.ok(after);

  const log = await routes.exportWorld(me, { worldName });
  assert.ok((await log.text()).split("\n").length > 5);
  const copy = await routes.importWorld(me, { worldName: "copy", body: log });
  assert.deepEqual([copy.worldName, copy.agents.length], ["copy", 1]);
  assert.equal(await routes.deleteWorld(me, { worldName: "copy" }), undefined);

  assert.equal((await routes.getHealth({ url })).status, "ok");
  assert.match(await routes.getMetrics({ url }), /^# /);
  const console = await routes.getConsole({ url });
  assert.match(console, /<html/i);
  // Only the page knows the names of its assets.
  const file = /\/assets\/([^"]+\.svg)/.exec(console)?.[1] ?? "";
  assert.match(await routes.getAsset({ url }, { file }), /^<svg/);
  assert.match(await routes.getDocs({ url }), /<html/i);
  assert.equal((await routes.getSchema({ url }, { path: "client/chat_send.json" }))["title"], "ChatSend");
  for (const document of [routes.getOpenapi, routes.getOpenapi30, routes.getAsyncapi, routes.getAsyncapiClient, routes.getCatalogue]) {
    assert.ok(Object.keys(await document({ url })).length > 3);
  }
  assert.equal(await routes.deleteSession(me), undefined);
  assert.equal(await refusal(routes.listSessionWorlds(me)), "UNAUTHENTICATED");

  for (const { operationId } of catalogue.routes) assert.ok(called.has(operationId), `${operationId} was called`);
  assert.ok(catalogue.routes.length >= 27);
});

test("a problem is a typed error", async (t) => {
  const { url } = await startServer(t);
  const { sessionToken: token } = await http.createSession({ url });
  const me = { url, token };
  const cases: [string, number, () => Promise<unknown>][] = [
    ["WORLD_NOT_FOUND", 404, () => http.getWorld(me, { worldName: "none" })],
    ["TEMPLATE_NOT_FOUND", 404, () => http.createWorld(me, { worldName: "w", body: { templateName: "none" } })],
    ["INVALID_MESSAGE", 400, () => http.createWorld(me, { worldName: "w", body: {} as never })],
    ["INVALID_MESSAGE", 400, () => http.getWorld(me, { worldName: "../x" })],
    ["PERMISSION_DENIED", 403, () => http.deleteWorld(me, { worldName: "stage" })],
    ["UNAUTHENTICATED", 401, () => http.listSessionWorlds({ url })],
    ["NOT_FOUND", 404, () => http.getSchema({ url }, { path: "no/such.json" })],
  ];
  for (const [code, status, call] of cases) {
    const error: unknown = await call().catch((reason: unknown) => reason);
    assert.ok(error instanceof AgentWorldError, String(error));
    assert.deepEqual([error.code, error.status, error.retryable], [code, status, false]);
  }
  const invalid = (await cases[2]![2]().catch((error: unknown) => error)) as AgentWorldError;
  assert.equal(invalid.details?.errors?.[0]?.keyword, "required");
});

test("a chat without a token brings one, and ends when its request is aborted", async (t) => {
  const { url } = await startServer(t);
  const controller = new AbortController();
  const stream = await http.chat({ url }, { worldName: "solo", onDisconnect: "cancel", body: { message: "HANG" } }, { signal: controller.signal });
  assert.match(stream.token ?? "", /^[\w-]{43}$/);
  await assert.rejects(async () => {
    for await (const frame of stream) if (frame.type === "chat_response") controller.abort(new Error("enough"));
  }, /enough|abort/i);
  const me = { url, token: stream.token };
  const ended = await http.listEventsStream(me, { worldName: "solo", after: `${stream.cursor!.split(":")[0]}:0` });
  for await (const frame of ended) {
    if (frame.type !== "chat_response" || !frame.payload.complete) continue;
    assert.equal(frame.payload.finishReason, "cancelled");
    break;
  }
});

test("a stream that breaks off is a typed error, and says where to go on", async (t) => {
  const event = `id: ${"a".repeat(16)}:7\ndata: {"type":"pong"}\n\n`;
  const server = createServer((_request, response) => {
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    response.write(event, () => setImmediate(() => response.destroy()));
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const stream = await http.chat({ url }, { worldName: "solo", body: { message: "Hello" } });
  const broken = (await (async () => {
    for await (const _ of stream);
  })().catch((error: unknown) => error)) as AgentWorldError;
  assert.ok(broken instanceof AgentWorldError, String(broken));
  assert.deepEqual([broken.code, broken.retryable, stream.cursor], ["NETWORK", true, `${"a".repeat(16)}:7`]);
});

test("time-outs, lost servers and foreign servers are typed errors, too", async (t) => {
  const answers: Record<string, string> = { "/health": "<html>", "/worlds": "never" };
  const server = createServer((request, response) => {
    const answer = answers[request.url ?? ""];
    if (answer === "never") return;
    response.writeHead(answer === undefined ? 502 : 200, { "Content-Type": "text/html" }).end(answer);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.closeAllConnections());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  assert.equal(await refusal(http.getHealth({ url })), "UNEXPECTED_REPLY");
  assert.equal(await refusal(http.listTemplates({ url }, { timeoutMs: 50 })), "TIMEOUT");
  await assert.rejects(http.listTemplates({ url }, { signal: AbortSignal.timeout(50) }), { name: "TimeoutError" });
  await assert.rejects(http.listTemplates({ url }, { signal: AbortSignal.abort(new Error("no")) }), /no/);
  const error = (await http.getMetrics({ url }).catch((reason: unknown) => reason)) as AgentWorldError;
  assert.deepEqual([error.code, error.status], ["UNEXPECTED_REPLY", 502]);
  server.closeAllConnections();
  server.close();
  assert.equal(await refusal(http.getHealth({ url })), "NETWORK");
  for (const timeoutMs of [Infinity, 2 ** 31, 0]) {
    assert.equal(await refusal(http.getHealth({ url }, { timeoutMs })), "NETWORK", `${timeoutMs} is no end`);
  }
  const own = await http.getHealth({ url, fetch: async () => new Response('{"status":"ok"}') });
  assert.equal(own.status, "ok");
});
