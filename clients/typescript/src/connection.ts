import { type ReconnectOptions, backoff } from "./backoff.js";
import { AgentWorldError } from "./error.js";
import { type UnknownMessage, readFrame } from "./frame.js";
import { CLOSE_CODES, PROTOCOL, type ServerMessage } from "./generated/protocol.js";
import { ends } from "./limit.js";
import { type WebSocketConstructor, type WebSocketLike, webSocketUrl } from "./socket.js";

/** What an app can show of its connection. */
export type ConnectionState =
  /** The first connection is being made. */
  | { status: "connecting" }
  /** Requests are sent at once, and events arrive. */
  | { status: "open"; userId: string; clientId: string }
  /** The connection was lost; attempt number `attempt` begins after `delayMs`, or is under way when that is 0. */
  | { status: "reconnecting"; attempt: number; delayMs: number; cause: AgentWorldError }
  /** Nothing more comes. `cause` is null after `close()`; otherwise it says why, often with a `closeCode`. */
  | { status: "closed"; cause: AgentWorldError | null };

export interface ConnectionOptions {
  /** Where the server is: `ws://localhost:3001/ws`, or `http://localhost:3001`. */
  url: string;
  /** The session token of a user who has been here before. Without it the server makes a new user. */
  token?: string | undefined;
  /** The WebSocket to use. Default: that of the platform, which Node has from version 22 on. */
  WebSocket?: WebSocketConstructor | undefined;
  /** How to come back after the connection was lost; false: not at all. */
  reconnect?: ReconnectOptions | false | undefined;
  /** How long one attempt to connect may take, in milliseconds; 0: without end. Default 10,000. */
  connectTimeoutMs?: number | undefined;
  /** The silence after which the server is asked whether it is there, in milliseconds; 0: never. Default 25,000. */
  pingIntervalMs?: number | undefined;
  /** How long that answer may take before the connection counts as lost, in milliseconds; 0: without end. Default 10,000. */
  pongTimeoutMs?: number | undefined;
}

/** Whom a connection tells. */
export interface ConnectionHandlers {
  /** The server knows who this is; the session can be restored. */
  greeted(): void;
  frame(frame: ServerMessage | UnknownMessage): void;
  /** A frame was sent or came, before anybody acts on it. */
  wire(frame: WireFrame): void;
  /** Something came that is no frame. */
  garbage(text: string): void;
  /** The socket is gone; what follows is `reconnecting` or `closed`. */
  lost(cause: AgentWorldError): void;
  state(state: ConnectionState): void;
  session(session: { userId: string; sessionToken: string }): void;
}

/** One frame as it goes over the wire. Recordings of `agent-world` have the same fields, with the frame as JSON. */
export interface WireFrame {
  /** When it was sent or came: RFC 3339 in UTC with milliseconds. */
  at: string;
  /** Who sent it. */
  direction: "client" | "server";
  text: string;
}

/** The id of the pings that the connection sends for itself. */
const HEARTBEAT = "heartbeat";
/** How long a peer has to say goodbye, in milliseconds, where its socket can do without. */
const GOODBYE_MS = 3_000;

/** One WebSocket after the other, for as long as the server may be reached. Frames are none of its business. */
export class Connection {
  state: ConnectionState = { status: "connecting" };
  token: string | undefined;
  userId = "";
  clientId = "";
  /** Whether the server has ever taken the token: one that it has just issued is void until it is used. */
  tokenIsKept: boolean;
  readonly #options: ConnectionOptions;
  readonly #handlers: ConnectionHandlers;
  #socket: WebSocketLike | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #attempt = 0;
  /** How many attempts it took to come back, for as long as nothing but errors was heard since. */
  #spent = 0;
  #retryAfterMs = 0;
  #refusal: AgentWorldError | undefined;
  #held: string[] | undefined;

  constructor(options: ConnectionOptions, handlers: ConnectionHandlers) {
    this.#options = options;
    this.#handlers = handlers;
    this.token = options.token;
    this.tokenIsKept = options.token !== undefined;
  }

