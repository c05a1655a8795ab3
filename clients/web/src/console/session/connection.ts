import { signal } from "@preact/signals";
import { type AgentWorldError, type Client, type ConnectionState, connect } from "agent-world-client";
import { tape } from "../frames/tape.js";
import { announce } from "../ui/announce.js";
import { keepToken, keptToken, onTokenOfAnotherTab } from "./identity.js";

/** As the SDK has it, and `refused`: the server does not know the token that this browser kept. */
export type State = ConnectionState | { status: "refused"; cause: AgentWorldError };

export const state = signal<State>({ status: "connecting" });
export const client = signal<Client | undefined>();
/** The server said that it is about to stop. */
export const draining = signal(false);

/** This page's server. */
export const server = location.origin;

const RECONNECT = { initialDelayMs: 300, maxDelayMs: 5_000 };

/** What to do when the connection is closed for good, from outside. */
let whenClosed: (cause: AgentWorldError) => void = () => {};
export const onClosed = (listener: typeof whenClosed): void => void (whenClosed = listener);

let attempt = 0;
let timer: ReturnType<typeof setTimeout> | undefined;

/** Connects as the user of this browser. It goes on trying until the server is there. */
export async function start(): Promise<void> {
  clearTimeout(timer);
  client.value?.close();
  client.value = undefined;
  const token = keptToken();
  let connection = 0;
  try {
    const opened = await connect({
      url: server,
      token,
      reconnect: RECONNECT,
      onFrame: (frame) => tape.add(frame, "console", connection),
      onState: (next) => {
        // Each attempt is a connection of its own.
        if (next.status === "reconnecting" || next.status === "closed") tape.end(connection, next.cause?.closeCode);
        if (next.status !== "open") connection = tape.connect();
        // An attempt to connect that fails is closed by the SDK; what follows is said below.
        if (next.status === "connecting" || client.value !== undefined) state.value = next;
      },
    });
    attempt = 0;
    state.value = opened.state;
    client.value = opened;
    opened.on("draining", () => (draining.value = true));
    opened.on("state", (next) => {
      if (next.status === "open") draining.value = false;
      if (next.status === "reconnecting" && next.attempt === 1) announce("The connection was lost; reconnecting", true);
      if (next.status === "open") announce("Connected again", true);
      if (next.status === "closed" && next.cause !== null && client.value === opened) closed(next.cause);
    });
  } catch (error) {
    const cause = error as AgentWorldError;
    if (cause.code === "UNAUTHENTICATED") {
      state.value = { status: "refused", cause };
      return;
    }
    attempt += 1;
    const delayMs = Math.min(RECONNECT.initialDelayMs * 2 ** attempt, RECONNECT.maxDelayMs);
    state.value = { status: "reconnecting", attempt, delayMs, cause };
    timer = setTimeout(() => void start(), delayMs);
  }
}

/** Does not wait for the next attempt. */
export function reconnectNow(): void {
  if (client.value === undefined) void start();
  else client.value.reconnectNow();
}

/** Gives up the user that the server does not know, with its worlds. */
export function startAsNewUser(): void {
  keepToken(undefined);
  void start();
}

function closed(cause: AgentWorldError): void {
  client.value = undefined;
  if (cause.code === "UNAUTHENTICATED" || cause.closeCode === 4001) state.value = { status: "refused", cause };
  else void start();
  whenClosed(cause);
}

// Two tabs of a first visit are two users, until one of them selects a world: then the other becomes that user.
onTokenOfAnotherTab((token) => {
  const current = client.value;
  if (current !== undefined && current.world === undefined && current.sessionToken !== token) void start();
  else if (state.value.status === "refused") void start();
});
