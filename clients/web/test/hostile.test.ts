// What agents and people write is not trusted: it is shown, and never runs, loads or spoils the page.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { closeBrowser, visitor } from "./support/browser.js";
import { replies, say, settled, startWorld } from "./support/console.js";
import { startServer } from "./support/server.js";

after(closeBrowser);

const NASTY = `<img src=x onerror="window.hacked='human'"> \u202eesrever <script>window.hacked='said'</script> ${"x".repeat(2000)}`;

test("hostile text runs nothing, loads nothing, and stays in its place", async (t) => {
  const server = await startServer(t);
  const guest = await visitor(server, { viewport: { width: 390, height: 844 } });
  const page = await guest.open();
  await startWorld(page, "<script>window.hacked='name'</script> world");
  await say(page, `@ada HOSTILE ${NASTY}`);
  await settled(page);
  const reply = replies(page, "ada");
  await reply.waitFor();

  assert.equal(await page.evaluate(() => (window as { hacked?: string }).hacked), undefined);
  const inside = await page.locator(".log").evaluate((log) => ({
    forbidden: log.querySelectorAll("script, img, svg[onload], iframe, style, details, object, embed, [onerror], [onload], [ontoggle]").length,
    links: [...log.querySelectorAll("a")].map((link) => link.getAttribute("href")),
    guarded: [...log.querySelectorAll("a")].every(({ rel, target }) => rel.includes("noopener") && target === "_blank"),
    overrides: /[\u202a-\u202e\u2066-\u2069]/.test(log.textContent ?? ""),
    wide: log.scrollWidth > log.clientWidth,
  }));
  assert.equal(inside.forbidden, 0);
  assert.deepEqual(inside.links, ["https://evil.example/track.png", "https://example.com/fine", "https://example.com/auto"]);
  assert.ok(inside.guarded);
  assert.ok(!inside.overrides, "what turns text around is shown by its number");
  assert.ok(!inside.wide, "huge words break");
  const text = (await reply.textContent()) ?? "";
  for (const shown of ["<script>window.hacked = 'script'</script>", "[U+202E]", "<iframe", "javascript:window.hacked='link'", "<b>"]) {
    assert.ok(text.includes(shown), `${shown} is shown as text`);
  }
  const page2 = await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth);
  assert.ok(page2, "the page is no wider than the phone");
  // A click on every link that is not one runs nothing.
  await reply.getByText("click me").click();
  assert.equal(await page.evaluate(() => (window as { hacked?: string }).hacked), undefined);
  assert.ok(!guest.requests.some((url) => url.includes("evil.example")));
});
