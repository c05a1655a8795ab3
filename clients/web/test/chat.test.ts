// From the first visit to a conversation: one tab, two tabs, a reload in the middle, a reply that fails or is stopped.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { closeBrowser, visitor } from "./support/browser.js";
import { connection, field, panel, replies, said, say, send, settled, startWorld, texts } from "./support/console.js";
import { startServer } from "./support/server.js";

after(closeBrowser);

test("a first visit leads to a first reply, and the world is there the next time", async (t) => {
  const server = await startServer(t);
  const guest = await visitor(server);
  const page = await guest.open();
  await page.getByRole("heading", { name: "Choose a world" }).waitFor();
  const card = page.locator("label.card", { hasText: "stage" });
  await card.getByText("Two agents that play the script of the tests.").waitFor();
  assert.deepEqual(await card.locator(".chip").allTextContents(), ["ada", "bob"]);
  await startWorld(page, "First world");
  await say(page, "Hello");
  await settled(page);
  assert.deepEqual(await texts(page), ["You: Hello", "ada: ada heard: Hello", "bob: bob heard: Hello"]);
  assert.equal(await page.locator(".abreast > article").count(), 2, "replies to one message stand side by side");
  const hues = await page.locator(".abreast > article").evaluateAll((all) => all.map((article) => getComputedStyle(article).getPropertyValue("--hue")));
  assert.notEqual(hues[0], hues[1], "each agent has its colour");

  await page.close();
  const later = await guest.open();
  await later.getByRole("complementary", { name: "Your worlds" }).getByRole("button", { name: /^First world stage/ }).click();
  await said(later, "ada heard: Hello").waitFor();
  assert.deepEqual(await texts(later), ["You: Hello", "ada: ada heard: Hello", "bob: bob heard: Hello"]);

  const stranger = await (await visitor(server)).open();
  await stranger.getByText("None yet.").waitFor();
});

