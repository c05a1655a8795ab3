import { AgentWorldError } from "./error.js";
import type { UnknownMessage } from "./frame.js";
import { type ClientPayloads, REQUESTS, type Replies, type ServerMessage } from "./generated/protocol.js";
import { ends } from "./limit.js";

/** How a single request is made. */
export interface RequestOptions {
  /** Ends the wait with `signal.reason`. What was sent may be done all the same. */
  signal?: AbortSignal | undefined;
  /** How long to wait for the answer, in milliseconds, lost connections included; 0: without end. */
  timeoutMs?: number | undefined;
  /**
   * Makes the request safe to repeat, where the message allows a key. Default: a random one, so that what was sent
   * on a lost connection is done once. Give the same to repeat a request after a restart of the app.
   */
  idempotencyKey?: string | undefined;
}

/** How the client makes requests for itself. */
export interface InnerOptions<Reply, Result> extends RequestOptions {
  /** Runs while the answer is read, before any frame behind it. */
  accept?: (reply: Reply) => Result;
  /** The same for a refusal of the server. */
  refused?: (error: AgentWorldError) => void;
  /** Of this connection only: fails when that is lost, and goes out before the connection counts as open. */
  transient?: boolean;
  /** Whether `signal` counts only as long as nothing is sent. */
  keepWhenSent?: boolean;
}

interface Pending {
  readonly type: keyof Replies;
  /** As it goes over the wire. */
  text: string;
  /** Makes the text when it is about to go out; null: it is always the same. */
  readonly renew: (() => string) | null;
  readonly transient: boolean;
  /** How often it was put on a wire. */
  sent: number;
  resolve(reply: never): void;
  refuse(error: AgentWorldError): void;
  reject(error: unknown): void;
}

/** The requests that wait for their answers, in the order in which they were made. */
export class Requests {
  readonly #pending = new Map<string, Pending>();
  readonly #send: (text: string) => void;
  readonly #limit: number;
  readonly #timeoutMs: number;
  #open = false;
  #closed: AgentWorldError | undefined;
  #count = 0;

  constructor(send: (text: string) => void, limit: number, timeoutMs: number) {
    this.#send = send;
    this.#limit = limit;
    this.#timeoutMs = timeoutMs;
  }

  /** A payload that is a function is made each time that the request goes out. */
  make<Type extends keyof Replies, Result = Replies[Type]>(
    type: Type,
    payload: ClientPayloads[Type] | (() => ClientPayloads[Type]),
    options: InnerOptions<Replies[Type], Result> = {},
  ): Promise<Result> {
    const { signal, timeoutMs = this.#timeoutMs, accept, refused, transient = false, keepWhenSent = false } = options;
    return new Promise((resolve, reject) => {
      if (this.#closed !== undefined) return reject(this.#closed);
      if (signal?.aborted) return reject(signal.reason);
      if (this.#pending.size >= this.#limit) {
        return reject(new AgentWorldError("TOO_MANY_REQUESTS", "too many requests wait for an answer", { retryable: true }));
      }
      this.#count += 1;
      const id = `${type}-${this.#count}`;
      const idempotencyKey = REQUESTS[type].idempotent ? (options.idempotencyKey ?? randomKey()) : undefined;
      const abort = (): void => {
        if (!keepWhenSent || pending.sent === 0) settle(() => reject(signal?.reason));
      };
      const timer =
        ends(timeoutMs)
          ? setTimeout(() => {
              const message = `no answer to ${type} within ${timeoutMs} ms`;
              settle(() => reject(new AgentWorldError("TIMEOUT", message, { retryable: true })));
            }, timeoutMs)
          : undefined;
      const settle = (how: () => void): void => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", abort);
        this.#pending.delete(id);
        how();
      };
      signal?.addEventListener("abort", abort);
      const write = (what: ClientPayloads[Type]): string => JSON.stringify({ id, type, idempotencyKey, payload: what });
      const pending: Pending = {
        type,
        text: typeof payload === "function" ? "" : write(payload),
        renew: typeof payload === "function" ? () => write(payload()) : null,
        transient,
        sent: 0,
        resolve: (reply: Replies[Type]) => {
          settle(() => resolve(accept ? accept(reply) : (reply as unknown as Result)));
        },
        refuse: (error) => {
          refused?.(error);
          pending.reject(error);
        },
        reject: (error) => settle(() => reject(error)),
      };
      this.#pending.set(id, pending);
      if (this.#open || transient) this.#put(pending);
    });
  }

  /** Gives an answer to who asked. False: it answers nothing that is waited for. */
  answer(frame: ServerMessage | UnknownMessage): boolean {
    const inner = frame.type === "unknown" ? frame.frame : frame;
    const pending = this.#pending.get(String(inner["replyTo" as keyof typeof inner]));
    if (pending === undefined) return false;
    if (frame.type === "error") {
      pending.refuse(AgentWorldError.of(frame.payload));
      return true;
    }
    const { reply, variant } = REQUESTS[pending.type];
    if (frame.type === reply && (variant === null || (frame.type === "status" && frame.payload.type === variant))) {
      pending.resolve(frame.payload as never);
      return true;
    }
    pending.reject(new AgentWorldError("UNEXPECTED_REPLY", `${pending.type} was answered by something unknown`));
    return false;
  }

  /** The connection is open: what waits goes out, in order. */
  open(): void {
    this.#open = true;
    for (const pending of this.#pending.values()) this.#put(pending);
  }

  /** The connection is lost: what was sent on it waits for the next one. */
  lost(cause: AgentWorldError): void {
    this.#open = false;
    for (const pending of [...this.#pending.values()]) if (pending.transient) pending.reject(cause);
    // The frame that was too large would be so again; the largest is the one.
    if (cause.closeCode === 1009) {
      const sent = [...this.#pending.values()].filter((pending) => pending.sent > 0);
      sent.sort((a, b) => b.text.length - a.text.length);
      sent[0]?.reject(new AgentWorldError("PAYLOAD_TOO_LARGE", "the frame is larger than the server takes", { closeCode: 1009 }));
    }
  }

  /** Refuses those that were sent and carry a key, in which the server may not recognise them any more. */
  forget(cause: AgentWorldError): void {
    for (const pending of [...this.#pending.values()]) {
      if (pending.sent > 0 && REQUESTS[pending.type].idempotent) pending.reject(cause);
    }
  }

  /** Nothing is ever answered any more. */
  close(cause: AgentWorldError): void {
    this.#open = false;
    this.#closed = cause;
    for (const pending of [...this.#pending.values()]) pending.reject(cause);
  }

  #put(pending: Pending): void {
    pending.sent += 1;
    if (pending.renew !== null) pending.text = pending.renew();
    this.#send(pending.text);
  }
}

/** What the request with this id, one of `Requests`, was for. */
export function askedBy(id: string): string {
  return id.slice(0, id.lastIndexOf("-"));
}

/** Random, and hard to guess where the platform can; `randomUUID` is not there on pages without TLS. */
function randomKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
