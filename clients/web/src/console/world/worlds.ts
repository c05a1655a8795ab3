// The worlds that can be opened, and the one that is.

import { batch, computed, effect, signal, untracked } from "@preact/signals";
import { type AgentName, AgentWorldError, type TemplateSummary, type WorldSummary } from "agent-world-client";
import { deleteWorld, importWorld, listAgents, listSessionWorlds, listTemplates } from "agent-world-client/http";
import { go, route } from "../route.js";
import { client, onClosed, server, state } from "../session/connection.js";
import { keepToken, keptToken, lastWorld, rememberWorld } from "../session/identity.js";
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
  const worldName = toWorldName(name, worlds.value ?? []);
  const title = name.trim() !== "" && name.trim() !== worldName ? name.trim() : undefined;
  await open({ templateName, worldName, persistent, title });
}

/** Makes a world of an exported log, and opens it. */
export async function importLog(log: Blob): Promise<void> {
  const current = client.value;
  if (current === undefined) throw new AgentWorldError("NETWORK", "there is no connection to the server; try again in a moment");
  const { worldName, templateName } = await importWorld(current.server, { body: log });
  await open({ templateName, worldName, persistent: false });
}

export async function removeWorld(worldName: string): Promise<void> {
  await deleteWorld({ url: server, token: keptToken() }, { worldName });
  if (lastWorld() === worldName) rememberWorld(undefined);
  await readWorlds();
}

async function open(selection: { templateName: string; worldName: string; persistent: boolean; title?: string | undefined }): Promise<void> {
  const current = client.value;
  if (current === undefined) throw new AgentWorldError("NETWORK", "there is no connection to the server; try again in a moment");
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

const WORLD_NAME = /^[A-Za-z0-9]([A-Za-z0-9 _-]{0,62}[A-Za-z0-9_-])?$/;

/** What the protocol takes as a name, made of what somebody typed. */
function toWorldName(name: string, others: readonly WorldSummary[]): string {
  const plain = name.trim();
  if (WORLD_NAME.test(plain)) return plain;
  const cut = plain.normalize("NFKD").replace(/\p{M}/gu, "").replace(/[^A-Za-z0-9 _-]+/g, " ").trim().replace(/^[ _-]+/, "").slice(0, 60).trim();
  const base = cut === "" ? "world" : cut;
  const taken = new Set(others.map(({ worldName }) => worldName.toLowerCase()));
  for (let count = 1; ; count += 1) {
    const candidate = count === 1 ? base : `${base}-${count}`;
    if (!taken.has(candidate.toLowerCase())) return candidate;
  }
}

/** A name for a new world of a template that no other world has. */
export function freeName(templateName: string): string {
  const taken = new Set((worlds.value ?? []).map(({ worldName }) => worldName.toLowerCase()));
  const base = templateName.replace(/-?world$/, "") || "my";
  for (let count = 1; ; count += 1) {
    const candidate = `${base === "default" ? "my-world" : base}${count === 1 ? "" : `-${count}`}`;
    if (!taken.has(candidate.toLowerCase())) return candidate;
  }
}
