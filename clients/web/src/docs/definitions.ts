// Every definition of every schema, and what refers to it.

import { type OpenApi, type Schema, asyncapi, catalogue, fetched, openapi } from "./documents.js";
import { address } from "./route.js";

export interface Definition {
  name: string;
  schema: Schema;
  /** Examples of the frames that hold it. */
  examples: unknown[];
  usedBy: { label: string; to: string }[];
}

/** Files that people write; no message or route leads to them. */
const FILES = ["/schema/template.json", "/schema/script.json"];

let all: Promise<Map<string, Definition>> | undefined;

export function definitions(): Promise<Map<string, Definition>> {
  all ??= read();
  all.catch(() => (all = undefined));
  return all;
}

async function read(): Promise<Map<string, Definition>> {
  const [open, async, { messages }] = await Promise.all([openapi(), asyncapi(), catalogue()]);
  const schemas: Record<string, Schema> = { ...open.components.schemas, ...async.components.schemas };
  // Some messages are there by their variants only.
  const absent = messages.filter(({ title }) => schemas[title] === undefined).map(({ schema }) => schema);
  await addFiles(schemas, [...FILES, ...absent]);
  const names = Object.keys(schemas).sort((a, b) => a.localeCompare(b));
  const found = new Map(names.map((name) => [name, { name, schema: schemas[name] ?? {}, examples: [], usedBy: [] } as Definition]));
  const use = (value: unknown, label: string, to: string): void => {
    for (const name of references(value)) {
      const usedBy = found.get(name)?.usedBy;
      if (usedBy?.every((use) => use.to !== to)) usedBy.push({ label, to });
    }
  };
  for (const { name, schema } of found.values()) use(schema, name, address("schemas", name));
  for (const { label, to, value } of roots(open)) use(value, label, to);
  for (const [component, { name, examples }] of Object.entries(async.components.messages)) {
    const payloads = examples?.map(({ payload }) => payload) ?? [];
    found.get(component)?.examples.push(...payloads);
    const payload = schemas[component]?.properties?.["payload"];
    for (const of of references(payload)) found.get(of)?.examples.push(...payloads.map((frame) => (frame as { payload?: unknown }).payload ?? {}));
    const [message = name] = name.split("/");
    found.get(component)?.usedBy.push({ label: message, to: address("messages", message) });
  }
  return found;
}

/** Adds what the files define, and what they refer to that is not there yet. */
async function addFiles(schemas: Record<string, Schema>, paths: string[]): Promise<void> {
  const seen = new Set<string>();
  for (let open = paths; open.length > 0; ) {
    for (const path of open) seen.add(path);
    const files = await Promise.all(open.map(async (path) => ({ path, file: await fetched<SchemaFile>(path) })));
    const next = new Set<string>();
    for (const { path, file } of files) {
      const { $defs = {}, $id: _id, $schema: _schema, ...root } = file;
      const defined = root.title !== undefined && root.type === undefined && root.oneOf === undefined ? $defs : { ...$defs, [root.title ?? path]: root };
      for (const [name, schema] of Object.entries(defined)) schemas[name] ??= schema;
      for (const reference of referencesOf(file)) {
        if (reference.startsWith("#") || schemas[target(reference)] !== undefined) continue;
        const other = new URL(reference, `${location.origin}${path}`).pathname;
        if (!seen.has(other)) next.add(other);
      }
    }
    open = [...next];
  }
}

type SchemaFile = Schema & { $defs?: Record<string, Schema> };

/** The operations over HTTP, with all that they take and give. */
function* roots(open: OpenApi): Iterable<{ label: string; to: string; value: unknown }> {
  for (const [path, methods] of Object.entries(open.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      if (typeof operation !== "object" || !("operationId" in operation)) continue;
      yield { label: `${method.toUpperCase()} ${path}`, to: address("http", operation.operationId), value: operation };
    }
  }
}

/** The name that a reference ends in. */
export const target = (reference: string): string => reference.slice(Math.max(reference.lastIndexOf("/"), reference.lastIndexOf("#")) + 1);

/** The names that are referred to. */
const references = (value: unknown): Set<string> => new Set([...referencesOf(value)].map(target));

function referencesOf(value: unknown): Set<string> {
  const found = new Set<string>();
  const open = [value];
  while (open.length > 0) {
    const next = open.pop();
    if (typeof next !== "object" || next === null) continue;
    for (const [key, inner] of Object.entries(next)) {
      if (key === "$ref" && typeof inner === "string") found.add(inner);
      else if (key !== "examples" && key !== "example") open.push(inner);
    }
  }
  return found;
}
