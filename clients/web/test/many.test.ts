// Ten thousand messages, and five hundred deltas a second: it stays smooth, and the page small.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import type { Page } from "playwright-core";
import { closeBrowser, visitor } from "./support/browser.js";
import { connection, field, importLog, said, say, settled, startWorld } from "./support/console.js";
import { startServer } from "./support/server.js";

after(closeBrowser);

const MESSAGES = 10_000;
/** More nodes than this would mean that the list is not virtual. */
const MOST_NODES = 4_000;

/** How many screens are scrolled. */
const STEPS = 240;

/** The log of a world in which three speak in turn. */
function history(): string {
  const id = (number: number): string => `01980000-0000-7000-8000-${number.toString(16).padStart(12, "0")}`;
  let seq = 0;
  const lines: string[] = [JSON.stringify({ format: "agent-world.export", version: 1, worldName: "long", templateName: "stage", persistent: true })];
  const add = (event: object): void => {
    seq += 1;
    lines.push(JSON.stringify({ seq, id: id(1_000_000 + seq), atMs: 1_790_000_000_000 + seq * 1000, event: { v: 1, ...event } }));
  };
  add({ kind: "worldCreated", templateName: "stage", turnLimit: 5 });
  const createdAt = "2026-09-01T00:00:00.000Z";
  for (const name of ["ada", "bob"]) {
    add({ kind: "agentCreated", agent: { name, status: "active", config: { provider: "script", hasApiKey: false }, createdAt, llmCallCount: 0 } });
  }
  for (let message = 0; message < MESSAGES; ) {
    const rootId = id(message);
    add({ kind: "message", messageId: rootId, sender: "human", senderType: "human", content: `Question ${message}`, rootId });
    message += 1;
    for (const agentName of ["ada", "bob"]) {
      if (message >= MESSAGES) break;
      const reply = { agentName, messageId: id(message), inReplyTo: rootId, rootId };
      const content = `Answer ${message} with **weight**:\n\n${"some more words ".repeat((message % 7) * 6)}\n\n- one\n- two`;
      add({ kind: "routed", messageId: rootId, rootId, turns: [{ agentName, replyId: reply.messageId }] });
      add({ kind: "replyStarted", reply });
      add({ kind: "replyEnded", reply, content, finishReason: "stop" });
      add({ kind: "message", messageId: reply.messageId, sender: agentName, senderType: "agent", content, inReplyTo: rootId, rootId });
      message += 1;
    }
    add({ kind: "settled", rootId });
  }
  return `${lines.join("\n")}\n`;
}

interface Pace {
  /** Times between pictures, in milliseconds. */
  pictures: number;
  median: number;
  p95: number;
  worst: number;
  /** What the page's main thread worked, in milliseconds: that others use the machine, too, does not count. */
  work: number;
}

/** Measures the page while something goes on. */
async function pace(page: Page, during: () => Promise<void>): Promise<Pace> {
  const devtools = await page.context().newCDPSession(page);
  await devtools.send("Performance.enable");
  const worked = async (): Promise<number> => {
    const { metrics } = await devtools.send("Performance.getMetrics");
    return 1000 * (metrics.find(({ name }) => name === "ThreadTime")?.value ?? NaN);
  };
  const before = await worked();
  await page.evaluate(() => {
    const times: number[] = [];
    let last = performance.now();
    const tick = (): void => {
      const now = performance.now();
      times.push(now - last);
      last = now;
      if (state.on) requestAnimationFrame(tick);
    };
    const state = { on: true, times };
    (window as { measure?: typeof state }).measure = state;
    requestAnimationFrame(tick);
  });
  await during();
  const work = Math.round((await worked()) - before);
  await devtools.detach();
  const times = await page.evaluate(() => {
    const { measure } = window as unknown as { measure: { on: boolean; times: number[] } };
    measure.on = false;
    return measure.times.slice(1);
  });
  times.sort((a, b) => a - b);
  const at = (part: number): number => Math.round(times[Math.min(times.length - 1, Math.floor(times.length * part))] ?? 0);
  return { pictures: times.length, median: at(0.5), p95: at(0.95), worst: at(1), work };
}

/** The pace of a page that does nothing, on this machine as busy as it is. */
const idle = (page: Page): Promise<Pace> => pace(page, () => page.waitForTimeout(1500));

function assertSmooth(pace: Pace, quiet: Pace): void {
  const found = `${JSON.stringify(pace)}; when idle ${JSON.stringify(quiet)}`;
  assert.ok(pace.median <= Math.max(34, 2 * quiet.median), `twenty-five pictures a second or more: ${found}`);
  assert.ok(pace.p95 <= Math.max(150, 4 * quiet.p95), `it does not stutter: ${found}`);
}

