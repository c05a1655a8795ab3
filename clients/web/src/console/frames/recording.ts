// The tape as a file, `schema/recording.json`: what `agent-world validate`, `replay` and `mock` read. Whoever is given
// it is given no secret with it.

import type { Tape, Taped } from "./tape.js";

/** The fields whose values are never written, without case, `_` and `-`. */
const SECRET_FIELDS: readonly string[] = ["apikey", "sessiontoken", "authorization"];
const REDACTED = "redacted";
/** A session token that stands in the place of another one: 43 characters, as the schema asks for. */
const REDACTED_TOKEN = REDACTED.padEnd(43, "-");
/** Shorter ones would be found everywhere. */
const SHORTEST_SECRET = 12;

type Fields = Record<string, unknown>;

const plain = (text: string): string => text.replace(/[_-]/g, "").toLowerCase();
const isSecret = (name: string, value: unknown): boolean => value !== null && SECRET_FIELDS.includes(plain(name));
const isFields = (value: unknown): value is Fields => typeof value === "object" && value !== null && !Array.isArray(value);

/**
 * One line for each of some frames, and for the ends of their connections. Secrets are found by the names of their fields
 * on the whole tape, and then wherever else they stand; `secrets` are others to be found.
 */
export function toNdjson(frames: readonly Taped[], tape: Pick<Tape, "frames" | "ends">, secrets: readonly string[] = []): string {
  const known = new Set(secrets);
  for (const { frame } of tape.frames) learn(frame, known);
  for (const { frame } of frames) learn(frame, known);
  const hidden = [...known].filter((secret) => secret.length >= SHORTEST_SECRET);
  // Counted from 1 in what is shown, whatever came before that.
  const connections = new Map<number, number>();
  const lines: object[] = [];
  const ends = [...tape.ends];
  const endBefore = (n: number): void => {
    while (ends[0] !== undefined && ends[0].n < n) {
      const { at, direction, connection, closeCode } = ends.shift()!;
      const number = connections.get(connection);
      if (number !== undefined) lines.push({ at, direction, connection: number, closeCode });
    }
  };
  for (const { n, at, direction, connection, frame, text } of frames) {
    endBefore(n);
    if (!connections.has(connection)) connections.set(connection, connections.size + 1);
    const content = isFields(frame) ? { frame: hide(frame, hidden) } : { text: withheld(text, hidden) };
    lines.push({ at, direction, connection: connections.get(connection), ...content });
  }
  endBefore(Infinity);
  return lines.map((line) => `${JSON.stringify(line)}\n`).join("");
}

function learn(value: unknown, known: Set<string>): void {
  if (Array.isArray(value)) for (const item of value) learn(item, known);
  if (!isFields(value)) return;
  for (const [name, inner] of Object.entries(value)) {
    if (typeof inner === "string" && isSecret(name, inner)) known.add(inner);
    else learn(inner, known);
  }
}

function hide(value: unknown, secrets: readonly string[]): unknown {
  if (typeof value === "string") return hideIn(value, secrets);
  if (Array.isArray(value)) return value.map((item) => hide(item, secrets));
  if (!isFields(value)) return value;
  const fields = Object.entries(value).map(([name, inner]) => {
    if (isSecret(name, inner)) return [name, name === "sessionToken" ? REDACTED_TOKEN : REDACTED];
    return [hideIn(name, secrets), hide(inner, secrets)];
  });
  return Object.fromEntries(fields) as Fields;
}

const hideIn = (text: string, secrets: readonly string[]): string => secrets.reduce((clean, secret) => clean.replaceAll(secret, REDACTED), text);

/** What is no frame cannot be cleaned with certainty: it is left out as a whole. */
function withheld(text: string, secrets: readonly string[]): string {
  const isClean = !SECRET_FIELDS.some((field) => plain(text).includes(field)) && !secrets.some((secret) => text.includes(secret));
  return isClean ? text : `${REDACTED}: ${new TextEncoder().encode(text).length} bytes that are no frame and may hold a secret`;
}
