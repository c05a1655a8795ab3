// Echoes every case of a fuzzing server, over the WebSocket that the SDK is handed in Node: the package `ws`, as the SDK
// uses it, through the events of the standard. It proves that socket, not the SDK above it, which reads text only.
//
//   node tests/autobahn/client.mjs ws://127.0.0.1:PORT

import { createRequire } from "node:module";

const require = createRequire(new URL("../../clients/typescript/package.json", import.meta.url));
const { WebSocket } = require("ws");
const server = process.argv[2];

/** Opens a socket and handles it until it is closed. */
function open(path, onMessage = () => {}) {
  return new Promise((resolve) => {
    // Its limits on size and fragments are its own; cases 9.* send more.
    const socket = new WebSocket(server + path, { perMessageDeflate: false, maxPayload: 64 << 20, maxFragments: 0 });
    socket.binaryType = "arraybuffer";
    socket.addEventListener("message", ({ data }) => onMessage(data, socket));
    // What went wrong is in the server's report.
    socket.addEventListener("error", () => {});
    socket.addEventListener("close", resolve);
  });
}

let count = 0;
await open("/getCaseCount", (data) => (count = Number(data)));
for (let number = 1; number <= count; number += 1) {
  await open(`/runCase?case=${number}&agent=sdk`, (data, socket) => socket.send(data));
}
await open("/updateReports?agent=sdk");
console.log(`${count} cases`);
