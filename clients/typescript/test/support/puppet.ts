// A server inside the test: it says what it is told to, so that frames come in one turn of the event loop, or in an
// order that a real server leaves to chance.

import { type Client, type ClientOptions, type SelectedWorld, type WebSocketConstructor, connect } from "agent-world-client";
import type { TestContext } from "node:test";
import { quick, validate } from "./client.js";

export interface Asked {
  id: string;
  type: string;
  payload: Record<string, unknown>;
}

const envelope = { id: "019bc0d1-7a12-7c3e-9f21-3a5d8c6e1b12", timestamp: "2026-01-15T10:00:00.000Z" };
const EPOCH = "aaaaaaaaaaaaaaaa";
export const cursor = (seq: number): string => `${EPOCH}:${seq}`;
/** The id of the message with this `seq`. */
const messageId = (seq: number): string => `019bc0d1-7a12-7c3e-9f21-${String(seq).padStart(12, "0")}`;

const status = (type: string, data: object, replyTo?: string): object => ({ ...envelope, type: "status", ...(replyTo && { replyTo }), payload: { type, message: "", data } });
const event = (seq: number, type: string, sender: string, payload: object): object => ({
  ...envelope,
  type: "event_stream",
  seq,
  payload: { worldName: "test", eventType: type, event: { ...envelope, type, sender, senderType: sender, payload } },
});

/** Frames of a server in which there is one world, without agents. */
export const says = {
  selected: ({ id }: Asked, seq = 1) => ({
    ...envelope,
    type: "world_selected",
    replyTo: id,
    payload: { worldName: "test", templateName: "solo", worldState: { name: "test", turnLimit: 5 }, agents: [], persistent: true, cursor: cursor(seq), success: true, message: "" },
  }),
  subscribed: ({ id }: Asked, from: string, head = from) => status("subscribed", { from, head }, id),
  unsubscribed: ({ id }: Asked) => status("unsubscribed", {}, id),
  accepted: ({ id }: Asked, seq: number) => status("message_accepted", { messageId: messageId(seq), seq, duplicate: false, answering: [] }, id),
  cancelled: ({ id }: Asked) => status("cancelled", { messageIds: [], dropped: 0 }, id),
  caughtUp: (seq: number) => status("caught_up", { cursor: cursor(seq) }),
  message: (seq: number, content: string) => event(seq, "message", "human", { content, messageId: messageId(seq), rootId: messageId(seq) }),
  settled: (seq: number, root: number) => event(seq, "world", "world", { action: "settled", rootId: messageId(root) }),
  error: (code: string, asked?: Asked, more: object = {}) => ({
    ...envelope,
    type: "error",
    ...(asked && { replyTo: asked.id }),
    payload: { code, message: `it is ${code}`, retryable: false, ...more },
  }),
};

/** One connection, from the side of the server. */
export interface Line {
  /** Sends frames, one right behind the other. */
  say(...frames: object[]): void;
  /** Ends the connection from this side. */
  end(code: number): void;
  readonly asked: Asked[];
  /** The client has closed it. */
  readonly isClosed: boolean;
}

/** `answer` hears what comes, once the client has done what it was doing. */
export function puppet(answer: (line: Line, asked: Asked) => void): { WebSocket: WebSocketConstructor; lines: Line[] } {
  const lines: Line[] = [];
  class Puppet implements Line {
    readonly asked: Asked[] = [];
    isClosed = false;
    readonly #listeners: [type: string, listener: (event: unknown) => void][] = [];

    constructor(_url: string, protocols: string[]) {
      lines.push(this);
      const sessionToken = protocols.length > 1 ? undefined : "t".repeat(43);
      const greeting = { clientId: envelope.id, userId: `anon_${envelope.id}`, serverTime: envelope.timestamp, protocolVersion: "1", sessionToken };
      setImmediate(() => this.say(status("connected", greeting)));
    }

    addEventListener(type: string, listener: (event: any) => void): void {
      this.#listeners.push([type, listener]);
    }

    send(text: string): void {
      const asked = JSON.parse(text) as Asked;
      this.asked.push(asked);
      setImmediate(() => {
        if (asked.type === "ping") this.say({ ...envelope, type: "pong", replyTo: asked.id, payload: {} });
        else answer(this, asked);
      });
    }

    close(): void {
      this.isClosed = true;
    }

    say(...frames: object[]): void {
      for (const frame of frames) this.#tell("message", { data: JSON.stringify(frame) });
    }

    end(code: number): void {
      this.#tell("close", { code, reason: "" });
    }

    #tell(type: string, value: unknown): void {
      for (const [wanted, listener] of this.#listeners) if (wanted === type) listener(value);
    }
  }
  return { WebSocket: Puppet, lines };
}

/** A client in the world of a puppet. */
export async function played(
  t: TestContext,
  answer: (line: Line, asked: Asked) => void,
  options: Partial<ClientOptions> = {},
): Promise<{ client: Client; world: SelectedWorld; lines: Line[] }> {
  const { WebSocket, lines } = puppet(answer);
  const client = await connect({ url: "http://localhost:1", WebSocket, validate, reconnect: quick, ...options });
  t.after(() => client.close());
  client.on("invalid", (problems, frame) => {
    throw new Error(`${problems.join("; ")} in ${JSON.stringify(frame)}`);
  });
  return { client, world: await client.selectWorld({ templateName: "solo", worldName: "test" }), lines };
}
