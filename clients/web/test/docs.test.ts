// The documents, as the server serves them: whole, linked, tried, found, and for everybody. What a page must never do (an
// error in the console, a request to another origin) fails each of these tests by itself.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import type { Page } from "playwright-core";
import { violations } from "./support/axe.js";
import { closeBrowser, picture, visitor } from "./support/browser.js";
import { home, startServer } from "./support/server.js";

after(closeBrowser);

interface Catalogue {
  messages: { type: string; direction: string; errors?: string[] }[];
  routes: { operationId: string; method: string; path: string; tag: string }[];
  errorCodes: { code: string; docs: string }[];
  closeCodes: { code: number }[];
}

/** A document of the server. */
const document = async <T>(url: string, path: string): Promise<T> => (await (await fetch(`${url}${path}`)).json()) as T;

/** Goes to another place of the page. */
async function goTo(page: Page, place: string): Promise<void> {
  await page.evaluate((hash) => (location.hash = hash), place);
}

const heading = (page: Page, name: string) => page.locator("#main h1").filter({ hasText: new RegExp(`^${name}$`) });

/** A place, and what is there when it has been drawn. */
const PLACES: readonly [place: string, drawn: string][] = [
  ["start", ".step summary"],
  ["messages", "main table a"],
  ["messages/chat_send", ".aui-root"],
  ["messages/status", ".aui-root"],
  ["http", ".opblock"],
  ["http/createWorld", ".opblock.is-open .execute"],
  ["schemas", ".columns a"],
  ["schemas/Agent", "main table a"],
  ["schemas/WorldAction", "main .card"],
  ["errors/WORLD_NOT_FOUND", ".card"],
  ["close-codes/4001", ".card"],
];

const LOOKS = [
  { name: "light-wide", colorScheme: "light", viewport: { width: 1440, height: 900 } },
  { name: "dark-wide", colorScheme: "dark", viewport: { width: 1440, height: 900 } },
  { name: "light-phone", colorScheme: "light", viewport: { width: 390, height: 844 } },
  { name: "dark-phone", colorScheme: "dark", viewport: { width: 390, height: 844 } },
] as const;

for (const { name, ...options } of LOOKS) {
  test(`every kind of page is drawn, fits and is accessible: ${name}`, async (t) => {
    const server = await startServer(t);
    const page = await (await visitor(server, options)).open("docs");
    for (const [place, drawn] of PLACES) {
      await goTo(page, place);
      await page.locator(drawn).first().waitFor();
      await picture(page, `docs-${place.replace("/", "-")}-${name}`);
      assert.deepEqual(await violations(page), [], place);
      assert.ok(await page.evaluate(() => globalThis.document.documentElement.scrollWidth <= innerWidth), `${place} is no wider than the window`);
    }
  });
}

