import assert from "node:assert/strict";
import { test } from "node:test";
import { createWorld, deleteWorld, listEvents, updateWorld } from "agent-world-client/http";
import type { Client, ConnectionState } from "agent-world-client";
import { becomes, next, record, refusal, selected } from "./support/client.js";
import { startProxy } from "./support/proxy.js";
import { startServer } from "./support/server.js";

/** The `seq` of every event that the world's log holds for a subscriber of messages and changes, after `cursor`. */
async function logged(server: { url: string }, client: Client, after: string): Promise<number[]> {
  const page = await listEvents({ url: server.url, token: client.sessionToken }, { worldName: "test", types: "message,world", after, limit: 500 });
  return page.events.map(({ seq }) => seq!);
}

const TWELVE = "one two three four five six seven eight nine ten eleven twelve";

test("the connection is lost in the middle of a reply: nothing is missing, nothing comes twice", async (t) => {
  const server = await startServer(t);
  const proxy = await startProxy(t, server);
  const { client, world } = await selected(t, proxy, "solo");
  const begin = world.cursor;
  const states: ConnectionState["status"][] = [];
  client.on("state", ({ status }) => states.push(status));
  const seen = record(world);
  let cuts = 0;
  const replies: string[] = [];
  for await (const reply of world.chat("SLOW")) {
    let text = "";
    for await (const piece of reply) {
      text += piece;
      if (cuts < 3 && text.split(" ").length > 3 * (cuts + 1)) {
        cuts += 1;
        proxy.cut();
      }
    }
    replies.push(text);
  }
  assert.deepEqual(replies, [TWELVE]);
  assert.equal(cuts, 3);
  assert.equal(proxy.connections, 4);
  assert.deepEqual(seen.seqs, await logged(server, client, begin));
  assert.deepEqual(seen.texts, ["human: SLOW", `ada: ${TWELVE}`]);
  assert.deepEqual(states.filter((status, index) => status !== states[index - 1]).slice(0, 2), ["reconnecting", "open"]);
});

test("a message whose acknowledgement was lost is said once", async (t) => {
  const server = await startServer(t);
  const proxy = await startProxy(t, server);
  const { world } = await selected(t, proxy, "solo");
  const seen = record(world);
  let lost = 0;
  proxy.filter = (text) => {
    if (lost < 2 && text.includes('"message_accepted"')) {
      lost += 1;
      setImmediate(() => proxy.cut());
      return null;
    }
    return text;
  };
  const chat = world.chat("Hello");
  const replies = await chat.settled();
  assert.equal(lost, 2);
  assert.equal((await chat.accepted).duplicate, true, "the server knew it from the key");
  assert.deepEqual(replies.map(({ content }) => content), ["ada heard: Hello"]);
  assert.deepEqual(seen.texts, ["human: Hello", "ada: ada heard: Hello"]);
});

test("what is asked while the connection is away is answered when it is back, in order", async (t) => {
  const server = await startServer(t);
  const proxy = await startProxy(t, server);
  const { client, world } = await selected(t, proxy, "solo");
  proxy.refusing = true;
  const away = becomes(client, "reconnecting");
  proxy.cut();
  await away;
  const said: string[] = [];
  world.on("message", (event) => event.senderType === "human" && said.push(event.payload.content));
  const chats = ["one", "two", "three"].map((content) => world.chat(content));
  const ping = client.ping();
  proxy.refusing = false;
  client.reconnectNow();
  await Promise.all([...chats.map((chat) => chat.settled()), ping]);
  assert.deepEqual(said, ["one", "two", "three"]);
});

test("many cuts at any moment: every event once, in order, and every text whole", async (t) => {
  const server = await startServer(t);
  const proxy = await startProxy(t, server);
  const { client, world } = await selected(t, proxy, "solo");
  // All questions are asked at once, and no human says anything after.
  await updateWorld({ url: server.url, token: client.sessionToken }, { worldName: "test", body: { turnLimit: 100 } });
  await world.subscribe();
  const begin = world.cursor;
  const seen = record(world);
  let frames = 0;
  let cuts = 0;
  // Every so many frames, whatever it is that just went through.
  proxy.filter = (text) => {
    frames += 1;
    if (frames % 17 === 0 && cuts < 40) {
      cuts += 1;
      setImmediate(() => proxy.cut());
    }
    return text;
  };
  const texts = await Promise.all(
    Array.from({ length: 24 }, async (_, index) => {
      const replies = await world.chat(`${index % 3 === 0 ? "UNICODE" : "plain"} ${index}`).settled();
      return Promise.all(
        replies.map(async (reply) => {
          let text = "";
          for await (const piece of reply) text += piece;
          assert.equal(text, reply.content);
          return text;
        }),
      );
    }),
  );
  assert.ok(cuts >= 10, `${cuts} cuts`);
  assert.ok(texts.every((replies) => replies.length === 1), JSON.stringify(texts));
  assert.ok(texts.flat().filter((text) => text === "Grüße, 世界! 🌍🌍 fine 👩‍👩‍👧 end").length >= 1);
  assert.equal(new Set(seen.seqs).size, seen.seqs.length, "no event came twice");
  assert.deepEqual(seen.seqs, await logged(server, client, begin));
  console.log(`${cuts} cuts, ${seen.seqs.length} events`);
});

