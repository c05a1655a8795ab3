// Subscriptions that end or change while something is under way: a chat settles, fails, or a gap is told.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { AgentWorldError, Gap } from "agent-world-client";
import { becomes, next, quick, refusal, selected } from "./support/client.js";
import { type Asked, type Line, cursor, played, says } from "./support/puppet.js";
import { startServer } from "./support/server.js";

const gone = { details: { reason: "expired", cursor: cursor(9) } };

test("a subscription that the server ends is resumed where it ended", async (t) => {
  const { client, world, lines } = await played(t, (line, asked) => {
    if (asked.type === "chat_send") line.say(says.accepted(asked, 2), says.message(2, "Hello"), says.error("STORAGE_ERROR"));
    else if (asked.payload["after"] === undefined) line.say(says.selected(asked));
    else line.say(says.selected(asked, 3), says.settled(3, 2), says.caughtUp(3));
  });
  const errors: string[] = [];
  client.on("error", ({ code }) => errors.push(code));
  world.on("gap", () => assert.fail("nothing was missed"));
  assert.deepEqual(await world.chat("Hello").settled(), []);
  assert.deepEqual(errors, ["STORAGE_ERROR"]);
  assert.deepEqual(lines.map(({ asked }) => asked[0]?.payload["after"]), [undefined, cursor(2)]);
  assert.equal(world.cursor, cursor(3));
});

test("a subscription whose log was trimmed ends with a gap", async (t) => {
  const { world } = await played(t, (line, asked) => {
    if (asked.type === "chat_send") line.say(says.accepted(asked, 2), says.message(2, "Hello"), says.error("UNRESUMABLE", undefined, gone));
    else if (asked.payload["after"] === cursor(2)) line.say(says.error("UNRESUMABLE", asked, gone));
    else line.say(says.selected(asked, asked.payload["after"] === undefined ? 1 : 9));
  });
  const told = next(world, "gap") as Promise<Gap>;
  assert.equal(await refusal(world.chat("Hello").settled()), "UNRESUMABLE");
  assert.deepEqual(await told, { from: cursor(2), to: cursor(9), reason: "expired" });
});

test("a log that is never readable again ends with the attempts", async (t) => {
  const answer = (line: Line, asked: Asked): void => {
    if (asked.type === "world_select") line.say(says.selected(asked));
    if (asked.type === "chat_send") line.say(says.accepted(asked, 2));
    if (asked.type === "chat_send" || asked.payload["after"] !== undefined) line.say(says.error("STORAGE_ERROR"));
  };
  const { client, world, lines } = await played(t, answer, { reconnect: { ...quick, maxAttempts: 3 } });
  const closed = becomes(client, "closed");
  assert.equal(await refusal(world.chat("Hello").settled()), "STORAGE_ERROR");
  assert.equal((await closed).cause?.code, "STORAGE_ERROR");
  assert.equal(lines.length, 4);
});

test("without a subscription, an error that answers nothing ends nothing", async (t) => {
  const { client, world, lines } = await played(t, (line, asked) => {
    if (asked.type === "world_select") line.say(says.selected(asked));
    else line.say(says.unsubscribed(asked), says.error("SERVER_ERROR"));
  });
  const error = next(client, "error") as Promise<AgentWorldError>;
  await world.unsubscribe();
  assert.equal((await error).code, "SERVER_ERROR");
  await client.ping();
  assert.equal(lines.length, 1);
});

test("a subscription that fails, for whatever reason, leaves none", async (t) => {
  const { world } = await played(t, (line, asked) => {
    if (asked.type === "world_select") line.say(says.selected(asked));
    else if (asked.type === "chat_send") line.say(says.accepted(asked, 2), says.message(2, "Hello"));
    else line.say(says.error("STORAGE_ERROR", asked));
  });
  const chat = world.chat("Hello");
  await chat.accepted;
  assert.equal(await refusal(world.subscribe({ eventTypes: ["system"] })), "STORAGE_ERROR");
  assert.equal(await refusal(chat.settled()), "NOT_SUBSCRIBED");
});

test("a subscription that makes no sense leaves the old one", async (t) => {
  const server = await startServer(t);
  const { world } = await selected(t, server, "solo");
  const chat = world.chat("SLOW");
  await chat.accepted;
  assert.equal(await refusal(world.subscribe({ eventTypes: ["smell" as never] })), "INVALID_MESSAGE");
  assert.equal((await chat.settled()).length, 1);
});

test("a subscription in place of a replay that is under way goes on with it", async (t) => {
  const { client, world, lines } = await played(t, (line, asked) => {
    if (asked.type === "world_select") line.say(says.selected(asked, asked.payload["after"] === undefined ? 1 : 4));
    if (asked.type === "chat_send") {
      line.say(says.accepted(asked, 2), says.message(2, "Hello"));
      line.end(1006);
    }
    // The server ends the replay behind one event of three, and starts the other subscription.
    if (asked.type === "event_subscribe") line.say(says.message(3, "more"), says.subscribed(asked, cursor(2), cursor(4)), says.message(3, "more"), says.settled(4, 2), says.caughtUp(4));
  });
  const said: string[] = [];
  world.on("message", (event) => said.push(event.payload.content));
  const chat = world.chat("Hello");
  await becomes(client, "reconnecting");
  const subscribed = await world.subscribe({ eventTypes: ["message", "world", "sse", "system"] });
  assert.deepEqual(subscribed, { from: cursor(2), head: cursor(4) });
  assert.deepEqual(await chat.settled(), []);
  assert.deepEqual(said, ["Hello", "more"], "each once");
  assert.deepEqual(lines[1]?.asked.map(({ type, payload }) => [type, payload["after"]]), [["world_select", cursor(2)], ["event_subscribe", cursor(2)]]);
});

test("a subscription behind which the log is gone tells the gap, and begins behind that", async (t) => {
  const { world } = await played(t, (line, asked) => {
    if (asked.type === "world_select") line.say(says.selected(asked));
    if (asked.type === "chat_send") line.say(says.accepted(asked, 2), says.message(2, "Hello"));
    if (asked.type === "event_subscribe" && asked.payload["after"] === cursor(2)) line.say(says.error("UNRESUMABLE", asked, gone));
    else if (asked.type === "event_subscribe") line.say(says.subscribed(asked, asked.payload["after"] as string));
  });
  const chat = world.chat("Hello");
  await next(world, "message");
  const told = next(world, "gap") as Promise<Gap>;
  assert.equal((await world.subscribe()).from, cursor(9));
  assert.deepEqual(await told, { from: cursor(2), to: cursor(9), reason: "expired" });
  assert.equal(await refusal(chat.settled()), "UNRESUMABLE");
});

test("where there was no subscription, one begins now", async (t) => {
  const server = await startServer(t);
  const { world } = await selected(t, server, "solo");
  await world.unsubscribe();
  await world.chat("unheard").accepted;
  const said: string[] = [];
  world.on("message", (event) => said.push(event.payload.content));
  const { from, head } = await world.subscribe();
  assert.equal(from, head);
  await world.chat("Hello").settled();
  assert.ok(!said.includes("unheard"), said.join(", "));
});
