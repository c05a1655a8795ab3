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
