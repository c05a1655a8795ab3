// What worlds are called: names that the protocol takes, and that no other world of this browser has.

import type { WorldSummary } from "agent-world-client";

const WORLD_NAME = /^[A-Za-z0-9]([A-Za-z0-9 _-]{0,62}[A-Za-z0-9_-])?$/;

/** What the protocol takes as a name, made of what somebody typed. */
export function toWorldName(typed: string, others: readonly WorldSummary[]): string {
  if (WORLD_NAME.test(typed)) return typed;
  const plain = typed.normalize("NFKD").replace(/\p{M}/gu, "").replace(/[^A-Za-z0-9 _-]+/g, " ").trim().replace(/^[ _-]+/, "").slice(0, 60).trim();
  return freeName(plain === "" ? "world" : plain, others);
}

/** A name for a new world of a template. */
export function suggestName(templateName: string, others: readonly WorldSummary[]): string {
  const base = templateName.replace(/-?world$/, "") || "my";
  return freeName(base === "default" ? "my-world" : base, others);
}

/** This name, with a number if another world has it. */
export function freeName(name: string, others: readonly WorldSummary[]): string {
  const taken = new Set(others.map(({ worldName }) => worldName.toLowerCase()));
  for (let count = 1; ; count += 1) {
    // A name has 64 characters at most.
    const candidate = count === 1 ? name : `${name.slice(0, 59).trim()}-${count}`;
    if (!taken.has(candidate.toLowerCase())) return candidate;
  }
}

/** What the world of a log is called: the log's first line says so. */
export async function nameIn(log: Blob): Promise<string | undefined> {
  const [head = ""] = (await log.slice(0, 10_000).text()).split("\n", 1);
  try {
    const { worldName } = JSON.parse(head) as { worldName?: unknown };
    return typeof worldName === "string" ? worldName : undefined;
  } catch {
    return undefined;
  }
}
