import assert from "node:assert/strict";
import { test } from "node:test";
import { listEvents } from "agent-world-client/http";
import { becomes, next, record, selected } from "./support/client.js";
import { startServer } from "./support/server.js";

test("the server is killed in the middle of a reply and started again: the client goes on exactly there", async (t) => {
  const server = await startServer(t);
  const { client, world } = await selected(t, server, "solo");
  const begin = world.cursor;
  const seen = record(world);
  const texts: string[] = [];
  const rounds = 3;
  for (let round = 0; round < rounds; round += 1) {
    for await (const reply of world.chat("SLOW")) {
      let text = "";
      let killed: Promise<void> | undefined;
      for await (const piece of reply) {
        text += piece;
        if (killed === undefined && text.split(" ").length >= 4) killed = server.stop("SIGKILL").then(() => server.start());
      }
      await killed;
      assert.equal(reply.finishReason, "interrupted");
      assert.equal(reply.content, text, "what was heard is kept");
      assert.ok("one two three four five six seven eight nine ten eleven twelve".startsWith(text) && text.length > 12);
      const again = await world.retry(reply).settled();
      assert.equal(again.length, 1);
      texts.push(...again.map(({ content }) => content));
    }
  }
  assert.deepEqual(texts, Array.from({ length: rounds }, () => "one two three four five six seven eight nine ten eleven twelve"));
  const page = await listEvents({ url: server.url, token: client.sessionToken }, { worldName: "test", types: "message,world", after: begin, limit: 500 });
  assert.deepEqual(seen.seqs, page.events.map(({ seq }) => seq), "every event once, in order");
  assert.equal(seen.texts.length, 2 * rounds);
});

test("messages that are said while the server is dead are said once when it lives", async (t) => {
  const server = await startServer(t);
  const { client, world } = await selected(t, server, "solo");
  const seen = record(world);
  const chats = [world.chat("one"), world.chat("two")];
  const lost = becomes(client, "reconnecting");
  await server.stop("SIGKILL");
  await lost;
  chats.push(world.chat("three"));
  await server.start();
  await Promise.all(chats.map((chat) => chat.settled()));
  const humans = seen.texts.filter((text) => text.startsWith("human: "));
  assert.deepEqual(humans, ["human: one", "human: two", "human: three"]);
});

test("a server that is told to stop says so, and the client waits as long as it asks", async (t) => {
  const server = await startServer(t);
  const { client, world } = await selected(t, server, "solo");
  const draining = next(client, "draining");
  const state = becomes(client, "reconnecting");
  await server.stop("SIGTERM");
  const retryAfterMs = await draining;
  const { cause, delayMs } = await state;
  assert.equal(cause.closeCode, 1001);
  assert.ok(delayMs >= retryAfterMs, `${delayMs} ms, asked for ${retryAfterMs}`);
  await server.start();
  const open = becomes(client, "open");
  client.reconnectNow();
  await open;
  assert.equal((await world.chat("Hello").settled()).length, 1);
});
