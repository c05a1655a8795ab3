// The server is killed, and comes back: the console does, too, with everything once.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { closeBrowser, visitor } from "./support/browser.js";
import { connection, field, replies, said, say, settled, startWorld, texts } from "./support/console.js";
import { startServer } from "./support/server.js";

after(closeBrowser);

test("kill -9 in the middle of a reply: the console reconnects, and nothing is missing or doubled", async (t) => {
  const server = await startServer(t);
  const guest = await visitor(server);
  const page = await guest.open();
  const other = await guest.open();
  // The browser draws little of pages behind others.
  await page.bringToFront();
  await startWorld(page, "survivor");
  await say(page, "Before");
  await settled(page);
  await say(page, "CRASH");
  await replies(page, "ada").getByText("Before the crash").waitFor();
  await replies(page, "bob").getByText("bob is done.").waitFor();

  guest.serverIsAway = true;
  await server.stop("SIGKILL");
  await connection(page, "reconnecting");
  // What is said meanwhile is not lost.
  await field(page).fill("Are you back?");
  await field(page).press("Enter");
  await page.getByText("Sending…").waitFor();
  await server.start();
  await connection(page, "open");
  await connection(other, "open");
  guest.serverIsAway = false;
  await said(page, "ada heard: Are you back?").waitFor();
  await said(page, "bob heard: Are you back?").waitFor();
  await settled(page);
  const expected = [
    "You: Before",
    "ada: ada heard: Before",
    "bob: bob heard: Before",
    "You: CRASH",
    "ada: Before the crash [Interrupted: the server stopped while this was writtenTry again]",
    "bob: bob is done.",
    "You: Are you back?",
    "ada: ada heard: Are you back?",
    "bob: bob heard: Are you back?",
  ];
  assert.deepEqual(await texts(page), expected);
  assert.equal(await page.getByText("Sending…").count(), 0);
});

test("a world that was replaced while the connection was away is told, not left standing", async (t) => {
  const server = await startServer(t);
  const guest = await visitor(server);
  const page = await guest.open();
  let away = false;
  let cut = (): void => {};
  await page.routeWebSocket(/\/ws$/, async (socket) => {
    if (away) return void socket.close({ code: 1012 });
    socket.connectToServer();
    cut = () => void socket.close({ code: 1012 });
  });
  await page.reload();
  await startWorld(page, "replaced");
  const token = await page.evaluate(() => localStorage.getItem("agent-world.token"));
  const ask = async (method: string, body?: object): Promise<void> => {
    const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json" };
    const response = await fetch(`${server.url}/worlds/replaced`, { method, headers, body: body === undefined ? null : JSON.stringify(body) });
    assert.ok(response.ok, await response.text());
  };
  away = true;
  cut();
  await connection(page, "reconnecting");
  await ask("DELETE");
  await ask("PUT", { templateName: "crowd" });
  away = false;
  await page.getByText(/The world could not be opened again: .*template/).waitFor();
  await connection(page, "open");
  assert.equal(await field(page).count(), 0);
});

test("a server that stops in good order says so, and a token that it does not know is told, not replaced", async (t) => {
  const server = await startServer(t);
  const guest = await visitor(server);
  const page = await guest.open();
  await startWorld(page, "drained");
  guest.serverIsAway = true;
  await server.stop("SIGTERM");
  await connection(page, "reconnecting");
  await server.start();
  await connection(page, "open");
  guest.serverIsAway = false;
  await say(page, "Still here?");
  await said(page, "ada heard: Still here?").waitFor();

  const forged = await visitor(server);
  await forged.context.addInitScript(() => {
    if (location.protocol === "about:" || sessionStorage.getItem("forged") !== null) return;
    sessionStorage.setItem("forged", "1");
    localStorage.setItem("agent-world.token", "x".repeat(43));
  });
  // The refusal of the list of worlds stands in the browser's console, as every 401 does.
  forged.serverIsAway = true;
  const stale = await forged.open();
  await stale.getByText("This server does not know the user of this browser").waitFor();
  await stale.getByRole("button", { name: "Start as a new user" }).click();
  await connection(stale, "open");
  forged.serverIsAway = false;
  await startWorld(stale, "new");
  await say(stale, "Hello");
  await said(stale, "ada heard: Hello").waitFor();
});
