import assert from "node:assert/strict";
import { test } from "node:test";
import { AgentWorldError, type Reply } from "agent-world-client";
import { next, selected } from "./support/client.js";
import { startServer } from "./support/server.js";

/** Reads a reply as an app does: piece by piece. */
async function pieces(reply: Reply): Promise<string[]> {
  const all: string[] = [];
  for await (const piece of reply) all.push(piece);
  return all;
}

test("a chat gives the replies to this question, and ends when it is settled", async (t) => {
  const server = await startServer(t);
  const { world } = await selected(t, server);
  const chat = world.chat("Hello");
  const seen: Record<string, string> = {};
  for await (const reply of chat) {
    const text = (await pieces(reply)).join("");
    assert.equal(text, reply.content);
    assert.equal(await reply.text(), text);
    assert.equal(reply.rootId, chat.messageId);
    assert.equal(reply.inReplyTo, chat.messageId);
    assert.equal(reply.finishReason, "stop");
    seen[reply.agentName] = text;
  }
  assert.deepEqual(seen, { ada: "ada heard: Hello", bob: "bob heard: Hello" });
  assert.ok(chat.isSettled);
  const { answering, duplicate } = await chat.accepted;
  assert.deepEqual([answering, duplicate], [["ada", "bob"], false]);
});

test("questions that run at the same time keep their replies apart", async (t) => {
  const server = await startServer(t);
  const { world } = await selected(t, server);
  const questions = [["ada", "SLOW"], ["bob", "second"], ["ada", "third"], ["bob", "SLOW"]] as const;
  const chats = questions.map(([targetAgent, content]) => world.chat(content, { targetAgent }));
  const answers = await Promise.all(chats.map((chat) => chat.settled()));
  answers.forEach((replies, index) => {
    assert.deepEqual(replies.map((reply) => reply.agentName), [questions[index]![0]]);
    assert.equal(replies[0]!.inReplyTo, chats[index]!.messageId);
  });
  assert.equal(new Set(chats.map((chat) => chat.messageId)).size, 4);
});

test("what agents say to each other belongs to the question that began it", async (t) => {
  const server = await startServer(t);
  const { world } = await selected(t, server);
  const said = (await world.chat("@ada RELAY this").settled()).map((reply) => `${reply.agentName}: ${reply.content}`);
  assert.deepEqual(said, ["ada: @bob what do you think?", "bob: @human bob heard ada."]);
});

test("nobody is woken: the chat ends without a reply", async (t) => {
  const server = await startServer(t);
  const { world } = await selected(t, server);
  const chat = world.chat("@nobody hello");
  assert.deepEqual(await chat.settled(), []);
  assert.deepEqual((await chat.accepted).answering, []);
});

test("a reply that is written slowly comes in pieces, and two readers get the same", async (t) => {
  const server = await startServer(t);
  const { world } = await selected(t, server, "solo");
  for await (const reply of world.chat("SLOW")) {
    const [one, two] = await Promise.all([pieces(reply), pieces(reply)]);
    assert.ok(one.length > 3, `${one.length} pieces`);
    assert.equal(one.join(""), "one two three four five six seven eight nine ten eleven twelve");
    assert.equal(two.join(""), one.join(""));
  }
});

for (const [word, expected] of Object.entries({
  UNICODE: { content: "Grüße, 世界! 🌍🌍 fine 👩‍👩‍👧 end", finishReason: "stop" },
  LENGTH: { content: "cut off", finishReason: "length" },
  USAGE: { content: "counted", finishReason: "stop", usage: { inputTokens: 40, outputTokens: 9 } },
  FAIL: { content: "", finishReason: "error", code: "PROVIDER_ERROR", retryable: false },
  ONCE: { content: "I was about to", finishReason: "error", code: "PROVIDER_ERROR", retryable: true, retryAfterMs: 1500 },
})) {
  test(`a reply tells how it ended: ${word}`, async (t) => {
    const server = await startServer(t);
    const { world } = await selected(t, server, "solo");
    const [reply] = await world.chat(word).settled();
    assert.ok(reply);
    const { content, finishReason, usage, error } = reply;
    const found = { content, finishReason, ...(usage && { usage }) };
    const { code, retryable, retryAfterMs, ...rest } = { code: undefined, retryable: undefined, retryAfterMs: undefined, ...expected };
    assert.deepEqual(found, rest);
    assert.deepEqual([error?.code, error?.retryable, error?.retryAfterMs], [code, retryable, retryAfterMs]);
    assert.equal(error instanceof AgentWorldError, code !== undefined);
    assert.equal((await pieces(reply)).join(""), content, "the text can be read afterwards");
  });
}

test("a reply of the largest size arrives whole", async (t) => {
  const server = await startServer(t);
  const { world } = await selected(t, server, "solo");
  const [reply] = await world.chat("BIG").settled();
  assert.equal(reply?.finishReason, "length");
  assert.equal(reply?.content, "0123456789abcdef".repeat(16 * 1024));
  assert.equal((await pieces(reply!)).join("").length, 256 * 1024);
});

test("a failed reply is tried again as a chat of its own", async (t) => {
  const server = await startServer(t);
  const { world } = await selected(t, server, "solo");
  const [failed] = await world.chat("ONCE").settled();
  assert.equal(failed?.finishReason, "error");
  const again = await world.retry(failed!).settled();
  assert.deepEqual(again.map((reply) => reply.content), ["ada heard: ONCE"]);
  assert.equal(again[0]!.rootId, failed!.rootId);
  assert.notEqual(again[0]!.messageId, failed!.messageId);
});

test("leaving the loop early cancels nothing", async (t) => {
  const server = await startServer(t);
  const { world } = await selected(t, server, "solo");
  for await (const reply of world.chat("SLOW")) {
    assert.equal(reply.complete, false);
    break;
  }
  const message = await next(world, "message", (event) => event.sender === "ada");
  assert.ok(message.payload.content.endsWith("twelve"));
});

test("everything also comes as events, in order", async (t) => {
  const server = await startServer(t);
  const { world } = await selected(t, server, "solo");
  const told: string[] = [];
  world.on("message", (event) => told.push(`message ${event.sender}`));
  world.on("reply", (reply) => told.push(`reply ${reply.agentName}`));
  world.on("world", (event) => told.push(event.payload.action));
  await world.chat("Hello", { displayName: "Zoë" }).settled();
  assert.deepEqual(told, ["message human", "reply ada", "message ada", "settled"]);
});

test("somebody else's question is heard as events", async (t) => {
  const server = await startServer(t);
  const { client, world } = await selected(t, server, "solo");
  const other = await selected(t, { url: server.url, token: client.sessionToken }, "solo");
  assert.equal(other.client.userId, client.userId);
  const reply = next(world, "reply");
  await other.world.chat("From the other device").settled();
  assert.equal(await (await reply).text(), "ada heard: From the other device");
});
