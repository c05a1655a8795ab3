// Who listens may close the client at any moment. Then it is closed: nothing more is told, and nothing comes back.

import assert from "node:assert/strict";
import { type TestContext, mock, test } from "node:test";
import { type Client, type SelectedWorld, connect } from "agent-world-client";
import { becomes, next, quick, refusal } from "./support/client.js";
import { type Asked, type Line, played, puppet, says } from "./support/puppet.js";
import { within } from "./support/server.js";

/** What is told of messages and states from here on. */
function told(client: Client, world?: SelectedWorld): string[] {
  const heard: string[] = [];
  world?.on("message", (event) => heard.push(event.payload.content));
  client.on("state", ({ status }) => heard.push(status));
  return heard;
}

/** Answers a question together with two messages, which so are held until the next turn. */
const chatter =
  (then: (line: Line) => void = () => {}) =>
  (line: Line, asked: Asked): void => {
    if (asked.type === "world_select") return line.say(says.selected(asked));
    line.say(says.accepted(asked, 2), says.message(2, "one"), says.message(3, "two"));
    then(line);
  };

/** From here on timers stand still. Gives what lets each that is left go off, and those that it sets. */
function stopTime(t: TestContext): () => void {
  mock.timers.enable({ apis: ["setTimeout"] });
  t.after(() => mock.timers.reset());
  return () => {
    for (let minute = 0; minute < 5; minute += 1) mock.timers.tick(60_000);
  };
}

test("a listener closes the client: what was held is not told, and no timer brings it back", async (t) => {
  const wait = stopTime(t);
  const { client, world, lines } = await played(t, chatter());
  const heard = told(client, world);
  world.on("message", () => client.close());
  assert.equal(await refusal(world.chat("Hello").settled()), "CLOSED");
  wait();
  assert.deepEqual(heard, ["one", "closed"]);
  assert.deepEqual(lines.map(({ isClosed }) => isClosed), [true]);
});

test("a listener closes the client that has just lost its connection", async (t) => {
  const wait = stopTime(t);
  const { client, world, lines } = await played(t, chatter((line) => line.end(1006)));
  const heard = told(client, world);
  world.on("message", () => client.close());
  assert.equal(await refusal(world.chat("Hello").settled()), "CLOSED");
  wait();
  assert.deepEqual(heard, ["one", "closed"]);
  assert.equal(lines.length, 1);
});

test("a listener closes the client that has just become a new user", async () => {
  const { WebSocket, lines } = puppet((line) => {
    line.say(says.error("UNAUTHENTICATED"));
    line.end(4001);
  });
  const client = await connect({ url: "http://localhost:1", WebSocket, reconnect: quick });
  const heard = told(client);
  const closed = becomes(client, "closed");
  client.on("session", () => client.close());
  assert.equal(await refusal(client.request("chat_send", { content: "Hello" })), "CLOSED");
  await closed;
  // What the greeting sets going takes a few promises.
  await new Promise(setImmediate);
  assert.deepEqual(heard, ["reconnecting", "reconnecting", "closed"]);
  assert.equal(lines.length, 2);
});

test("a connection that is given up tells no more of what was held, and comes back", async (t) => {
  let late: Asked | undefined;
  const { client, world, lines } = await played(t, (line, asked) => {
    if (asked.type === "world_select" && asked.payload["worldName"] === "late") late = asked;
    else if (asked.type === "world_select") line.say(says.selected(asked));
    else line.say(says.accepted(asked, 2), says.selected(late!), says.message(2, "held"));
  });
  const heard = told(client, world);
  const controller = new AbortController();
  const selecting = client.selectWorld({ templateName: "solo", worldName: "late" }, { signal: controller.signal });
  controller.abort(new Error("changed my mind"));
  await assert.rejects(selecting, /changed my mind/);
  const open = becomes(client, "open");
  void world.chat("Hello").settled().catch(() => {});
  await open;
  assert.deepEqual(heard, ["reconnecting", "reconnecting", "open"]);
  assert.equal(lines.length, 2);
});

test("connecting that is aborted by who hears that it begins does not begin", async () => {
  const { WebSocket, lines } = puppet(() => {});
  const controller = new AbortController();
  const onState = (): void => controller.abort(new Error("no"));
  await assert.rejects(connect({ url: "http://localhost:1", WebSocket, signal: controller.signal, onState }), /no/);
  assert.equal(lines.length, 0);
});

test("a handshake that fails without a close, as in Node 22, is a failure at once", async () => {
  class Refused {
    readonly #listeners: (() => void)[] = [];
    constructor() {
      setImmediate(() => this.#listeners.forEach((listener) => listener()));
    }
    addEventListener(type: string, listener: (event: any) => void): void {
      if (type === "error") this.#listeners.push(() => listener({ message: "refused" }));
    }
    send(): void {}
    close(): void {}
  }
  const options = { url: "http://localhost:1", WebSocket: Refused, reconnect: false, connectTimeoutMs: Infinity } as const;
  await assert.rejects(within(10, "the failure", connect(options)), { code: "NETWORK", message: /refused/ });
});

test("a refusal that nobody waits for any more changes nothing", async (t) => {
  const { client, world, lines } = await played(t, (line, asked) => {
    if (asked.type === "world_select") line.say(says.selected(asked));
    else if (asked.type === "agent_update") setTimeout(() => line.say(says.error("AGENT_NOT_FOUND", asked)), 20);
  });
  const heard = told(client, world);
  client.on("error", ({ code }) => heard.push(code));
  assert.equal(await refusal(world.updateAgent("nobody", { temperature: 1 }, { timeoutMs: 1 })), "TIMEOUT");
  const late = next(client, "frame", ({ text }) => text.includes("AGENT_NOT_FOUND"));
  await late;
  await client.ping();
  assert.deepEqual([heard, lines.length], [[], 1]);
});

test("a peer that does not say goodbye is left, where the socket can do that", async (t) => {
  const wait = stopTime(t);
  const { WebSocket, lines } = puppet(() => {});
  let left = 0;
  class Deaf extends WebSocket {
    override terminate(): void {
      left += 1;
    }
  }
  const client = await connect({ url: "http://localhost:1", WebSocket: Deaf });
  client.close();
  assert.deepEqual([lines[0]!.isClosed, left], [true, 0]);
  wait();
  assert.equal(left, 1);
});

test("intervals without end have none", async (t) => {
  for (const ms of [Infinity, 0]) {
    const options = { connectTimeoutMs: ms, pingIntervalMs: ms, pongTimeoutMs: ms };
    const { client, lines } = await played(t, (line, asked) => line.say(says.selected(asked)), options);
    await new Promise((resolve) => setTimeout(resolve, 50));
    await client.ping();
    assert.deepEqual(lines[0]!.asked.map(({ type }) => type), ["world_select", "ping"]);
  }
});
