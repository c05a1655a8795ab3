// What a user does in the console.

import { readFile } from "node:fs/promises";
import type { Locator, Page } from "playwright-core";

/** Starts a world of a template, from the first page. */
export async function startWorld(page: Page, worldName: string, template = "stage"): Promise<void> {
  await page.getByRole("radio", { name: template }).check();
  await page.getByLabel("Name of the world").fill(worldName);
  await page.getByRole("button", { name: "Start", exact: true }).click();
  await field(page).waitFor();
}

export function field(page: Page): Locator {
  return page.getByRole("textbox", { name: "Say something" });
}

/** Says something; it has reached the world when this is over. */
export async function say(page: Page, text: string): Promise<void> {
  await field(page).fill(text);
  await send(page);
}

/** Sends what is written. */
export async function send(page: Page): Promise<void> {
  await field(page).press("Enter");
  await page.locator("article.pending").waitFor({ state: "detached" });
}

/** The replies of an agent, in the order of the world. */
export function replies(page: Page, agent: string): Locator {
  return page.locator(`article.agent[aria-label^="${agent} "]`);
}

/** Waits until nobody is at it. */
export async function settled(page: Page, timeout = 45_000): Promise<void> {
  await page.locator("form.say button.stop").waitFor({ state: "detached", timeout });
  // What came last is drawn with the next picture.
  await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
}

/** A text in the conversation, not where it is read out. */
export function said(page: Page, text: string): Locator {
  return page.getByRole("log").getByText(text);
}

export async function connection(page: Page, status: "open" | "reconnecting"): Promise<void> {
  await page.locator(`.connection[data-status="${status}"]`).waitFor();
}

/** Opens or closes a panel. */
export async function panel(page: Page, name: "Agents" | "Frames" | "Compose"): Promise<void> {
  await page.getByRole("group", { name: "Panels" }).or(page.getByRole("navigation", { name: "Views" })).getByRole("button", { name }).locator("visible=true").click();
}

/** Everything that was said, by its text, as it stands on the page. */
export function texts(page: Page): Promise<string[]> {
  return page.locator("article.speech").evaluateAll((articles) =>
    articles.map((article) => {
      const who = article.querySelector(".name")?.textContent ?? "";
      const text = (article.querySelector(".text") ?? article.querySelector(".markdown"))?.textContent ?? "";
      const end = article.querySelector(".end")?.textContent ?? "";
      return `${who}: ${text.trim()}${end === "" ? "" : ` [${end}]`}`;
    }),
  );
}

/** Exports the log of the world that is open, from the panel of its agents. */
export async function exportLog(page: Page): Promise<Buffer> {
  const download = page.waitForEvent("download");
  await page.getByRole("button", { name: "Export the log" }).click();
  return readFile(await (await download).path());
}

/** Chooses a log on the first page. */
export async function importLog(page: Page, log: Buffer): Promise<void> {
  await page.getByLabel("Import its log").setInputFiles({ name: "log.ndjson", mimeType: "application/x-ndjson", buffer: log });
}
