import { AgentWorldError } from "./error.js";
import { type UnknownMessage, readFrame } from "./frame.js";
import type { Cursor, Problem, ServerMessage } from "./generated/protocol.js";
import { ends } from "./limit.js";
import { readEvents } from "./sse.js";

/** Where requests go, and as whom. `client.server` is one. */
export interface Server {
  /** The server's address, as `http://localhost:3001`. */
  url: string;
  /** A session token. Without it the caller is nobody. */
  token?: string | undefined;
  /** The `fetch` to use. Default: that of the platform. */
  fetch?: typeof fetch | undefined;
}

/** How one request is made. */
export interface CallOptions {
  /** Ends the request, or the stream, with `signal.reason`. */
  signal?: AbortSignal | undefined;
  /** How long the answer, or the beginning of a stream, may take, in milliseconds. Default: as long as the platform waits. */
  timeoutMs?: number | undefined;
}

/** @internal A request of the generated functions. */
export interface Call {
  method: string;
  path: string;
  query?: Record<string, string | number | boolean | undefined>;
  headers?: Record<string, string | undefined>;
  contentType?: string;
  body?: string | Blob;
  accept?: string;
}

/**
 * The frames of a stream, as they would come over WebSocket. It can be iterated once; leaving the loop ends the
 * request.
 */
export class FrameStream implements AsyncIterable<ServerMessage | UnknownMessage> {
  /** The token of the user that the server made for a request without one. */
  readonly token: string | undefined;
  /** The position of the last frame that had one: give it as `after` or `lastEventId` to go on from here. */
  cursor: Cursor | undefined;
  readonly #body: ReadableStream<Uint8Array> | null;
  readonly #over: () => void;
  readonly #signal: AbortSignal;

  /** @internal */
  constructor(response: Response, over: () => void, signal: AbortSignal) {
    this.#over = over;
    this.#signal = signal;
    this.token = response.headers.get("Agent-World-Token") ?? undefined;
    this.#body = response.body;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<ServerMessage | UnknownMessage, void, undefined> {
    try {
      if (this.#body === null) return;
      for await (const { id, data } of readEvents(this.#body)) {
        const frame = readFrame(data);
        if (id !== undefined) this.cursor = id;
        if (frame !== undefined) yield frame;
      }
    } catch (cause) {
      throw failed(cause, this.#signal, "the stream broke off");
    } finally {
      this.#over();
    }
  }
}

/** @internal */
export function json<Body>(server: Server, call: Call, options?: CallOptions): Promise<Body> {
  return send(server, call, options, async (response) => {
    const text = await response.text();
    try {
      return JSON.parse(text) as Body;
    } catch (cause) {
      throw new AgentWorldError("UNEXPECTED_REPLY", "the answer is not JSON", { status: response.status, cause });
    }
  });
}

/** @internal A document of another standard. */
export const document = json<Record<string, unknown>>;

/** @internal */
export function string(server: Server, call: Call, options?: CallOptions): Promise<string> {
  return send(server, call, options, (response) => response.text());
}

/** @internal */
export function bytes(server: Server, call: Call, options?: CallOptions): Promise<Blob> {
  return send(server, call, options, (response) => response.blob());
}

/** @internal */
export function nothing(server: Server, call: Call, options?: CallOptions): Promise<void> {
  return send(server, call, options, async (response) => void (await response.arrayBuffer()));
}

/** @internal */
export function stream(server: Server, call: Call, options?: CallOptions): Promise<FrameStream> {
  return send(server, call, options, (response, over, signal) => Promise.resolve(new FrameStream(response, over, signal)));
}

/** @internal A parameter that may hold slashes. */
export function path(value: string): string {
  return value.split("/").map(encodeURIComponent).join("/");
}

async function send<Result>(
  server: Server,
  call: Call,
  options: CallOptions = {},
  read: (response: Response, over: () => void, signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(call.query ?? {})) if (value !== undefined) query.set(name, String(value));
  const search = query.size > 0 ? `?${query}` : "";
  const headers = new Headers();
  if (call.accept) headers.set("Accept", call.accept);
  if (call.contentType) headers.set("Content-Type", call.contentType);
  if (server.token) headers.set("Authorization", `Bearer ${server.token}`);
  for (const [name, value] of Object.entries(call.headers ?? {})) if (value !== undefined) headers.set(name, value);

  const { signal, timeoutMs = 0 } = options;
  const controller = new AbortController();
  const abort = (): void => controller.abort(signal?.reason);
  if (signal?.aborted) abort();
  signal?.addEventListener("abort", abort, { once: true });
  const over = (): void => signal?.removeEventListener("abort", abort);
  const late = new AgentWorldError("TIMEOUT", `no answer within ${timeoutMs} ms`, { retryable: true });
  const timer = ends(timeoutMs) ? setTimeout(() => controller.abort(late), timeoutMs) : undefined;
  try {
    const response = await (server.fetch ?? fetch)(server.url.replace(/\/+$/, "") + call.path + search, {
      method: call.method,
      headers,
      body: call.body ?? null,
      signal: controller.signal,
    });
    if (!response.ok) throw await refusal(response);
    const result = await read(response, over, controller.signal);
    // A stream goes on, and can be aborted until its end.
    if (!(result instanceof FrameStream)) over();
    return result;
  } catch (cause) {
    over();
    throw failed(cause, controller.signal, "cannot reach the server");
  } finally {
    clearTimeout(timer);
  }
}

/** What the caller is told: an error of this client, or the reason of whoever aborted. */
function failed(cause: unknown, signal: AbortSignal, what: string): unknown {
  if (cause instanceof AgentWorldError) return cause;
  if (signal.aborted) return signal.reason;
  return new AgentWorldError("NETWORK", `${what}: ${String(cause)}`, { retryable: true, cause });
}

async function refusal(response: Response): Promise<AgentWorldError> {
  if (response.headers.get("Content-Type")?.startsWith("application/problem+json")) {
    return AgentWorldError.ofProblem((await response.json()) as Problem);
  }
  return new AgentWorldError("UNEXPECTED_REPLY", `the server answered ${response.status}`, { status: response.status });
}
