// The documents of the server that this page comes from, fetched when they are needed and kept: nothing of them is
// built into the page, so that it cannot tell anything else than the server does.

import { useEffect, useState } from "preact/hooks";

export interface Message {
  type: string;
  direction: "client" | "server";
  title: string;
  description: string;
  schema: string;
  reply?: string;
  errors?: string[];
  idempotent?: boolean;
  durable?: boolean;
}

export interface Operation {
  operationId: string;
  method: string;
  path: string;
  tag: string;
  summary: string;
  description: string;
  auth: "none" | "optional" | "required";
  errors: string[];
}

export interface ErrorCode {
  code: string;
  title: string;
  status: number;
  retryable: "yes" | "no" | "varies";
  description: string;
  advice: string;
  docs: string;
}

export interface CloseCode {
  code: number;
  name: string;
  reconnect: boolean;
  description: string;
}

export interface Catalogue {
  protocol: string;
  version: string;
  messages: Message[];
  routes: Operation[];
  errorCodes: ErrorCode[];
  closeCodes: CloseCode[];
}

/** As far as this page reads them. */
export interface AsyncApi {
  operations: Record<string, { description?: string; messages: Reference[]; reply?: { messages: Reference[] } }>;
  channels: Record<string, { messages: Record<string, Reference> }>;
  components: { messages: Record<string, AsyncApiMessage>; schemas: Record<string, Schema> };
}

export interface AsyncApiMessage {
  name: string;
  description?: string;
  examples?: { name?: string; payload: unknown }[];
}

export interface OpenApi {
  info: object;
  paths: Record<string, Record<string, { operationId: string; description?: string }>>;
  components: { schemas: Record<string, Schema> };
}

export interface Reference {
  $ref: string;
}

/** A JSON Schema of the profile in schema/README.md. */
export interface Schema {
  $ref?: string;
  title?: string;
  description?: string;
  type?: string;
  properties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: boolean;
  items?: Schema;
  oneOf?: Schema[];
  anyOf?: Schema[];
  enum?: string[];
  const?: string | boolean;
  default?: unknown;
  examples?: unknown[];
  [keyword: string]: unknown;
}

const kept = new Map<string, Promise<unknown>>();

/** A document of this server. What fails is tried again at the next call. */
export function fetched<T>(path: string): Promise<T> {
  let document = kept.get(path) as Promise<T> | undefined;
  if (document === undefined) {
    document = fetch(path).then((answer) => {
      if (!answer.ok) throw new Error(`${path}: ${answer.status} ${answer.statusText}`);
      return answer.json() as Promise<T>;
    });
    document.catch(() => kept.delete(path));
    kept.set(path, document);
  }
  return document;
}

export const catalogue = (): Promise<Catalogue> => fetched("/catalogue.json");
export const asyncapi = (): Promise<AsyncApi> => fetched("/asyncapi.json");
export const openapi = (): Promise<OpenApi> => fetched("/openapi.json");

export type Loaded<T> = { value: T } | { error: Error; again: () => void } | undefined;

/** What `load` gives; undefined while it is on its way. `load` stays the same function. */
export function useLoaded<T>(load: () => Promise<T>): Loaded<T> {
  const [loaded, set] = useState<Loaded<T>>();
  const [attempt, setAttempt] = useState(0);
  useEffect(() => {
    let current = true;
    load().then(
      (value) => current && set({ value }),
      (error: Error) => current && set({ error, again: () => setAttempt((count) => count + 1) }),
    );
    return () => {
      current = false;
    };
  }, [load, attempt]);
  return loaded;
}
