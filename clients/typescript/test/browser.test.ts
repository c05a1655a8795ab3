// The package as it is shipped, in a real browser: no bundler, the files of `dist` as modules of a page.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { join, normalize } from "node:path";
import { type TestContext, test } from "node:test";
import { type Page, chromium } from "playwright-core";
import { startProxy } from "./support/proxy.js";
import { home, startServer } from "./support/server.js";

/** Debian's chromium; installed where that is allowed. */
function browser(): string {
  const path = process.env["CHROMIUM"] ?? "/usr/bin/chromium";
  if (!existsSync(path) && process.getuid?.() === 0) {
    execFileSync("apt-get", ["update", "-qq"], { stdio: "ignore" });
    execFileSync("apt-get", ["install", "-y", "-qq", "--no-install-recommends", "chromium"], { stdio: "ignore" });
  }
  assert.ok(existsSync(path), `${path} is missing: install chromium, or say where it is in CHROMIUM`);
  return path;
}

/** Serves a page, the modules of the package, and under the same origin the HTTP routes of the server. */
async function startSite(t: TestContext, target: { port: number }): Promise<string> {
  const site = createServer((incoming, response) => {
    const path = normalize(new URL(incoming.url ?? "/", "http://site").pathname);
    const file = join(home, path);
    if (path === "/") response.writeHead(200, { "Content-Type": "text/html" }).end("<!doctype html><title>test</title>");
    else if (path.startsWith("/dist/") && existsSync(file)) {
      response.writeHead(200, { "Content-Type": "text/javascript" }).end(readFileSync(file));
    } else {
      const { method, url, headers } = incoming;
      const outgoing = request({ port: target.port, host: "127.0.0.1", method, path: url, headers }, (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(response);
      });
      outgoing.on("error", () => response.destroy());
      incoming.pipe(outgoing);
    }
  }).listen(0, "127.0.0.1");
  await once(site, "listening");
  t.after(() => {
    site.closeAllConnections();
    site.close();
  });
  return `http://127.0.0.1:${(site.address() as AddressInfo).port}`;
}

async function openPage(t: TestContext, url: string): Promise<Page> {
  const instance = await chromium.launch({ executablePath: browser(), args: ["--no-sandbox"] });
  t.after(() => instance.close());
  const page = await instance.newPage();
  page.on("pageerror", (error) => assert.fail(error));
  await page.goto(url);
  return page;
}

test("a page talks to the agents, loses the network, and goes on", async (t) => {
  const target = { port: 0 };
  const site = await startSite(t, target);
  const server = await startServer(t);
  target.port = server.port;
  const proxy = await startProxy(t, server);
  const page = await openPage(t, site);
  await page.exposeFunction("cut", () => proxy.cut());

  const found = await page.evaluate(async (url) => {
    const { connect } = (await import(`${location.origin}/dist/index.js`)) as typeof import("agent-world-client");
    const states: string[] = [];
    const client = await connect({
      url,
      reconnect: { initialDelayMs: 5, maxDelayMs: 50 },
      onState: ({ status }) => states.at(-1) !== status && states.push(status),
    });
    const world = await client.selectWorld({ templateName: "solo", worldName: "Browser" });
    const messages: string[] = [];
    world.on("message", (event) => messages.push(event.payload.content));
    let text = "";
    let cuts = 0;
    for await (const reply of world.chat("SLOW")) {
      for await (const piece of reply) {
        text += piece;
        if (cuts === 0 && text.split(" ").length > 3) {
          cuts += 1;
          await (globalThis as unknown as { cut(): Promise<void> }).cut();
        }
      }
    }
    const controller = new AbortController();
    const cancelled = world.chat("HANG", { signal: controller.signal });
    await cancelled.accepted;
    controller.abort();
    const ends = (await cancelled.settled()).map(({ finishReason }) => finishReason);

    // The token travels as a subprotocol, as a browser can do nothing else.
    const again = await connect({ url, token: client.sessionToken });
    const sameUser = again.userId === client.userId;
    const refused = await connect({ url, token: "x".repeat(43) }).catch((error: { code: string; closeCode: number }) => [error.code, error.closeCode]);
    again.close();
    client.close();
    return { text, messages, ends, states, sameUser, refused };
  }, proxy.url);

  const twelve = "one two three four five six seven eight nine ten eleven twelve";
  assert.deepEqual(found, {
    text: twelve,
    messages: ["SLOW", twelve, "HANG"],
    ends: ["cancelled"],
    states: ["connecting", "open", "reconnecting", "open", "closed"],
    sameUser: true,
    refused: ["UNAUTHENTICATED", 4001],
  });

  const overHttp = await page.evaluate(async (url) => {
    const { chat, listTemplates } = (await import(`${location.origin}/dist/http.js`)) as typeof import("agent-world-client/http");
    const names = (await listTemplates({ url })).map(({ name }) => name);
    const types: string[] = [];
    const stream = await chat({ url }, { worldName: "solo", body: { message: "Hello" } });
    for await (const frame of stream) types.push(frame.type);
    return { names, types, token: stream.token?.length };
  }, site);
  assert.ok(overHttp.names.includes("solo"));
  assert.equal(overHttp.types.at(-1), "event_stream");
  assert.equal(overHttp.token, 43, "the page may read the header of its token");
});
