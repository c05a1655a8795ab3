// For everybody: by keyboard alone, with a screen reader, in light and dark, wide and on a phone; and quick to come.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { brotliCompressSync, constants } from "node:zlib";
import { violations } from "./support/axe.js";
import { closeBrowser, picture, visitor } from "./support/browser.js";
import { field, panel, replies, said, say, settled, startWorld } from "./support/console.js";
import { startServer } from "./support/server.js";

after(closeBrowser);

const LOOKS = [
  { name: "light-wide", colorScheme: "light", viewport: { width: 1440, height: 900 } },
  { name: "dark-wide", colorScheme: "dark", viewport: { width: 1440, height: 900 } },
  { name: "light-phone", colorScheme: "light", viewport: { width: 390, height: 844 } },
  { name: "dark-phone", colorScheme: "dark", viewport: { width: 390, height: 844 } },
] as const;

for (const { name, ...options } of LOOKS) {
  test(`every view is accessible: ${name}`, async (t) => {
    const server = await startServer(t);
    const page = await (await visitor(server, options)).open();
    const look = async (view: string): Promise<void> => {
      assert.deepEqual(await violations(page), [], view);
      const fits = await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth);
      assert.ok(fits, `${view} is no wider than the window`);
      await picture(page, `${view}-${name}`);
    };
    await page.locator(".card .chip").first().waitFor();
    await look("home");
    await startWorld(page, "Atelier");
    await page.getByText("Nothing was said yet").waitFor();
    await look("empty");
    await say(page, "MARKDOWN: what can you two do?");
    await settled(page);
    await say(page, "@bob ONCE");
    await settled(page);
    await said(page, "Failed: the model is busy").waitFor();
    await look("chat");
    await panel(page, "Agents");
    await page.getByRole("button", { name: /^ada script/ }).click();
    await look("agents");
    await panel(page, "Frames");
    await page.getByRole("searchbox", { name: "Filter frames" }).fill("message_accepted");
    await page.getByRole("option").first().click();
    await page.getByText("What became of").or(page.getByText("The answer to chat_send")).first().waitFor();
    await look("frames");
    await panel(page, "Compose");
    await page.locator(".cm-content").waitFor();
    await page.locator(".compose").getByRole("button", { name: "Send", exact: true }).click();
    await page.getByRole("region", { name: "The answer" }).getByText("status/message_accepted").waitFor();
    await look("compose");
  });
}