  /** Begins an attempt. */
  open(): void {
    if (this.state.status === "closed") return;
    const WebSocket = this.#options.WebSocket ?? (globalThis as { WebSocket?: WebSocketConstructor }).WebSocket;
    this.#refusal = undefined;
    this.#retryAfterMs = 0;
    let socket: WebSocketLike;
    try {
      if (WebSocket === undefined) throw new Error("this platform has no WebSocket; hand one in");
      const protocols = this.token === undefined ? [PROTOCOL] : [PROTOCOL, `bearer.${this.token}`];
      socket = new WebSocket(webSocketUrl(this.#options.url), protocols);
    } catch (cause) {
      this.close(new AgentWorldError("NETWORK", `cannot connect: ${String(cause)}`, { cause }));
      return;
    }
    this.#socket = socket;
    let failure = "";
    let opened = false;
    const own = <T>(handle: (event: T) => void) => (event: T) => {
      if (this.#socket === socket) handle(event);
    };
    socket.addEventListener("message", own((event: { data: unknown }) => this.#hear(String(event.data))));
    socket.addEventListener("open", () => (opened = true));
    socket.addEventListener(
      "error",
      own((event: { message?: unknown }) => {
        failure = String(event.message ?? "");
        // The WebSocket of Node 22 does not close after a handshake that failed; others do, before the timer.
        if (!opened) setTimeout(own(() => this.#lost(1006, failure)), 0);
      }),
    );
    socket.addEventListener(
      "close",
      own(({ code, reason }: { code: number; reason: string }) => {
        while (this.#held !== undefined) this.#release();
        // A listener to what was held may have closed the client.
        if (this.#socket === socket) this.#lost(code, reason || failure);
      }),
    );
    const { connectTimeoutMs = 10_000 } = this.#options;
    this.#give(connectTimeoutMs, () => {
      this.drop(new AgentWorldError("TIMEOUT", "the server did not answer in time", { retryable: true }));
    });
  }

  send(text: string): void {
    if (this.#socket === undefined) return;
    this.#handlers.wire({ at: new Date().toISOString(), direction: "client", text });
    // Whoever watches the wire may have closed it.
    this.#socket?.send(text);
  }

  /** The session is restored: from here on the connection counts as open. */
  ready(): void {
    if (this.state.status === "closed") return;
    this.#spent = this.#attempt;
    this.#attempt = 0;
    this.#become({ status: "open", userId: this.userId, clientId: this.clientId });
  }

  /** Leaves what comes next for the next turn of the event loop, so that who just got an answer can act on it first. */
  hold(): void {
    if (this.#held === undefined) {
      this.#held = [];
      // A timer would do as well, if those of pages in the background were not slowed down.
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => {
        port1.close();
        this.#release();
      };
      port2.postMessage(null);
    }
  }

  /** Takes the socket for dead, and comes back. Without a socket there is nothing to drop: it is closed, or waits. */
  drop(cause: AgentWorldError): void {
    if (this.#socket === undefined) return;
    // What does not last is no success: the pauses go on growing.
    this.#attempt += this.#spent;
    // Where it can be helped, nobody waits for a dead peer to say goodbye.
    this.#socket.terminate?.();
    this.#leave();
    this.#retry(cause);
  }

  /** Does not wait for the next attempt. */
  reconnectNow(): void {
    if (this.state.status === "reconnecting" && this.#socket === undefined) {
      clearTimeout(this.#timer);
      this.#again(this.state.attempt, this.state.cause);
    }
  }

  close(cause: AgentWorldError | null): void {
    if (this.state.status === "closed") return;
    this.#leave();
    this.#handlers.lost(cause ?? new AgentWorldError("CLOSED", "the client was closed"));
    this.#become({ status: "closed", cause });
  }

  #hear(text: string): void {
    const socket = this.#socket;
    this.#handlers.wire({ at: new Date().toISOString(), direction: "server", text });
    if (this.#socket === socket) this.#receive(text);
  }

  #receive(text: string): void {
    if (this.#held !== undefined) {
      this.#held.push(text);
      return;
    }
    const socket = this.#socket;
    this.#listen();
    const frame = readFrame(text);
    if (frame === undefined) return this.#handlers.garbage(text);
    if (frame.type === "pong" && frame.replyTo === HEARTBEAT) return;
    if (frame.type !== "error") this.#spent = 0;
    if (frame.type === "error" && frame.replyTo === undefined) {
      this.#refusal = AgentWorldError.of(frame.payload);
      this.#retryAfterMs = frame.payload.retryAfterMs ?? 0;
    }
    if (frame.type === "status" && frame.payload.type === "draining") {
      this.#retryAfterMs = frame.payload.data.retryAfterMs;
    }
    this.#handlers.frame(frame);
    // Each who is told may close the client; then nothing of this goes on.
    if (this.#socket === socket && frame.type === "status" && frame.payload.type === "connected") {
      const { userId, clientId, sessionToken } = frame.payload.data;
      this.userId = userId;
      this.clientId = clientId;
      if (sessionToken !== undefined) {
        this.token = sessionToken;
        this.tokenIsKept = false;
        this.#handlers.session({ userId, sessionToken });
      }
      if (this.#socket === socket) this.#handlers.greeted();
    }
  }

  #release(): void {
    const socket = this.#socket;
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const text of held) {
      // A listener to one of them may have ended the connection, and with it what stands behind.
      if (this.#socket !== socket) return;
      this.#receive(text);
    }
  }

  /** Each sign of life puts off the ping; each ping that is not answered ends the connection. */
  #listen(): void {
    const { pingIntervalMs = 25_000, pongTimeoutMs = 10_000 } = this.#options;
    this.#give(pingIntervalMs, () => {
      this.send(JSON.stringify({ id: HEARTBEAT, type: "ping" }));
      if (this.#socket === undefined) return;
      this.#give(pongTimeoutMs, () => {
        this.drop(new AgentWorldError("TIMEOUT", "the server does not answer any more", { retryable: true }));
      });
    });
  }

  /** Gives the other side so long, or as long as it likes; instead of what was waited for before. */
  #give(limitMs: number, then: () => void): void {
    clearTimeout(this.#timer);
    if (ends(limitMs)) this.#timer = setTimeout(then, limitMs);
  }

  #wait(delayMs: number, then: () => void): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(then, delayMs);
  }

  #leave(): void {
    clearTimeout(this.#timer);
    this.#held = undefined;
    const socket = this.#socket;
    this.#socket = undefined;
    socket?.close(1000);
    if (socket?.terminate === undefined) return;
    // A peer that does not answer would keep the program alive.
    const patience = setTimeout(() => socket.terminate?.(), GOODBYE_MS);
    socket.addEventListener("close", () => clearTimeout(patience));
  }

  #lost(closeCode: number, reason: string): void {
    this.#socket = undefined;
    clearTimeout(this.#timer);
    const known = Object.hasOwn(CLOSE_CODES, closeCode) ? CLOSE_CODES[closeCode as keyof typeof CLOSE_CODES] : undefined;
    const message = this.#refusal?.message ?? known?.description ?? `the connection was lost (${reason || closeCode})`;
    const code = this.#refusal?.code ?? (known?.reconnect === false ? "CLOSED" : "NETWORK");
    const cause = new AgentWorldError(code, message, {
      closeCode,
      retryable: known?.reconnect ?? true,
      retryAfterMs: this.#refusal?.retryAfterMs,
      details: this.#refusal?.details,
    });
    // A token that was never used is gone with the connection that it was issued on.
    const stillborn = this.#refusal?.code === "UNAUTHENTICATED" && this.token !== undefined && !this.tokenIsKept;
    if (stillborn) this.token = undefined;
    if (known?.reconnect === false && !stillborn) this.close(cause);
    else this.#retry(cause);
  }

  #retry(cause: AgentWorldError): void {
    if (this.state.status === "closed") return;
    const options = this.#options.reconnect ?? {};
    this.#attempt += 1;
    this.#spent = 0;
    if (options === false || this.#attempt > (options.maxAttempts ?? Infinity)) return this.close(cause);
    const delayMs = backoff(this.#attempt, options, this.#retryAfterMs);
    const attempt = this.#attempt;
    // Whoever hears of the state may close the client, or not want to wait.
    this.#wait(delayMs, () => this.#again(attempt, cause));
    this.#handlers.lost(cause);
    this.#become({ status: "reconnecting", attempt, delayMs, cause });
  }

  #again(attempt: number, cause: AgentWorldError): void {
    this.open();
    if (this.#socket !== undefined) this.#become({ status: "reconnecting", attempt, delayMs: 0, cause });
  }

  #become(state: ConnectionState): void {
    this.state = state;
    this.#handlers.state(state);
  }
}
