// A world that was exported comes back beside itself, under a name of its own.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import type { Page } from "playwright-core";
import { closeBrowser, visitor } from "./support/browser.js";
import { exportLog, field, importLog, panel, say, settled, startWorld, texts } from "./support/console.js";
import { startServer } from "./support/server.js";

after(closeBrowser);

const SAID = ["You: Hello", "ada: ada heard: Hello", "bob: bob heard: Hello"];

/** Waits for the world of this name and title to be open. */
async function opened(page: Page, name: string, title = name): Promise<void> {
  await page.waitForURL((url) => new URLSearchParams(url.hash.slice(1)).get("world") === name);
  await page.getByRole("heading", { level: 1, name: title, exact: true }).waitFor();
  await field(page).waitFor();
}

test("a copy of a world is imported beside it", async (t) => {
  const server = await startServer(t);
  const guest = await visitor(server);
  const page = await guest.open();
  await startWorld(page, "kitchen");
  await say(page, "Hello");
  await settled(page);
  await panel(page, "Agents");
  const log = await exportLog(page);
  const home = (): Promise<void> => page.getByRole("button", { name: "New world" }).click();

  // Without a name it gets a free one, like that of the world.
  for (const name of ["kitchen-2", "kitchen-3"]) {
    await home();
    await importLog(page, log);
    await opened(page, name);
    await page.getByRole("log").getByText("bob heard: Hello").waitFor();
    assert.deepEqual(await texts(page), SAID);
  }

  // With a name it gets that, and in any language.
  for (const [typed, name] of [["Attic", "Attic"], ["Küche 世界", "Kuche"]] as const) {
    await home();
    await page.getByLabel("Name of the world").fill(typed);
    await importLog(page, log);
    await opened(page, name, typed);
    await page.getByRole("log").getByText("bob heard: Hello").waitFor();
    assert.deepEqual(await texts(page), SAID);
  }
  const titled = await exportLog(page);

  // A name that was typed is not replaced by another one.
  await home();
  await page.getByLabel("Name of the world").fill("attic");
  await importLog(page, log);
  await page.getByText("The log was not imported: you have a world of that name; import it under another one.").waitFor();
  assert.match(guest.problems.splice(0).join(), /^console: [^,]* 409 /, "the browser says it, too");

  // What is no log is refused by the server, which says why.
  await page.getByLabel("Name of the world").fill("");
  await importLog(page, Buffer.from("null\n"));
  await page.getByText(/^The log was not imported: .* \(line 1\)\.$/).waitFor();
  assert.match(guest.problems.splice(0).join(), /^console: [^,]* 400 /);

  // Nor hidden by the title that a log brings along.
  await page.getByLabel("Name of the world").fill("cellar");
  await importLog(page, titled);
  await opened(page, "cellar");
});