const nodes = (page: Page): Promise<number> => page.evaluate(() => document.querySelectorAll("*").length);

test("ten thousand messages are read as one scrolls, and stay smooth", async (t) => {
  const server = await startServer(t);
  const guest = await visitor(server);
  const page = await guest.open();
  await connection(page, "open");
  await importLog(page, Buffer.from(history()));
  await field(page).waitFor({ timeout: 60_000 });
  const began = performance.now();
  await page.reload();
  await said(page, `Answer ${MESSAGES - 2} with`).waitFor();
  t.diagnostic(`the newest of ${MESSAGES} messages is shown after ${Math.round(performance.now() - began)} ms`);

  // To the beginning: each page that is read in front must leave what is in sight where it is.
  const log = page.locator(".log");
  const quiet = await idle(page);
  const reading = await pace(page, async () => {
    await log.hover();
    await page.mouse.wheel(0, -600);
    await page.getByRole("button", { name: "To the newest" }).waitFor();
    await page.evaluate(async () => {
      const log = document.querySelector(".log");
      const end = performance.now() + 90_000;
      while (log !== null && performance.now() < end && !document.body.textContent?.includes("The world was created")) {
        log.scrollTop = 0;
        await new Promise((resolve) => requestAnimationFrame(resolve));
      }
    });
  });
  await page.getByText("Question 0", { exact: true }).waitFor();
  assert.ok((await nodes(page)) < MOST_NODES);

  // All the way back down, a screen at a time.
  const scrolling = await pace(page, async () => {
    await page.evaluate(async (steps) => {
      const log = document.querySelector(".log");
      for (let step = 0; log !== null && step < steps; step += 1) {
        log.scrollTop += log.clientHeight * 0.9;
        await new Promise((resolve) => requestAnimationFrame(resolve));
      }
    }, STEPS);
  });
  const height = await log.evaluate((element) => element.scrollHeight);
  t.diagnostic(`reading the history: ${JSON.stringify(reading)}; scrolling: ${JSON.stringify(scrolling)}; ${await nodes(page)} nodes for ${height} pixels`);
  assert.ok((await nodes(page)) < MOST_NODES);
  assert.ok(height > 500_000, "all of it is there");
  assertSmooth(scrolling, quiet);
  assert.ok(scrolling.work / STEPS < 30, `a screen is drawn in time: ${scrolling.work / STEPS} ms`);

  await page.getByRole("button", { name: "To the newest" }).click();
  await said(page, `Answer ${MESSAGES - 2} with`).waitFor();
  await say(page, "@ada still quick?");
  await said(page, "ada heard: @ada still quick?").waitFor();
  const typing = await pace(page, () => field(page).pressSequentially("typing is not slowed down by what was said", { delay: 10 }));
  t.diagnostic(`typing: ${JSON.stringify(typing)}`);
  assertSmooth(typing, quiet);
});

test("five hundred deltas a second are drawn smoothly, and all of them arrive", async (t) => {
  const server = await startServer(t);
  const page = await (await visitor(server)).open();
  await startWorld(page, "flood", "crowd");
  const came: number[] = [];
  page.on("websocket", (socket) => socket.on("framereceived", () => came.push(performance.now())));
  await page.reload();
  await field(page).waitFor();
  const quiet = await idle(page);
  const times = await pace(page, async () => {
    await say(page, "FLOOD");
    await page.getByText("pours words.").first().waitFor();
    await settled(page, 60_000);
  });
  const seconds = ((came.at(-1) ?? 0) - (came[0] ?? 0)) / 1000;
  /** In the fullest second. */
  const rate = Math.max(...came.map((at, index) => came.findIndex((later) => later > at + 1000) - index));
  t.diagnostic(`${came.length} frames in ${seconds.toFixed(1)} s, up to ${rate}/s; pictures: ${JSON.stringify(times)}, ${JSON.stringify(quiet)} when idle`);
  assert.ok(rate >= 500, `only ${rate} frames a second came`);
  assertSmooth(times, quiet);
  // At 500 a second the page has half of its time left.
  assert.ok((times.work / came.length) * 500 < 500, `${(times.work / came.length) * 500} ms of work for 500 deltas`);
  const replies = await page.locator("article.agent .markdown").evaluateAll((all) => all.map((reply) => reply.textContent?.split("pours words.").length));
  assert.deepEqual(replies, [1901, 1901, 1901, 1901]);
  assert.equal(await page.locator("article.agent strong").count(), 4);
});