test("the keyboard is enough", async (t) => {
  const server = await startServer(t);
  const page = await (await visitor(server)).open();
  await page.locator(".card .chip").first().waitFor();
  const focused = (): Promise<string> => page.evaluate(() => document.activeElement?.getAttribute("aria-label") ?? document.activeElement?.textContent ?? "");
  /** Goes on with Tab until something has the focus. */
  const tabTo = async (wanted: RegExp, key = "Tab"): Promise<void> => {
    for (let count = 0; count < 60; count += 1) {
      if (wanted.test(await focused())) return;
      await page.keyboard.press(key);
    }
    assert.fail(`${wanted} is not reached with ${key}; ${await focused()} is`);
  };
  await page.keyboard.press("Tab");
  assert.equal(await focused(), "Skip to the conversation");
  await page.keyboard.press("Enter");
  for (let count = 0; count < 20 && (await page.evaluate(() => (document.activeElement as HTMLInputElement).type)) !== "radio"; count += 1) await page.keyboard.press("Tab");
  for (let count = 0; count < 6 && (await page.locator('input[type="radio"]:checked').getAttribute("value")) !== "stage"; count += 1) await page.keyboard.press("ArrowDown");
  assert.equal(await page.locator('input[type="radio"]:checked').getAttribute("value"), "stage");
  await page.keyboard.press("Tab");
  await page.keyboard.type("by-keyboard");
  await page.keyboard.press("Enter");
  await page.getByText("Nothing was said yet").waitFor();
  assert.equal(await focused(), "Say something", "one can go on typing");
  await page.keyboard.type("@b");
  await page.keyboard.press("Tab");
  await page.keyboard.type("HANG");
  await page.keyboard.press("Enter");
  await replies(page, "bob").getByText("One moment").waitFor();
  await page.keyboard.press("Escape");
  await replies(page, "bob").getByText("Stopped before its end").waitFor();
  await tabTo(/^Try again: the reply of bob/, "Shift+Tab");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.querySelectorAll("article.agent").length === 2);
  await tabTo(/^Stop$/);
  await page.keyboard.press("Enter");
  await settled(page);
  // What comes is said to who does not see it.
  await page.getByTestId("announcer").getByText("The reply of bob was cancelled").waitFor();

  await tabTo(/^Frames$/, "Shift+Tab");
  await page.keyboard.press("Enter");
  await tabTo(/^Frames, the newest last/);
  await page.keyboard.press("ArrowUp");
  await page.locator('.frame[aria-selected="true"]').waitFor();
  await tabTo(/^Close the frame/);
  await page.keyboard.press("Enter");
  await tabTo(/^Compose$/, "Shift+Tab");
  await page.keyboard.press("Enter");
  await page.locator(".cm-content").waitFor();
  await tabTo(/^The frame, as JSON/);
  await page.keyboard.press("Control+Enter");
  await page.getByRole("region", { name: "The answer" }).getByText("status/message_accepted").waitFor();
  // The editor does not keep who came by Tab.
  await tabTo(/^Send$/);
  await tabTo(/^Colours/, "Shift+Tab");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.documentElement.dataset["theme"]), "light");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => getComputedStyle(document.documentElement).colorScheme), "dark");
  await page.reload();
  assert.equal(await page.evaluate(() => document.documentElement.dataset["theme"]), "dark", "the choice is kept");
});

test("who opens a world can write at once, and the keyboard of a phone stays away until it is asked for", async (t) => {
  const server = await startServer(t);
  const desk = await visitor(server);
  const page = await desk.open();
  await startWorld(page, "desk");
  await page.keyboard.type("from Start");
  assert.equal(await field(page).inputValue(), "from Start");
  await page.reload();
  await field(page).waitFor();
  await page.keyboard.type(" and after a reload");
  assert.equal(await field(page).inputValue(), "from Start and after a reload");

  // Who is at something in a panel is not taken away from it.
  const composer = await desk.open("#panel=compose");
  const editor = composer.locator(".cm-content");
  await editor.click();
  await composer.evaluate(() => (location.hash = "world=desk&panel=compose"));
  await field(composer).waitFor();
  assert.ok(await editor.evaluate((element) => element === document.activeElement));

  const phone = await (await visitor(server, { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true })).open();
  await startWorld(phone, "phone");
  await phone.getByText("Nothing was said yet").waitFor();
  assert.ok(await field(phone).evaluate((element) => element !== document.activeElement));
});

test("the first page comes with less than 100 KB", async (t) => {
  const server = await startServer(t);
  const guest = await visitor(server);
  await guest.context.route("**/*", (route) => route.continue());
  const page = await guest.open();
  await page.locator(".card .chip").first().waitFor();
  let total = 0;
  const sizes: string[] = [];
  for (const url of new Set(guest.requests)) {
    const { pathname } = new URL(url);
    if (pathname !== "/" && !pathname.startsWith("/assets/")) continue;
    const response = await page.request.get(url);
    const size = brotliCompressSync(await response.body(), { params: { [constants.BROTLI_PARAM_QUALITY]: 9 } }).length;
    total += size;
    sizes.push(`${pathname} ${size}`);
  }
  t.diagnostic(`${total} bytes: ${sizes.join(", ")}`);
  assert.ok(sizes.length >= 3, "page, script and style were asked for");
  assert.ok(total < 100_000, `${total} bytes`);
  assert.ok(!guest.requests.some((url) => /compose|schemas/.test(url)), "the editor and the schemas come when they are needed");
});
