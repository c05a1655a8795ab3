// What the AsyncAPI component shows of one message, in the form that it takes without its parser: references resolved,
// everything under its name. The parser compiles code from schemas, which the Content-Security-Policy forbids; and the
// document has been held to it before.

import type { AsyncApi, Reference } from "../documents.js";

type Node = Record<string, unknown>;

/** The part of the document that is about the message `type`. */
export interface Part {
  schema: Node;
  /** The names of messages that no operation shows: the server sends them as answers only. */
  answers: string[];
}

export function documentOf(type: string, whole: AsyncApi): Part {
  const document = structuredClone(whole);
  const names = Object.keys(document.channels["connection"]?.messages ?? {});
  const wanted = new Set(names.filter((name) => name === type || name.startsWith(`${type}_`) && type === "status"));
  const mentions = (references: Reference[]): boolean => references.some(({ $ref }) => wanted.has(last($ref)));
  for (const [name, operation] of Object.entries(document.operations)) {
    if (!mentions(operation.messages)) delete document.operations[name];
    else quiet(operation);
  }
  const operations = Object.values(document.operations);
  const named = (references: Reference[]): string[] => references.map(({ $ref }) => last($ref));
  const sent = new Set(operations.flatMap(({ messages }) => named(messages)));
  const shown = new Set([...wanted, ...sent, ...operations.flatMap(({ reply }) => named(reply?.messages ?? []))]);
  const components: Set<string> = new Set();
  for (const channel of Object.values(document.channels)) {
    quiet(channel);
    for (const [name, reference] of Object.entries(channel.messages)) {
      if (shown.has(name)) components.add(last(reference.$ref));
      else delete channel.messages[name];
    }
  }
  for (const [name, message] of Object.entries(document.components.messages)) {
    if (!components.has(name)) delete document.components.messages[name];
    else quiet(message);
  }
  identify(document.components.schemas, "x-parser-schema-id");
  for (const group of [document.operations, document.channels, document.components.messages]) identify(group, "x-parser-unique-object-id");
  const node = document as unknown as Node;
  resolve(node);
  for (const key of ["servers", "defaultContentType"]) delete node[key];
  const schema = Object.assign(node, { "x-parser-spec-parsed": true, "x-parser-api-version": 3 });
  return { schema, answers: [...wanted].filter((name) => !sent.has(name)) };
}

const last = (reference: string): string => reference.slice(reference.lastIndexOf("/") + 1);

/** Takes away what stands above already, or is the same everywhere. */
function quiet(part: object): void {
  for (const key of ["description", "summary", "tags", "servers", "bindings", "contentType", "correlationId"]) delete (part as Node)[key];
}

function identify(group: object, key: string): void {
  for (const [name, value] of Object.entries(group)) (value as Node)[key] ??= name;
}

/** Puts what references mean in their places; what refers to itself becomes a circle, which the component knows. */
function resolve(document: Node): void {
  const at = (reference: string): unknown =>
    reference
      .slice(2)
      .split("/")
      .reduce<unknown>((value, key) => (value as Node | undefined)?.[key.replaceAll("~1", "/").replaceAll("~0", "~")], document);
  const seen = new Set<object>();
  const open: object[] = [document];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    if (seen.has(next)) continue;
    seen.add(next);
    for (const [key, inner] of Object.entries(next)) {
      let value: unknown = inner;
      for (let hops = 0; typeof (value as Reference | null)?.$ref === "string" && hops < 10; hops++) value = at((value as Reference).$ref);
      if (value !== inner) (next as Node)[key] = value;
      if (typeof value === "object" && value !== null) open.push(value);
    }
  }
}
