// What is over leaves nothing behind, in worlds and on signals that live long.

import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { type SelectedWorld } from "agent-world-client";
import * as http from "agent-world-client/http";
import { refusal } from "./support/client.js";
import { type Asked, type Line, played, says } from "./support/puppet.js";
import { startServer } from "./support/server.js";

const listeners = (signal: AbortSignal): number => getEventListeners(signal, "abort").length;

/** A server that refuses `no`, and settles everything else at once. */
function settling(): (line: Line, asked: Asked) => void {
  let seq = 1;
  return (line, asked) => {
    if (asked.type === "world_select") line.say(says.selected(asked));
    if (asked.type === "event_unsubscribe") line.say(says.unsubscribed(asked));
    if (asked.type === "chat_cancel") line.say(says.cancelled(asked));
    if (asked.type !== "chat_send") return;
    if (asked.payload["content"] === "no") return line.say(says.error("RATE_LIMITED", asked));
    const said = (seq += 1);
    line.say(says.accepted(asked, said), says.message(said, "yes"), says.settled((seq += 1), said));
  };
}

test("a signal that outlives its chats is left alone by them", async (t) => {
  const { client, world, lines } = await played(t, settling());
  const controller = new AbortController();
  const { signal } = controller;
  for (let round = 0; round < 20; round += 1) await world.chat("yes", { signal }).settled();
  assert.equal(await refusal(world.chat("no", { signal }).settled()), "RATE_LIMITED");
  await world.unsubscribe();
  assert.equal(await refusal(world.chat("yes", { signal }).settled()), "NOT_SUBSCRIBED");
  assert.equal(listeners(signal), 0);
  controller.abort();
  await client.ping();
  assert.ok(!lines[0]?.asked.some(({ type }) => type === "chat_cancel"), "there is nothing to cancel");
});

test("chats that fail are not kept by their world", async (t) => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const { world } = await played(t, settling());
  const refused = async (world: SelectedWorld, content: string): Promise<WeakRef<object>[]> => {
    const kept: WeakRef<object>[] = [];
    for (let round = 0; round < 100; round += 1) {
      const chat = world.chat(content);
      kept.push(new WeakRef(chat));
      await refusal(chat.settled());
    }
    return kept;
  };
  const kept = await refused(world, "no");
  await world.unsubscribe();
  kept.push(...(await refused(world, "yes")));
  await new Promise(setImmediate);
  collect();
  // The last ones may still lie in a register.
  const left = kept.filter((chat) => chat.deref() !== undefined).length;
  assert.ok(left < 10, `${left} of ${kept.length} are left`);
});

test("a signal that outlives its HTTP requests is left alone by them", async (t) => {
  const { url } = await startServer(t);
  const { signal } = new AbortController();
  assert.equal((await http.getHealth({ url }, { signal })).status, "ok");
  assert.equal(await refusal(http.getSchema({ url }, { path: "no/such.json" }, { signal })), "NOT_FOUND");
  assert.equal(await refusal(http.getHealth({ url: "http://127.0.0.1:9" }, { signal })), "NETWORK");
  assert.equal(listeners(signal), 0);
  const stream = await http.chat({ url }, { worldName: "solo", body: { message: "Hello" } }, { signal });
  assert.equal(listeners(signal), 1, "a stream can be aborted until its end");
  for await (const frame of stream) if (frame.type === "chat_response") break;
  assert.equal(listeners(signal), 0);
});
