// Until the server has the console in it: the files of `dist`, and all else from the server.

import { existsSync, readFileSync } from "node:fs";
import { createServer, request } from "node:http";
import { once } from "node:events";
import { connect, type AddressInfo } from "node:net";
import { extname, join } from "node:path";
import { home } from "./server.js";

const TYPES: Record<string, string> = { ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".html": "text/html" };
const CSP = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

export async function startSite(port: () => number): Promise<{ url: string; close(): void }> {
  const origin = (): string => `127.0.0.1:${port()}`;
  const rewritten = (headers: Record<string, unknown>) => ({ ...headers, host: origin(), ...(headers["origin"] ? { origin: `http://${origin()}` } : {}) });
  const site = createServer((incoming, response) => {
    const path = new URL(incoming.url ?? "/", "http://x").pathname;
    const file = join(home, "dist", path === "/" ? "index.html" : path);
    if ((path === "/" || path.startsWith("/assets/")) && existsSync(file)) {
      response.writeHead(200, { "Content-Type": TYPES[extname(file)] ?? "", "Content-Security-Policy": CSP }).end(readFileSync(file));
      return;
    }
    const outgoing = request({ port: port(), host: "127.0.0.1", method: incoming.method, path: incoming.url, headers: rewritten(incoming.headers) as never }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    outgoing.on("error", () => response.destroy());
    incoming.pipe(outgoing);
  });
  site.on("upgrade", (incoming, socket) => {
    const upstream = connect(port(), "127.0.0.1", () => {
      const headers = rewritten(incoming.headers);
      upstream.write(`GET ${incoming.url} HTTP/1.1\r\n${Object.entries(headers).map(([k, v]) => `${k}: ${v}`).join("\r\n")}\r\n\r\n`);
      socket.pipe(upstream).pipe(socket);
    });
    const end = (): void => (socket.destroy(), void upstream.destroy());
    for (const side of [upstream, socket]) side.on("error", end).on("close", end);
  });
  site.listen(0, "127.0.0.1");
  await once(site, "listening");
  return { url: `http://127.0.0.1:${(site.address() as AddressInfo).port}`, close: () => (site.closeAllConnections(), site.close()) };
}
