import { KNOWN, type Known, type ServerMessage } from "./generated/protocol.js";

/**
 * A frame whose type, or whose payload's kind, this version of the client does not know: the server is newer. It
 * is delivered as it came.
 */
export interface UnknownMessage {
  type: "unknown";
  frame: { readonly [field: string]: unknown };
}

/** Reads one frame of the server. Undefined: it is no JSON object with a `type`. */
export function readFrame(text: string): ServerMessage | UnknownMessage | undefined {
  let frame: unknown;
  try {
    frame = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isObject(frame) || typeof frame["type"] !== "string") return undefined;
  const known = Object.hasOwn(KNOWN, frame["type"]) ? KNOWN[frame["type"]] : undefined;
  if (known === undefined || !isObject(frame["payload"]) || !isKnown(frame["payload"], known)) {
    return { type: "unknown", frame };
  }
  return frame as unknown as ServerMessage;
}

function isKnown(value: { [field: string]: unknown }, known: Known): boolean {
  if (known.tag !== undefined) {
    const tag = value[known.tag];
    const variant = typeof tag === "string" && Object.hasOwn(known.variants ?? {}, tag) ? known.variants?.[tag] : undefined;
    return variant !== undefined && isKnown(value, variant);
  }
  return Object.entries(known.fields ?? {}).every(([field, inner]) => {
    const held = value[field];
    return isObject(held) && isKnown(held, inner);
  });
}

function isObject(value: unknown): value is { [field: string]: unknown } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