test("a subscription of one's own is restored as it was", async (t) => {
  const server = await startServer(t);
  const proxy = await startProxy(t, server);
  const { client, world } = await selected(t, proxy);
  await world.subscribe({ eventTypes: ["world", "sse", "system"], agentFilter: ["bob"] });
  const told: string[] = [];
  world.on("system", (event) => told.push(`system ${event.payload.action}`));
  world.on("message", () => told.push("message"));
  world.on("reply", (reply) => told.push(`reply ${reply.agentName}`));
  for (let round = 0; round < 2; round += 1) {
    await world.chat("Hello").settled();
    const open = becomes(client, "open");
    proxy.cut();
    await open;
  }
  assert.deepEqual(told.filter((entry) => entry !== "system routed"), ["reply bob", "reply bob"]);
  assert.equal(told.filter((entry) => entry === "system routed").length, 2);

  await world.unsubscribe();
  const open = becomes(client, "open");
  proxy.cut();
  await open;
  told.length = 0;
  await world.chat("Hello").accepted;
  await client.ping();
  assert.deepEqual(told, [], "no subscription stays none");
});

test("a log that cannot be resumed is told as a gap", async (t) => {
  const server = await startServer(t);
  const proxy = await startProxy(t, server);
  const { client, world } = await selected(t, proxy, "solo");
  await world.chat("before").settled();
  const open = world.chat("HANG");
  await next(world, "reply");
  const from = world.cursor;

  // What a restored backup does: the world has another log now.
  proxy.refusing = true;
  const away = becomes(client, "reconnecting");
  proxy.cut();
  await away;
  const http = { url: server.url, token: client.sessionToken };
  await deleteWorld(http, { worldName: "test" });
  await createWorld(http, { worldName: "test", body: { templateName: "solo", persistent: true } });
  const gap = next(world, "gap");
  proxy.refusing = false;

  const told = await gap;
  assert.equal(told.from, from);
  assert.equal(told.reason, "epoch");
  assert.notEqual(told.to.split(":")[0], from.split(":")[0]);
  assert.equal(await refusal(open.settled()), "UNRESUMABLE");
  assert.deepEqual((await world.chat("after").settled()).map(({ content }) => content), ["ada heard: after"]);
  assert.equal(world.cursor.split(":")[0], told.to.split(":")[0]);
});

test("a request with a key whose fate a gap hides is refused, not repeated", async (t) => {
  const server = await startServer(t);
  const proxy = await startProxy(t, server);
  const { client, world } = await selected(t, proxy, "solo");
  const swallowed = new Promise<void>((resolve) => {
    proxy.filter = (text) => {
      if (!text.includes('"message_accepted"')) return text;
      proxy.refusing = true;
      setImmediate(() => proxy.cut());
      resolve();
      return null;
    };
  });
  const chat = world.chat("Hello");
  await swallowed;
  const http = { url: server.url, token: client.sessionToken };
  await deleteWorld(http, { worldName: "test" });
  await createWorld(http, { worldName: "test", body: { templateName: "solo", persistent: true } });
  proxy.filter = (text) => text;
  const unsent = world.chat("new");
  proxy.refusing = false;
  assert.equal(await refusal(chat.accepted), "UNRESUMABLE");
  assert.equal((await unsent.settled()).length, 1, "what was never sent is said");
});

test("a world that cannot be opened any more is closed; the client stays", async (t) => {
  const server = await startServer(t);
  const proxy = await startProxy(t, server);
  const { client, world } = await selected(t, proxy, "solo");
  proxy.refusing = true;
  const away = becomes(client, "reconnecting");
  proxy.cut();
  await away;
  const http = { url: server.url, token: client.sessionToken };
  await deleteWorld(http, { worldName: "test" });
  await createWorld(http, { worldName: "test", body: { templateName: "stage" } });
  const closed = next(world, "closed");
  const open = becomes(client, "open");
  proxy.refusing = false;
  assert.equal((await closed).code, "CONFLICT", "it is of another template now");
  await open;
  assert.equal(client.world, undefined);
  assert.ok(await client.selectWorld({ templateName: "stage", worldName: "test" }));
});

test("a server that falls silent is noticed", async (t) => {
  const server = await startServer(t);
  const proxy = await startProxy(t, server);
  const { client, world } = await selected(t, { url: proxy.url, pingIntervalMs: 50, pongTimeoutMs: 100 }, "solo");
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.equal(proxy.connections, 1, "silence that is answered is none");
  proxy.stalled = true;
  const state = await becomes(client, "reconnecting");
  assert.equal(state.cause.code, "TIMEOUT");
  proxy.stalled = false;
  assert.equal((await world.chat("Hello").settled()).length, 1);
});

test("after the last attempt the client is closed", async (t) => {
  const server = await startServer(t);
  const proxy = await startProxy(t, server);
  const { client, world } = await selected(t, { url: proxy.url, reconnect: { initialDelayMs: 1, maxDelayMs: 2, maxAttempts: 3 } }, "solo");
  const chat = world.chat("SLOW");
  await chat.accepted;
  const reply = await next(world, "reply");
  const closed = becomes(client, "closed");
  proxy.refusing = true;
  proxy.cut();
  assert.equal((await closed).cause?.code, "NETWORK");
  assert.equal(proxy.connections, 4);
  assert.equal(await refusal(chat.settled()), "NETWORK");
  assert.equal(await refusal(reply.text()), "NETWORK");
  assert.equal(await refusal(client.ping()), "NETWORK");
});

test("without reconnect, the first loss is the last", async (t) => {
  const server = await startServer(t);
  const proxy = await startProxy(t, server);
  const { client } = await selected(t, { url: proxy.url, reconnect: false }, "solo");
  const closed = becomes(client, "closed");
  proxy.cut();
  assert.ok((await closed).cause?.retryable);
  assert.equal(proxy.connections, 1);
});
