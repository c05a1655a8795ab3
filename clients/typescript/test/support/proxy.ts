// A network that can be broken: a TCP proxy that reads the WebSocket frames of the server as it passes them on.

import { once } from "node:events";
import { type AddressInfo, type Socket, connect, createServer } from "node:net";
import type { TestContext } from "node:test";

export interface Proxy {
  readonly url: string;
  /** How many connections there were. */
  readonly connections: number;
  /** Cuts every connection, as a failing network does. */
  cut(): void;
  /** While true, new connections are cut at once. */
  refusing: boolean;
  /** While true, nothing is passed on to the client, and nothing is closed. */
  stalled: boolean;
  /** What becomes of a frame of the server: its text, another text, or null to swallow it. */
  filter: (text: string) => string | null;
  /** Sends a text frame to every client, as if the server had. */
  inject(frame: unknown): void;
}

export async function startProxy(t: TestContext, target: { port: number }): Promise<Proxy> {
  const clients = new Set<Socket>();
  const sockets = new Set<Socket>();
  let connections = 0;
  const server = createServer((client) => {
    connections += 1;
    if (proxy.refusing) {
      client.destroy();
      return;
    }
    const upstream = connect(target.port, "127.0.0.1");
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => {
        sockets.delete(socket);
        clients.delete(client);
        client.destroy();
        upstream.destroy();
      });
    }
    client.on("data", (bytes) => upstream.write(bytes));
    const frames = new Frames();
    upstream.on("data", (bytes) => {
      for (const part of frames.read(bytes)) {
        if (proxy.stalled) continue;
        if (typeof part !== "string") client.write(part);
        else {
          const text = proxy.filter(part);
          if (text !== null) client.write(textFrame(text));
        }
        if (frames.open) clients.add(client);
      }
    });
  });
  const proxy: Proxy & { url: string } = {
    url: "",
    get connections() {
      return connections;
    },
    refusing: false,
    stalled: false,
    filter: (text) => text,
    cut: () => sockets.forEach((socket) => socket.destroy()),
    inject: (frame) => {
      const text = typeof frame === "string" ? frame : JSON.stringify(frame);
      clients.forEach((client) => client.write(textFrame(text)));
    },
  };
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  proxy.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  t.after(() => {
    proxy.cut();
    server.close();
  });
  return proxy;
}

/** Takes what a server sends apart: the head of its answer and control frames as bytes, text frames as text. */
class Frames {
  open = false;
  #rest = Buffer.alloc(0);

  *read(bytes: Buffer): Generator<Buffer | string> {
    this.#rest = Buffer.concat([this.#rest, bytes]);
    if (!this.open) {
      const end = this.#rest.indexOf("\r\n\r\n");
      if (end < 0) return;
      this.open = true;
      yield this.#take(end + 4);
    }
    for (;;) {
      const rest = this.#rest;
      if (rest.length < 2) return;
      const short = rest[1]! & 0x7f;
      const head = short < 126 ? 2 : short === 126 ? 4 : 10;
      if (rest.length < head) return;
      const length = short < 126 ? short : short === 126 ? rest.readUInt16BE(2) : Number(rest.readBigUInt64BE(2));
      if (rest.length < head + length) return;
      const frame = this.#take(head + length);
      yield (frame[0]! & 0x0f) === 1 ? frame.subarray(head).toString() : frame;
    }
  }

  #take(length: number): Buffer {
    const taken = this.#rest.subarray(0, length);
    this.#rest = this.#rest.subarray(length);
    return taken;
  }
}

function textFrame(text: string): Buffer {
  const payload = Buffer.from(text);
  let head = Buffer.from([0x81, payload.length]);
  if (payload.length > 65_535) {
    head = Buffer.alloc(10);
    head.set([0x81, 127]);
    head.writeBigUInt64BE(BigInt(payload.length), 2);
  } else if (payload.length > 125) {
    head = Buffer.from([0x81, 126, payload.length >> 8, payload.length & 0xff]);
  }
  return Buffer.concat([head, payload]);
}
