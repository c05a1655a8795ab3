// Where one is, in the address after `#`: `#world=my-world&panel=frames`, or `#compose=chat_send`.

import { signal } from "@preact/signals";

export type Panel = "agents" | "frames" | "compose";
export const PANELS: readonly Panel[] = ["agents", "frames", "compose"];

export interface Route {
  world?: string | undefined;
  /** Which panel stands beside the chat. */
  panel?: Panel | undefined;
  /** The type of message that the composer opens with. */
  compose?: string | undefined;
}

function read(): Route {
  const parameters = new URLSearchParams(location.hash.slice(1));
  const compose = parameters.get("compose") ?? undefined;
  const panel = compose === undefined ? PANELS.find((name) => name === parameters.get("panel")) : "compose";
  return { world: parameters.get("world") ?? undefined, panel, compose };
}

export const route = signal<Route>(read());

/** Goes somewhere. What is not named stays; undefined takes away. */
export function go(change: Route, replace = false): void {
  const next = { ...route.value, ...change };
  const parameters = new URLSearchParams();
  if (next.world !== undefined) parameters.set("world", next.world);
  if (next.compose !== undefined && next.panel === "compose") parameters.set("compose", next.compose);
  else if (next.panel !== undefined) parameters.set("panel", next.panel);
  const hash = parameters.toString().replaceAll("+", "%20");
  const address = hash === "" ? location.pathname : `#${hash}`;
  if (replace) history.replaceState(null, "", address);
  else history.pushState(null, "", address);
  route.value = read();
}

addEventListener("hashchange", () => (route.value = read()));
addEventListener("popstate", () => (route.value = read()));
