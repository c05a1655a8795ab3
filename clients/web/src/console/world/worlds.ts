// The worlds that can be opened, and the one that is.

import { batch, computed, effect, signal, untracked } from "@preact/signals";
import { type AgentName, AgentWorldError, type Client, type TemplateSummary, type WorldSummary } from "agent-world-client";
import { deleteWorld, importWorld, listAgents, listSessionWorlds, listTemplates, updateWorld } from "agent-world-client/http";
import { go, route } from "../route.js";
import { client, onClosed, server, state } from "../session/connection.js";
import { keepToken, keptToken, lastWorld, rememberWorld } from "../session/identity.js";
import { freeName, nameIn, toWorldName } from "./names.js";
import { OpenWorld } from "./open-world.js";

export interface Template extends TemplateSummary {
  readonly agents: readonly AgentName[];
}

export const templates = signal<readonly Template[] | undefined>();
export const worlds = signal<readonly WorldSummary[] | undefined>();
export const openWorld = signal<OpenWorld | undefined>();
/** The name of the world that is being opened. */
export const opening = signal<string | undefined>();
/** What the user should know of what did not work. */
export const trouble = signal<string | undefined>();

export async function readTemplates(): Promise<void> {
  const nobody = { url: server };
  const summaries = await listTemplates(nobody);
  templates.value = await Promise.all(
    summaries.map(async (summary) => {
      const agents = await listAgents(nobody, { worldName: summary.name }).catch(() => []);
      return { ...summary, agents: agents.map(({ name }) => name) };
    }),
  );
}

export async function readWorlds(): Promise<void> {
  const token = keptToken();
  try {
    worlds.value = token === undefined ? [] : await listSessionWorlds({ url: server, token });
  } catch (error) {
    // A token that the server does not know is said by the connection.
    if (!(error instanceof AgentWorldError && error.code === "UNAUTHENTICATED")) throw error;
    worlds.value = [];
  }
}

/** Makes a world of a template, under a name in any language, and opens it. */
export async function createWorld(templateName: string, name: string, persistent: boolean): Promise<void> {
  await open({ templateName, ...named(name), persistent });
}

/**
 * Makes a world of an exported log, and opens it. It gets the name that was typed; without one it keeps its own, with a
 * number if another world has it.
 */
export async function importLog(log: Blob, typed: string): Promise<void> {
  const { server } = connectedClient();
  const { worldName, title } = typed === "" ? {} : named(typed);
  const made = await importWorld(server, { body: log, worldName: worldName ?? (await nameOfCopy(log)) });
  // The title that the log brings along would hide the name that was typed.
  if (worldName !== undefined && made.title !== title) {
    await updateWorld(server, { worldName: made.worldName, body: { title: title ?? null } });
  }
  await open({ templateName: made.templateName, worldName: made.worldName, persistent: false });
}

/** A free name for the world of a log, if its own is taken. What is wrong with a log is for the server to say. */
async function nameOfCopy(log: Blob): Promise<string | undefined> {
  const name = await nameIn(log);
  if (name === undefined) return undefined;
  // Another tab may have made worlds, too.
  await readWorlds();
  const free = freeName(name, worlds.value ?? []);
  return free === name ? undefined : free;
}

/** What a world is called, and its title if that cannot be its name. */
function named(typed: string): { worldName: string; title: string | undefined } {
  const worldName = toWorldName(typed, worlds.value ?? []);
  return { worldName, title: typed === worldName ? undefined : typed };
}

export async function removeWorld(worldName: string): Promise<void> {
  await deleteWorld({ url: server, token: keptToken() }, { worldName });
  if (lastWorld() === worldName) rememberWorld(undefined);
  await readWorlds();
}

function connectedClient(): Client {
  const current = client.value;
  if (current === undefined) throw new AgentWorldError("NETWORK", "there is no connection to the server; try again in a moment");
  return current;
}

async function open(selection: { templateName: string; worldName: string; persistent: boolean; title?: string | undefined }): Promise<void> {
  const current = connectedClient();
  opening.value = selection.worldName;
  try {
    const opened = await OpenWorld.open(current, selection);
    opened.selected.on("closed", (cause) => gone(opened, cause));
    // The token counts from here on.
    keepToken(current.sessionToken);
    rememberWorld(opened.name);
    batch(() => {
      openWorld.value?.close();
      openWorld.value = opened;
      trouble.value = undefined;
      go({ world: opened.name }, route.value.world !== undefined);
    });
    void readWorlds().catch(() => undefined);
  } finally {
    opening.value = undefined;
  }
}

/** A world that was open is refused after a reconnect: it was replaced meanwhile. The connection stays. */
function gone(world: OpenWorld, cause: AgentWorldError): void {
  const wasLeft = cause.code === "CLOSED" || world.client.state.status === "closed";
  if (wasLeft || openWorld.value !== world) return;
  world.close();
  openWorld.value = undefined;
  trouble.value = `The world could not be opened again: ${cause.message}.`;
  go({ world: undefined }, true);
  void readWorlds().catch(() => undefined);
}

/** Opens what the address names, when that changes, and when the connection is there. */
async function follow(worldName: string | undefined): Promise<void> {
  if (worldName === openWorld.value?.name) return;
  if (worldName === undefined) {
    openWorld.value?.close();
    openWorld.value = undefined;
    return;
  }
  try {
    await readWorlds();
    const found = worlds.value?.find((world) => world.worldName.toLowerCase() === worldName.toLowerCase());
    if (found === undefined) throw new AgentWorldError("WORLD_NOT_FOUND", `this browser has no world called ${worldName}`);
    await open({ templateName: found.templateName, worldName: found.worldName, persistent: false });
  } catch (error) {
    trouble.value = `The world could not be opened: ${(error as Error).message}.`;
    go({ world: undefined }, true);
  }
}

const connected = computed(() => client.value !== undefined && state.value.status === "open");

export function startFollowing(): void {
  // A link to a message, as the documents have them, takes up the world of the last visit.
  const last = lastWorld();
  if (route.value.compose !== undefined && route.value.world === undefined && last !== undefined && keptToken() !== undefined) {
    go({ world: last }, true);
  }
  effect(() => {
    const { world, compose } = route.value;
    if (!connected.value) return;
    untracked(() => {
      const current = openWorld.value?.name;
      // Nor does such a link leave the world that is open.
      if (compose !== undefined && world === undefined && current !== undefined) go({ world: current }, true);
      else if (world === undefined || world !== opening.value) void follow(world);
    });
  });
  onClosed((cause) => {
    openWorld.value?.close();
    openWorld.value = undefined;
    if (cause.closeCode === 4004) {
      trouble.value = "The world was deleted.";
      go({ world: undefined }, true);
    }
    void readWorlds().catch(() => undefined);
  });
}
