// A real browser that is watched: what a page must never do fails the test that opened it.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { type Browser, type BrowserContext, type BrowserContextOptions, type Page, chromium } from "playwright-core";
import { type Server, home } from "./server.js";

/** Debian's chromium; installed where that is allowed. */
function executable(): string {
  const path = process.env["CHROMIUM"] ?? "/usr/bin/chromium";
  if (!existsSync(path) && process.getuid?.() === 0) {
    execFileSync("apt-get", ["update", "-qq"], { stdio: "ignore" });
    execFileSync("apt-get", ["install", "-y", "-qq", "--no-install-recommends", "chromium"], { stdio: "ignore" });
  }
  assert.ok(existsSync(path), `${path} is missing: install chromium, or say where it is in CHROMIUM`);
  return path;
}

const ARGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

let running: Promise<Browser> | undefined;

/** One browser for all tests of a file, closed with the process. */
function browser(): Promise<Browser> {
  running ??= chromium.launch({ executablePath: executable(), args: ARGS });
  return running;
}

export async function closeBrowser(): Promise<void> {
  await (await running)?.close();
  running = undefined;
}

/** A browser profile of its own, as a new visitor has it, whose pages are watched. */
export class Visitor {
  readonly context: BrowserContext;
  readonly #origin: string;
  /** What went wrong on its pages. */
  readonly problems: string[] = [];
  /** Every address that was asked for. */
  readonly requests: string[] = [];
  /** While the server is away, requests fail, and the browser says so in the console. */
  serverIsAway = false;

  constructor(context: BrowserContext, url: string) {
    this.context = context;
    this.#origin = new URL(url).origin;
    context.on("console", (message) => {
      if (message.type() === "error" && !this.serverIsAway) this.problems.push(`console: ${message.text()} (${message.location().url})`);
    });
    context.on("weberror", (error) => this.problems.push(`error: ${error.error().stack}`));
    context.on("dialog", (dialog) => {
      this.problems.push(`dialog: ${dialog.message()}`);
      void dialog.dismiss();
    });
    context.on("request", (request) => {
      const { origin, protocol } = new URL(request.url());
      this.requests.push(request.url());
      if (/^(https?|wss?):$/.test(protocol) && origin !== this.#origin) this.problems.push(`request to another origin: ${request.url()}`);
    });
    context.on("page", (page) => {
      page.on("websocket", (socket) => {
        if (new URL(socket.url()).host !== new URL(url).host) this.problems.push(`socket to another origin: ${socket.url()}`);
      });
    });
  }

  async open(hash = ""): Promise<Page> {
    const page = await this.context.newPage();
    page.setDefaultTimeout(45_000);
    await page.goto(`${this.#origin}/${hash}`);
    return page;
  }
}

/** A visitor whose pages have done nothing wrong when the test is over. */
export async function visitor(server: Server, options: BrowserContextOptions = {}): Promise<Visitor> {
  const context = await (await browser()).newContext({ viewport: { width: 1440, height: 900 }, reducedMotion: "reduce", ...options });
  const guest = new Visitor(context, server.url);
  server.guests.push(async () => {
    await context.close();
    assert.deepEqual(guest.problems, [], "what pages must not do");
  });
  return guest;
}

const shots = join(home, "../../target/web");

/** A picture of the page, for people to look at. */
export async function picture(page: Page, name: string): Promise<void> {
  mkdirSync(shots, { recursive: true });
  await page.screenshot({ path: join(shots, `${name}.png`) });
}