test("a name in any language becomes the title of a world", async (t) => {
  const server = await startServer(t);
  const page = await (await visitor(server)).open();
  await startWorld(page, "Küche 世界");
  await page.getByRole("heading", { level: 1, name: "Küche 世界" }).waitFor();
  assert.match(page.url(), /#world=Kuche/);
});

for (const [where, width, way] of [["beside the list", 1440, "New world"], ["in the head of a narrow window", 1000, "All worlds"], ["on a phone", 390, "Worlds"]] as const) {
  test(`from a world one comes back to the first page: ${where}`, async (t) => {
    const server = await startServer(t);
    const page = await (await visitor(server, { viewport: { width, height: 800 } })).open();
    await startWorld(page, "one");
    await page.getByRole("button", { name: way, exact: true }).locator("visible=true").click();
    await page.getByRole("heading", { name: "Choose a world" }).waitFor();
    await startWorld(page, "two");
    await page.getByRole("heading", { level: 1, name: "two" }).waitFor();
    await page.goBack();
    await page.getByRole("heading", { name: "Choose a world" }).waitFor();
  });
}

test("mentions complete, and ask one agent", async (t) => {
  const server = await startServer(t);
  const page = await (await visitor(server)).open();
  await startWorld(page, "mentions");
  await field(page).pressSequentially("@");
  assert.deepEqual(await page.getByRole("option").locator(".chip").allTextContents(), ["ada", "bob"]);
  await field(page).press("ArrowDown");
  await field(page).press("Enter");
  assert.equal(await field(page).inputValue(), "@bob ");
  await field(page).pressSequentially("are you there?");
  await send(page);
  await settled(page);
  assert.deepEqual(await texts(page), ["You: @bob are you there?", "bob: bob heard: @bob are you there?"]);
});

test("what happens shows in every tab, as it happens", async (t) => {
  const server = await startServer(t);
  const guest = await visitor(server);
  const one = await guest.open();
  await startWorld(one, "shared");
  const two = await guest.open("#world=shared");
  await field(two).waitFor();
  await say(one, "@ada SLOW");
  await replies(two, "ada").getByText("word").waitFor();
  assert.equal(await replies(two, "ada").getAttribute("aria-busy"), "true", "it streams there, too");
  await settled(two);
  await settled(one);
  assert.deepEqual(await texts(two), await texts(one));

  await panel(one, "Agents");
  await panel(two, "Agents");
  for (const page of [one, two]) await page.getByRole("button", { name: /^ada script/ }).click();
  const form = one.locator('[data-agent="ada"]');
  await form.getByLabel("Prompt").fill("You are Ada, and brief.");
  await form.getByLabel("Temperature").fill("0.3");
  await form.getByLabel("Longest reply, in tokens").fill("200");
  await form.getByLabel("Key").fill("sk-secret-of-ada");
  // What is being edited in the other tab stays, and all else follows.
  const other = two.locator('[data-agent="ada"]');
  await other.getByLabel("Model").fill("my-model");
  await form.getByRole("button", { name: "Save" }).click();
  await two.getByRole("button", { name: "ada script · 0.3°" }).waitFor();
  await two.waitForFunction(() => document.querySelector<HTMLTextAreaElement>("#ada-systemPrompt")?.value === "You are Ada, and brief.");
  assert.equal(await other.getByLabel("Longest reply, in tokens").inputValue(), "200");
  assert.equal(await other.getByLabel("Model").inputValue(), "my-model");
  for (const page of [one, two]) {
    const key = page.locator("#ada-apiKey");
    assert.equal(await key.inputValue(), "");
    assert.equal(await key.getAttribute("placeholder"), "A key is set; it cannot be read");
  }
  await form.getByRole("button", { name: "Forget" }).click();
  await two.locator('#ada-apiKey[placeholder="None of its own"]').waitFor();

  await form.getByLabel("Temperature").fill("7");
  await form.getByRole("button", { name: "Save" }).click();
  await form.locator("#ada-temperature-problem").waitFor();
  await one.getByRole("switch", { name: "bob answers" }).click();
  await two.locator('[role="switch"][aria-label="bob answers"][aria-checked="false"]').waitFor();

  await two.getByRole("button", { name: "Add an agent" }).click();
  await two.getByLabel(/^Name: a letter/).fill("cleo");
  await two.getByRole("form", { name: "New agent" }).getByRole("button", { name: "Add" }).click();
  await one.locator('[data-agent="cleo"]').waitFor();
  await two.locator('[data-agent="cleo"]').getByRole("button", { name: "Remove" }).click();
  await two.getByRole("button", { name: "Remove cleo now" }).click();
  await one.locator('[data-agent="cleo"]').waitFor({ state: "detached" });
});

test("a reload in the middle of a reply loses and doubles nothing", async (t) => {
  const server = await startServer(t);
  const page = await (await visitor(server)).open();
  await startWorld(page, "reload");
  await say(page, "SLOW");
  await replies(page, "ada").getByText("word word").waitFor();
  await replies(page, "bob").getByText("word word").waitFor();
  await page.reload();
  await replies(page, "ada").getByText("word word").waitFor();
  assert.equal(await replies(page, "ada").getAttribute("aria-busy"), "true", "it was not over before the reload");
  await settled(page);
  const whole = `${"word ".repeat(60)}the end.`;
  assert.deepEqual(await texts(page), ["You: SLOW", `ada: ${whole}`, `bob: ${whole}`]);
});

test("a reply that is stopped or fails says so, and can be tried again", async (t) => {
  const server = await startServer(t);
  const page = await (await visitor(server)).open();
  await startWorld(page, "trouble");
  await say(page, "HANG");
  await replies(page, "ada").getByText("One moment").waitFor();
  await page.getByRole("button", { name: "Stop ada" }).click();
  await replies(page, "ada").getByText("Stopped before its end").waitFor();
  assert.equal(await replies(page, "bob").getAttribute("aria-busy"), "true", "the other goes on");
  await page.getByRole("button", { name: "Stop", exact: true }).click();
  await settled(page);
  assert.equal(await page.getByText("Stopped before its end").count(), 2);

  await say(page, "@bob ONCE");
  await settled(page);
  await said(page, "Failed: the model is busy PROVIDER_ERROR").waitFor();
  await page.getByRole("button", { name: "Try again: the reply of bob" }).last().click();
  await said(page, "bob heard: @bob ONCE").waitFor();
  await settled(page);
  const again = page.getByRole("button", { name: /^Try again/ });
  assert.equal(await again.count(), 2, "what was tried again is not offered again");
  await page.reload();
  await said(page, "bob heard: @bob ONCE").waitFor();
  await said(page, "Failed: the model is busy").waitFor();
  assert.equal(await again.count(), 2);
  assert.equal(await page.getByText("Stopped before its end").count(), 2, "the history says the same");
  await connection(page, "open");
});
