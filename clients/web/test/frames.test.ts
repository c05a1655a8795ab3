// The protocol as the console shows it: every frame in and out, and frames made by hand.

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { after, test } from "node:test";
import type { Page } from "playwright-core";
import { closeBrowser, visitor } from "./support/browser.js";
import { connection, panel, said, say, settled, startWorld } from "./support/console.js";
import { binary, startServer } from "./support/server.js";

after(closeBrowser);

/** What stands in the place of a session token. */
const NO_TOKEN = `redacted${"-".repeat(35)}`;

interface Line {
  at: string;
  direction: string;
  connection: number;
  frame?: { type?: string; payload?: { type?: string; content?: string; config?: { apiKey?: string }; data?: { sessionToken?: string } } };
  text?: string;
  closeCode?: number;
}

const read = (file: string): Line[] => readFileSync(file, "utf8").trimEnd().split("\n").map((line) => JSON.parse(line) as Line);

const filter = (page: Page, words: string) => page.getByRole("searchbox", { name: "Filter frames" }).fill(words);

test("every frame is shown, explained, and linked with what it answers", async (t) => {
  const server = await startServer(t);
  const page = await (await visitor(server)).open();
  const wire: { direction: string; text: string }[] = [];
  page.on("websocket", (socket) => {
    socket.on("framesent", ({ payload }) => wire.push({ direction: "client", text: String(payload) }));
    socket.on("framereceived", ({ payload }) => wire.push({ direction: "server", text: String(payload) }));
  });
  await page.reload();
  await startWorld(page, "wire");
  await panel(page, "Frames");
  await say(page, "Hello");
  await settled(page);

  await filter(page, "world_selected");
  await page.getByRole("option", { name: /received .* world_selected/ }).click();
  const detail = page.getByRole("region", { name: "Frame 3" });
  await detail.getByText("The answer to world_select: the world as it is now.").waitFor();
  await detail.getByText("The template that the world was cloned from.").waitFor();
  await detail.getByRole("button", { name: "world_select, frame 2" }).click();
  await page.getByRole("region", { name: "Frame 2" }).getByRole("button", { name: "world_selected, frame 3" }).waitFor();

  await filter(page, "");
  await page.getByRole("button", { name: "↑ Sent" }).click();
  await page.locator(".frames .count", { hasText: "2 of" }).waitFor();
  await page.getByRole("button", { name: "All", exact: true }).click();

  await page.getByRole("button", { name: "Pause" }).click();
  const before = await page.locator(".frames .count").getAttribute("data-shown");
  await say(page, "@ada again");
  await settled(page);
  await page.locator(".frames .count", { hasText: /paused; \d+ more since/ }).waitFor();
  assert.equal(await page.locator(".frames .count").getAttribute("data-shown"), before);
  await page.getByRole("button", { name: "Go on" }).click();
  await page.waitForFunction((count) => document.querySelector(".frames .count")?.getAttribute("data-shown") !== count, before);

  const download = page.waitForEvent("download");
  await page.getByRole("button", { name: "Download as NDJSON" }).click();
  const file = await (await download).path();
  // It is a recording as the program itself makes them; a line that is not valid would end this with an error.
  execFileSync(binary, ["validate", "--strict", file]);
  const lines = read(file);
  for (const line of lines) {
    assert.deepEqual(Object.keys(line), ["at", "direction", "connection", "frame"]);
    assert.equal(line.connection, 1);
    assert.match(line.at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  }
  assert.deepEqual(
    lines.map(({ direction, frame }) => ({ direction, frame })),
    wire.map(({ direction, text }) => ({ direction, frame: JSON.parse(text.replace(/"sessionToken":"[^"]+"/, `"sessionToken":"${NO_TOKEN}"`)) as unknown })),
    "nothing is missing, added or changed but for the token",
  );
});

test("what is downloaded holds no secret, tells connections apart, and can be played", async (t) => {
  const server = await startServer(t);
  const guest = await visitor(server);
  const page = await guest.open();
  await startWorld(page, "tape");
  const token = await page.evaluate(() => localStorage.getItem("agent-world.token"));
  const key = "sk-of-nobody-0123456789";
  await panel(page, "Compose");
  const editor = page.getByRole("textbox", { name: "The frame, as JSON" });
  const answer = page.getByRole("region", { name: "The answer" });
  const send = async (text: string, answered: string): Promise<void> => {
    await editor.click();
    await page.keyboard.press("Control+a");
    await page.keyboard.insertText(text);
    await page.locator(".compose").getByRole("button", { name: /^Send( all the same)?$/ }).locator("visible=true").last().click();
    await answer.getByText(answered).waitFor();
  };
  await send(JSON.stringify({ id: "1", type: "agent_update", payload: { agentName: "ada", config: { apiKey: key } } }), '"type": "agent_updated",');
  await send("no JSON", '"code": "INVALID_MESSAGE",');
  await send("[1]", '"code": "INVALID_MESSAGE",');
  await say(page, `@ada my key is ${key}`);
  await said(page, `ada heard: @ada my key is`).waitFor();
  await settled(page);
  guest.serverIsAway = true;
  await server.stop();
  await connection(page, "reconnecting");
  await server.start();
  await connection(page, "open");
  guest.serverIsAway = false;
  await say(page, "@bob again");
  await settled(page);

  const save = async (): Promise<string> => {
    await panel(page, "Frames");
    const download = page.waitForEvent("download");
    await page.getByRole("button", { name: "Download as NDJSON" }).click();
    return (await download).path();
  };
  const file = await save();
  const text = readFileSync(file, "utf8");
  assert.ok(!text.includes(token!) && !text.includes(key), "no secret");
  const lines = read(file);
  const greetings = lines.filter(({ frame }) => frame?.payload?.type === "connected");
  assert.deepEqual(greetings.map(({ connection, frame }) => [connection, frame?.payload?.data?.sessionToken]), [[1, NO_TOKEN], [2, undefined], [3, undefined]]);
  assert.deepEqual(lines.flatMap((line) => line.text ?? []), ["no JSON", "[1]"]);
  assert.ok(lines.some(({ connection, frame }) => connection === 2 && frame?.type === "agent_update" && frame.payload?.config?.apiKey === "redacted"));
  assert.ok(lines.some(({ frame }) => frame?.payload?.content === "@ada my key is redacted"));

  assert.deepEqual(lines.flatMap(({ connection, closeCode }) => (closeCode === undefined ? [] : [[connection, closeCode]])).sort(), [[1, 1006], [2, 1006]]);
  const invalid = spawnSync(binary, ["validate", "--invalid", "--json", file], { encoding: "utf8" }).stdout.trimEnd().split("\n");
  assert.equal(invalid.length, 2, `the texts only: ${invalid.join("\n")}`);
  const other = await startServer(t);
  const played = spawnSync(binary, ["replay", file, other.url], { encoding: "utf8" });
  assert.equal(played.status, 0, played.stdout + played.stderr);

  // What is no frame cannot be cleaned with certainty.
  await panel(page, "Compose");
  await send('"my api_key"', '"code": "INVALID_MESSAGE",');
  assert.equal(read(await save()).find(({ text }) => text?.startsWith("redacted"))?.text, "redacted: 12 bytes that are no frame and may hold a secret");
});

test("the composer completes, catches what is wrong before it is sent, and shows the answer", async (t) => {
  const server = await startServer(t);
  const guest = await visitor(server);
  const page = await guest.open();
  await startWorld(page, "workshop");
  const sent: string[] = [];
  page.on("websocket", (socket) => socket.on("framesent", ({ payload }) => sent.push(String(payload))));

  // As the documents link to it.
  await page.goto(`${server.url}/#compose=agent_update`);
  const editor = page.getByRole("textbox", { name: "The frame, as JSON" });
  await editor.waitFor();
  assert.match((await editor.textContent()) ?? "", /"agent_update"/);
  assert.match((await editor.textContent()) ?? "", /"agentName": "ada"/);

  const write = async (text: string): Promise<void> => {
    await editor.click();
    await page.keyboard.press("Control+a");
    await page.keyboard.insertText(text);
  };
  await write('{"id": "x", "type": "chat_send", "payload": {"contnt": "Hi"}}');
  const problems = page.locator(".problems");
  await problems.getByText('The field "contnt" is not known here.').waitFor();
  await problems.getByText(/content/).first().waitFor();
  assert.ok(await page.getByRole("button", { name: "Send", exact: true }).last().isDisabled());
  await editor.press("Control+Enter");
  assert.deepEqual(sent, [], "nothing of it was sent");

  await write('{"id": "by-hand", "type": "chat_send", "payload": {"content": "Hi", "targetAgent": "b');
  await page.keyboard.press("Control+Space");
  await page.locator(".cm-tooltip-autocomplete li", { hasText: '"bob"' }).click();
  await page.keyboard.insertText("}}");
  await page.locator(".compose").getByRole("button", { name: "Send", exact: true }).click();
  const answer = page.getByRole("region", { name: "The answer" });
  await answer.getByText("status/message_accepted").waitFor();
  await answer.getByText('"replyTo": "by-hand"').waitFor();
  await said(page, "bob heard: Hi").waitFor();
  assert.deepEqual(sent.map((text) => (JSON.parse(text) as { type: string }).type), ["world_select", "chat_send"]);

  // Names of fields come with what the schemas say of them.
  await write('{"id": "x", "type": "chat_send", "payload": {"content": "Hi", ');
  await page.keyboard.press("Control+Space");
  await page.locator(".cm-tooltip-autocomplete li", { hasText: "displayName" }).waitFor();
  await page.keyboard.press("Escape");

  // Who wants to see what the server says may.
  await write('{"id": "wrong", "type": "chat_send", "payload": {}}');
  await page.getByRole("button", { name: "Send all the same" }).click();
  await answer.getByText('"code": "INVALID_MESSAGE",').waitFor();
  await write("no JSON");
  await page.getByRole("button", { name: "Send all the same" }).click();
  await answer.getByText('"code": "INVALID_MESSAGE",').waitFor();
});

test("every type of message begins as a frame that is valid", async (t) => {
  const server = await startServer(t);
  const page = await (await visitor(server)).open();
  await startWorld(page, "types");
  await say(page, "Hello");
  await settled(page);
  await panel(page, "Compose");
  const select = page.getByRole("combobox", { name: "Message" });
  await select.waitFor();
  const types = await select.locator("option").allTextContents();
  assert.equal(types.length, 9);
  for (const type of types) {
    await select.selectOption(type);
    await page.locator(".cm-content", { hasText: `"${type}"` }).waitFor();
    assert.equal(await page.locator(".problems li").count(), 0, `${type}: ${await page.locator(".problems").textContent()}`);
  }
});