test("every message, route, definition and code has its page, and no link leads nowhere", async (t) => {
  const server = await startServer(t);
  const { messages, routes, errorCodes, closeCodes } = await document<Catalogue>(server.url, "/catalogue.json");
  const page = await (await visitor(server)).open("docs");
  const links = new Set<string>();
  const gather = async (): Promise<void> => {
    const hrefs = await page.locator("#main a[href*='#']").evaluateAll((anchors) => anchors.map((anchor) => anchor.getAttribute("href") ?? ""));
    for (const href of hrefs) links.add(href.replace(/^\/docs#/, "#"));
  };
  await page.locator(".step summary").first().waitFor();
  await gather();
  for (const { type, direction, errors = [] } of messages) {
    await goTo(page, `messages/${type}`);
    await heading(page, type).waitFor();
    await page.locator("article").getByText(/^Examples$/).first().waitFor();
    if (direction === "client") await page.getByRole("heading", { name: "The answer" }).waitFor();
    assert.equal(await page.getByRole("link", { name: "Open in the composer" }).count(), direction === "client" ? 1 : 0, type);
    for (const code of errors) assert.equal(await page.locator(`main .chips a[href="#errors/${code}"]`).count(), 1, `${type} can be refused with ${code}`);
    await gather();
  }
  await goTo(page, "http");
  await page.locator(".opblock").first().waitFor();
  for (const { operationId, tag } of routes) assert.equal(await page.locator(`[id="operations-${tag}-${operationId}"]`).count(), 1, operationId);
  await goTo(page, "errors");
  for (const { code } of errorCodes) await page.locator(`[id="errors/${code}"]`).waitFor();
  await gather();
  await goTo(page, "close-codes");
  for (const { code } of closeCodes) await page.locator(`[id="close-codes/${code}"]`).waitFor();
  await gather();
  await goTo(page, "schemas");
  await page.locator(".columns a").first().waitFor();
  const names = await page.locator(".columns a").allTextContents();
  assert.ok(names.length >= 160, `${names.length} definitions`);
  for (const name of names) {
    await goTo(page, `schemas/${name}`);
    await heading(page, name).waitFor();
    await gather();
  }
  const places = new Set([
    ...["start", "messages", "http", "schemas", "errors", "close-codes"],
    ...messages.map(({ type }) => `messages/${type}`),
    ...routes.map(({ operationId }) => `http/${operationId}`),
    ...names.map((name) => `schemas/${name}`),
    ...errorCodes.map(({ code }) => `errors/${code}`),
    ...closeCodes.map(({ code }) => `close-codes/${code}`),
  ]);
  const composer = new Set(messages.filter(({ direction }) => direction === "client").map(({ type }) => `/#compose=${type}`));
  const dead = [...links].filter((link) => !places.has(link.slice(1)) && !composer.has(link));
  assert.deepEqual(dead, []);
  assert.ok(links.size >= 200, `${links.size} links`);
});

test("what an error names leads to its explanation", async (t) => {
  const server = await startServer(t);
  const { errorCodes } = await document<Catalogue>(server.url, "/catalogue.json");
  const page = await (await visitor(server)).open("docs");
  const problem = await document<{ type: string; docs: string }>(server.url, "/worlds/nowhere");
  assert.equal(problem.type, "/docs#errors/WORLD_NOT_FOUND");
  await page.goto(new URL(problem.type, server.url).href);
  await page.reload();
  const card = (code: string) => page.locator(`[id="errors/${code}"]`);
  await card("WORLD_NOT_FOUND").waitFor();
  for (const { code, docs } of [...errorCodes, ...errorCodes.slice(0, 1)]) {
    assert.equal(docs, `/docs#errors/${code}`);
    await goTo(page, docs.slice(docs.indexOf("#")));
    await page.waitForFunction((id) => globalThis.document.activeElement?.id === id, `errors/${code}`);
    const box = await card(code).boundingBox();
    assert.ok(box && box.y >= -1 && box.y < 900, `${code} is in sight: ${JSON.stringify(box)}`);
    await card(code).getByText("What to do").waitFor();
  }
});

test("an address that encodes nothing leads to the first page", async (t) => {
  const server = await startServer(t);
  const page = await (await visitor(server)).open("docs#%");
  await page.locator(".step summary").first().waitFor();
  await goTo(page, "errors/WORLD_NOT_FOUND");
  await heading(page, "Error codes").waitFor();
  await goTo(page, "%E0%A4%A");
  await page.locator(".step summary").first().waitFor();
});

test("search finds a route, a message, a schema and a code, by keyboard alone", async (t) => {
  const server = await startServer(t);
  const page = await (await visitor(server)).open("docs");
  const box = page.getByRole("combobox", { name: "Search the documents" });
  await box.waitFor();
  for (const [query, kind, title, place] of [
    ["create world from template", "route", "PUT /worlds/{worldName}", "http/createWorld"],
    ["chat_send", "message", "chat_send", "messages/chat_send"],
    ["WorldNa", "schema", "WorldName", "schemas/WorldName"],
    ["rate limited", "error code", "RATE_LIMITED", "errors/RATE_LIMITED"],
    ["too slow", "close code", "4000 TOO_SLOW", "close-codes/4000"],
  ] as const) {
    await page.locator("#main").focus();
    await page.keyboard.press("/");
    assert.ok(await box.evaluate((input) => input === globalThis.document.activeElement), "/ leads to the search");
    await page.keyboard.type(query);
    const wanted = page.getByRole("option").filter({ hasText: kind }).filter({ has: page.getByText(title, { exact: true }) });
    await wanted.first().waitFor();
    for (let step = 0; (await wanted.first().getAttribute("aria-selected")) !== "true"; step++) {
      assert.ok(step < 12, `${title} can be reached`);
      await page.keyboard.press("ArrowDown");
    }
    await page.keyboard.press("Enter");
    await page.waitForURL(`**/docs#${place}`);
  }
  await page.keyboard.press("/");
  await page.keyboard.type("xyzzy");
  await page.getByText("Nothing found for “xyzzy”.").waitFor();
  await page.keyboard.press("Escape");
  assert.equal(await box.inputValue(), "");
});

test("a route is tried against this server, with a token", async (t) => {
  const server = await startServer(t);
  const page = await (await visitor(server)).open("docs#http/createSession");
  const operation = (tag: string, id: string) => page.locator(`[id="operations-${tag}-${id}"]`);
  const execute = async (tag: string, id: string): Promise<string> => {
    await operation(tag, id).locator("button.execute").click();
    await operation(tag, id).locator(".live-responses-table .response-col_status").first().waitFor();
    return operation(tag, id).locator(".live-responses-table").innerText();
  };
  const created = await execute("session", "createSession");
  assert.match(created, /\b201\b/);
  const token = /"sessionToken":\s*"([^"]+)"/.exec(created)?.[1];
  assert.ok(token, created);
  await page.getByRole("button", { name: "Authorize" }).first().click();
  await page.locator(".modal-ux input").fill(token);
  await page.locator(".modal-ux button.authorize").click();
  await page.locator(".modal-ux button.btn-done").click();
  await goTo(page, "http/listSessionWorlds");
  assert.match(await execute("session", "listSessionWorlds"), /\b200\b/);
});

