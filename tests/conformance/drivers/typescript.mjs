// The driver of the TypeScript SDK for `agent-world conform --client` (docs/CONFORMANCE.md): one small conversation, and
// what is seen of it, as lines of JSON. Build the SDK first: `npm --prefix clients/typescript run build`.

import { createRequire } from "node:module";

const home = new URL("../../../clients/typescript/", import.meta.url);
const { connect } = await import(new URL("dist/index.js", home));
const { WebSocket } = createRequire(new URL("package.json", home))("ws");
const say = (observed, more = {}) => console.log(JSON.stringify({ observed, ...more }));

/** Why a connection does not come back has its close code. */
function gone(cause) {
  if (cause?.closeCode === undefined) throw cause;
  say("closed", { code: cause.closeCode });
}

/** Says how each reply grows: as a page does, which draws what there is again and again. */
function watch(replies) {
  const shown = new Map();
  const look = () => {
    for (const reply of replies) {
      if (reply.content !== "" && reply.content !== shown.get(reply) && !reply.complete) {
        shown.set(reply, reply.content);
        say("partial", { agentName: reply.agentName, text: reply.content });
      }
    }
  };
  return setInterval(look, 5);
}

async function converse(client) {
  const world = await client.selectWorld({ templateName: "default-world", worldName: "conform" });
  for (const kind of ["message", "world"]) world.on(kind, (_, { seq }) => say("event", { seq }));
  world.on("gap", () => say("gap"));
  const replies = new Set();
  const drawing = watch(replies);
  client.on("state", ({ status }) => status === "closed" && clearInterval(drawing));
  const readers = [];
  for await (const reply of world.chat("Hello")) {
    replies.add(reply);
    const reader = reply.text().then((text) => {
      say("reply", { agentName: reply.agentName, text, finishReason: reply.finishReason });
    });
    // What fails all replies fails the loop, too, and is told from there.
    reader.catch(() => {});
    readers.push(reader);
  }
  await Promise.all(readers);
  say("settled");
}

try {
  const client = await connect({ url: process.env.CONFORM_URL, WebSocket, reconnect: { initialDelayMs: 20, maxDelayMs: 100 } });
  try {
    await converse(client);
  } catch (error) {
    if (client.state.status === "closed") gone(client.state.cause);
    else say("error", { code: error.code });
    // `gap` is told when the world has been selected again.
    if (error.code === "UNRESUMABLE") await new Promise((resolve) => client.world.on("gap", () => setImmediate(resolve)));
  }
  client.close();
} catch (error) {
  gone(error);
}
