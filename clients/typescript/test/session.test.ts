import assert from "node:assert/strict";
import { test } from "node:test";
import { CLOSE_CODES, connect } from "agent-world-client";
import { deleteSession, deleteWorld } from "agent-world-client/http";
import { WebSocket } from "ws";
import { becomes, connected, quick, refusal, selected } from "./support/client.js";
import { startProxy } from "./support/proxy.js";
import { startServer } from "./support/server.js";

test("the token makes the same user", async (t) => {
  const server = await startServer(t);
  const sessions: { userId: string; sessionToken: string }[] = [];
  const states: string[] = [];
  const { client } = await selected(t, { url: server.url, onState: ({ status }) => states.push(status) });
  assert.deepEqual(states, ["connecting", "open"]);
  assert.match(client.userId, /^anon_/);
  const token = client.sessionToken;
  const again = await connected(t, { url: server.url, token });
  again.on("session", (session) => sessions.push(session));
  assert.equal(again.userId, client.userId);
  assert.equal(again.sessionToken, token);
  const stranger = await connected(t, server);
  assert.notEqual(stranger.userId, client.userId);
  assert.deepEqual(sessions, []);
});

test("an unknown token is refused, once", async (t) => {
  const server = await startServer(t);
  const proxy = await startProxy(t, server);
  const error = await connect({ url: proxy.url, WebSocket, token: "x".repeat(43), reconnect: quick }).catch((reason: unknown) => reason);
  const { code, closeCode, retryable } = error as { code: string; closeCode: number; retryable: boolean };
  assert.deepEqual({ code, closeCode, retryable }, { code: "UNAUTHENTICATED", closeCode: 4001, retryable: false });
  assert.equal(proxy.connections, 1);
});

test("a token that was revoked closes the client for good", async (t) => {
  const server = await startServer(t);
  const { client } = await selected(t, server);
  const closed = becomes(client, "closed");
  await deleteSession(client.server);
  const { cause } = await closed;
  assert.equal(cause?.closeCode, 4001);
  assert.equal(await refusal(client.ping()), cause?.code);
});

test("a world that is deleted closes the client for good", async (t) => {
  const server = await startServer(t);
  const { client, world } = await selected(t, server);
  const chat = world.chat("HANG");
  await chat.accepted;
  const closed = becomes(client, "closed");
  await deleteWorld(client.server, { worldName: "test" });
  const { cause } = await closed;
  assert.equal(cause?.closeCode, 4004);
  assert.equal(cause?.message, CLOSE_CODES[4004].description);
  assert.equal(await refusal(chat.settled()), cause?.code);
});

test("the first token is there when the client is, and is not told again", async (t) => {
  const server = await startServer(t);
  const client = await connected(t, server);
  client.on("session", () => assert.fail("it came before"));
  assert.match(client.sessionToken ?? "", /^[\w-]{43}$/);
  await client.selectWorld({ templateName: "solo", worldName: "test" });
});

test("a token that was never used dies with its connection; the client becomes a new user", async (t) => {
  const server = await startServer(t);
  const proxy = await startProxy(t, server);
  const client = await connected(t, proxy);
  const before = client.userId;
  const sessions: string[] = [];
  client.on("session", ({ userId }) => sessions.push(userId));
  const open = becomes(client, "open");
  proxy.cut();
  await open;
  assert.notEqual(client.userId, before);
  assert.deepEqual(sessions, [client.userId], "and says so");
  await client.selectWorld({ templateName: "stage", worldName: "test" });
  const after = client.userId;
  const again = becomes(client, "open");
  proxy.cut();
  await again;
  assert.equal(client.userId, after, "from the first world on, it is the same user");
});

test("nobody is there: connecting fails", async (t) => {
  const server = await startServer(t);
  await server.stop();
  assert.equal(await refusal(connect({ url: server.url, WebSocket })), "NETWORK");
  assert.equal(await refusal(connect({ url: "no url", WebSocket })), "NETWORK");
  const missing = await connect({ url: server.url, WebSocket: undefined }).catch((error: Error) => error.message);
  if (!("WebSocket" in globalThis)) assert.match(String(missing), /hand one in/);
});