test("the first conversation is that of the README, and runs", async (t) => {
  const readme = readFileSync(join(home, "../../README.md"), "utf8");
  const server = await startServer(t);
  const page = await (await visitor(server)).open("docs");
  const shown = await page.getByLabel("the first conversation in JavaScript", { exact: true }).innerText();
  const written = shown.replace(`ws://${new URL(server.url).host}/ws`, "ws://localhost:3001/ws");
  assert.ok(readme.includes(written.trim()), `not in the README:\n${written}`);
  await page.getByRole("button", { name: "Run it here" }).click();
  await page.locator('[data-run="settled"]').waitFor();
  await page.locator(".step.done").nth(10).waitFor();
  assert.equal(await page.locator(".step.done").count(), 11, "every step has happened");
  await picture(page, "docs-start-run");
});

test("a message is opened in the composer", async (t) => {
  const server = await startServer(t);
  const page = await (await visitor(server)).open("docs#messages/chat_send");
  await page.getByRole("link", { name: "Open in the composer" }).click();
  await page.waitForURL("**/#compose=chat_send");
  await page.getByRole("region", { name: "Compose" }).or(page.getByText("chat_send")).first().waitFor();
});

test("the first page is light: the renderers come when they are wanted", async (t) => {
  const server = await startServer(t);
  const guest = await visitor(server);
  const page = await guest.open("docs");
  await page.locator(".step summary").first().waitFor();
  const assets = guest.requests.filter((url) => url.includes("/assets/"));
  let bytes = 0;
  for (const url of assets) bytes += Number((await fetch(url, { method: "HEAD", headers: { "accept-encoding": "br" } })).headers.get("content-length"));
  assert.ok(bytes > 10_000 && bytes < 60_000, `${bytes} bytes in ${assets.length} files`);
  t.diagnostic(`${bytes} bytes of scripts and styles`);
});

test("on a phone, the contents open and close", async (t) => {
  const server = await startServer(t);
  const page = await (await visitor(server, { viewport: { width: 390, height: 844 } })).open("docs");
  const contents = page.getByRole("navigation", { name: "Contents" });
  await page.locator(".step").first().waitFor();
  assert.equal(await contents.isVisible(), false);
  await page.getByRole("button", { name: "Contents" }).click();
  await contents.getByRole("link", { name: "Error codes" }).click();
  await heading(page, "Error codes").waitFor();
  assert.equal(await contents.isVisible(), false);
});
