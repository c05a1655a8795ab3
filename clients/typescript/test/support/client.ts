// Clients for tests: every frame that comes is held against the schemas, and they are closed when the test is over.

import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { type Client, type ClientOptions, type ConnectionState, type SelectedWorld, connect } from "agent-world-client";
import { frameValidator } from "agent-world-client/schemas";
import { Ajv2020 } from "ajv/dist/2020.js";
import { WebSocket } from "ws";
import { within } from "./server.js";

const ajv = new Ajv2020({ strict: false, validateFormats: false });
export const validate = frameValidator((schema) => ajv.compile(schema));

/** Comes back quickly, as tests want it. */
export const quick = { initialDelayMs: 5, maxDelayMs: 50 };

export async function connected(t: TestContext, options: Partial<ClientOptions> & { url: string }): Promise<Client> {
  const client = await connect({ WebSocket, validate, reconnect: quick, ...options });
  client.on("invalid", (problems, frame) => assert.fail(`${problems.join("; ")} in ${JSON.stringify(frame)}`));
  t.after(() => client.close());
  return client;
}

/** A client in a world of its own. */
export async function selected(
  t: TestContext,
  options: Partial<ClientOptions> & { url: string },
  templateName = "stage",
): Promise<{ client: Client; world: SelectedWorld }> {
  const client = await connected(t, options);
  return { client, world: await client.selectWorld({ templateName, worldName: "test", persistent: true }) };
}

/** Waits for a state of the connection. */
export function becomes<Status extends ConnectionState["status"]>(
  client: Client,
  status: Status,
): Promise<ConnectionState & { status: Status }> {
  return within(
    20,
    `the state ${status}`,
    new Promise((resolve) => {
      const stop = client.on("state", (state) => {
        if (state.status !== status) return;
        stop();
        resolve(state as ConnectionState & { status: Status });
      });
    }),
  );
}

type Listened = { on(name: never, listener: (...values: never[]) => void): () => void };

/** Waits for an event. */
export function next<Source extends Listened, Name extends string>(source: Source, name: Name, matches: (value: any) => boolean = () => true): Promise<any> {
  const listen = source.on.bind(source) as unknown as (name: string, listener: (value: unknown) => void) => () => void;
  return within(
    20,
    `the event ${name}`,
    new Promise((resolve) => {
      const stop = listen(name, (value) => {
        if (!matches(value)) return;
        stop();
        resolve(value);
      });
    }),
  );
}

/** The code of what `promise` rejects with. */
export async function refusal(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
  return "nothing was refused";
}

/** Every durable event that a world tells, by `seq`: what must come once and in order. */
export function record(world: SelectedWorld): { seqs: number[]; texts: string[] } {
  const seen = { seqs: [] as number[], texts: [] as string[] };
  world.on("message", (event, frame) => {
    seen.seqs.push(frame.seq!);
    seen.texts.push(`${event.sender}: ${event.payload.content}`);
  });
  world.on("world", (_, frame) => seen.seqs.push(frame.seq!));
  return seen;
}
