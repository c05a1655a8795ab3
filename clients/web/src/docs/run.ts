// Runs the first conversation against the server that this page comes from.

import type { Frame } from "./steps.js";

/** How long silence is taken for a conversation that goes on. */
const PATIENCE = 30_000;

export interface Run {
  stop: () => void;
}

/** Calls `frame` with everything that goes over the wire, and `over` at the end, with what went wrong if something did. */
export function run(frame: (from: "client" | "server", frame: Frame) => void, over: (problem?: string) => void): Run {
  const ws = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`);
  let timer = 0;
  let ended = false;
  const end = (problem?: string): void => {
    if (ended) return;
    ended = true;
    clearTimeout(timer);
    ws.close();
    over(problem);
  };
  const alive = (): void => {
    clearTimeout(timer);
    timer = window.setTimeout(() => end("The server has been silent for half a minute."), PATIENCE);
  };
  const send = (type: string, id: string, payload: Record<string, unknown>): void => {
    const sent = { id, type, timestamp: new Date().toISOString(), payload };
    ws.send(JSON.stringify(sent));
    frame("client", sent);
  };
  alive();
  ws.onerror = () => end("The connection could not be made.");
  ws.onclose = ({ code }) => end(`The server closed the connection with code ${code}.`);
  ws.onopen = () => {
    send("world_select", "msg-1", { templateName: "default-world", worldName: "my-world", persistent: false });
    send("chat_send", "msg-2", { content: "Hello, agents!", sender: "HUMAN" });
  };
  ws.onmessage = ({ data }) => {
    alive();
    const received = JSON.parse(String(data)) as Frame;
    frame("server", received);
    if (received.type === "error") end(`The server refused it: ${String(received.payload["message"])}`);
    const event = received.payload["event"] as { payload?: { action?: string } } | undefined;
    if (event?.payload?.action === "settled") end();
  };
  return { stop: () => end("Stopped.") };
}
