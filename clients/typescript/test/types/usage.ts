// What the types say, checked by the compiler: each `@ts-expect-error` is a mistake that must be found.

import {
  AgentWorldError,
  type Agent,
  type Client,
  type ConnectionState,
  type ErrorCode,
  type MessageAccepted,
  type Reply,
  type SelectedWorld,
  type StatusCancelled,
  type WorldReloaded,
  type WorldSelected,
} from "agent-world-client";
import { chat, listEvents, updateAgent } from "agent-world-client/http";

/** Compiles only when both types are the same. */
function same<A, B>(..._: (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? [] : [never]): void {}

export async function requests(client: Client): Promise<void> {
  const world = await client.selectWorld({ templateName: "default-world", worldName: "w" });
  same<typeof world, SelectedWorld>();
  same<typeof world.info, WorldSelected>();
  const cancelled = await client.request("chat_cancel", {});
  same<typeof cancelled, StatusCancelled>();
  const reloaded = await world.reload();
  same<typeof reloaded, WorldReloaded>();
  const accepted = await world.chat("Hello", { displayName: undefined }).accepted;
  same<typeof accepted, MessageAccepted>();
  await world.updateAgent("guide", { model: null, temperature: 0 });

  // @ts-expect-error a world needs a template
  await client.selectWorld({ worldName: "w" });
  // @ts-expect-error no such field
  await client.selectWorld({ templateName: "t", worldName: "w", colour: "red" });
  // @ts-expect-error no such message
  await client.request("chat_whisper", {});
  // @ts-expect-error it has a method of its own
  await client.request("world_select", { templateName: "t", worldName: "w" });
  // @ts-expect-error the content is the first argument
  world.chat({ content: "Hello" });
  // @ts-expect-error an agent has a provider, always
  await world.updateAgent("guide", { provider: null });
  // @ts-expect-error no such event
  world.on("rain", () => {});
}

export async function streams(world: SelectedWorld): Promise<void> {
  for await (const reply of world.chat("Hello")) {
    same<typeof reply, Reply>();
    for await (const text of reply) same<typeof text, string>();
  }
  world.on("world", ({ payload }) => {
    if (payload.action === "agent-created") same<typeof payload.agent, Agent>();
    // @ts-expect-error only some actions have an agent
    payload.agent;
  });
  // @ts-expect-error a reply is read, not made
  world.chat("x").messageId = "x";
}

export function states(state: ConnectionState): string {
  switch (state.status) {
    case "connecting":
      return "";
    case "open":
      return state.userId;
    case "reconnecting":
      return `${state.attempt} ${state.delayMs} ${state.cause.code}`;
    case "closed":
      return state.cause?.message ?? "";
  }
}

export function errors(error: unknown): number | undefined {
  if (!(error instanceof AgentWorldError)) return undefined;
  const known: ErrorCode = "CONFLICT";
  // @ts-expect-error no such code
  if (error.code === "RAINY") return 1;
  return error.code === known && error.retryable ? error.retryAfterMs : undefined;
}

export async function routes(): Promise<void> {
  const server = { url: "http://localhost:3001", token: undefined };
  for await (const frame of await chat(server, { worldName: "w", body: { message: "Hello" } })) {
    if (frame.type === "chat_response") same<typeof frame.payload.content, string>();
    if (frame.type === "unknown") frame.frame["anything"];
    // @ts-expect-error no such type
    if (frame.type === "weather") return;
  }
  await listEvents(server, { worldName: "w", limit: 3 });
  // @ts-expect-error the body says what to change
  await updateAgent(server, { worldName: "w", agentName: "guide" });
}
