import { Connection, type ConnectionOptions, type ConnectionState, type WireFrame } from "./connection.js";
import { Emitter } from "./emitter.js";
import { AgentWorldError } from "./error.js";
import type { UnknownMessage } from "./frame.js";
import type { ClientPayloads, Replies, ServerMessage, WorldSelect } from "./generated/protocol.js";
import { type RequestOptions, Requests, askedBy } from "./requests.js";
import { httpUrl } from "./socket.js";
import { SelectedWorld } from "./world.js";

export interface ClientOptions extends ConnectionOptions {
  /** How long a request may wait for its answer, in milliseconds; 0: without end. Default 30,000. */
  requestTimeoutMs?: number | undefined;
  /** How many requests may wait at the same time. Default 1,000. */
  maxPending?: number | undefined;
  /** Hears of the states from the first on. `client.on("state", …)` comes too late for `connecting`. */
  onState?: ((state: ConnectionState) => void) | undefined;
  /** Hears of every frame from the first on. `client.on("frame", …)` comes too late for `connected`. */
  onFrame?: ((frame: WireFrame) => void) | undefined;
  /**
   * Checks every frame that arrives, for development: gives what is wrong with it. It is reported by the event
   * `invalid`, and the frame is delivered all the same. `agent-world-client/schemas` makes one.
   */
  validate?: ((frame: unknown) => readonly string[]) | undefined;
  /** Ends the attempt to connect. */
  signal?: AbortSignal | undefined;
}

/** What a client tells its listeners. */
export type ClientEvents = {
  /** The state of the connection changed. */
  state: [state: ConnectionState];
  /** A frame was sent, or one came: each as it is on the wire, the client's own pings too. */
  frame: [frame: WireFrame];
  /**
   * A new user took the place of one whose token was never valid; it becomes so with the first world. The first user was
   * made before anybody could listen: `client.sessionToken` has its token.
   */
  session: [session: { userId: string; sessionToken: string }];
  /** The server is about to stop. The client comes back by itself. */
  draining: [retryAfterMs: number];
  /** An error that is the answer to no request. Where it ends the subscription, the client reconnects to resume it. */
  error: [error: AgentWorldError];
  /** A frame that this version does not know. */
  unknown: [message: UnknownMessage];
  /** A frame that is not as the schemas say, when `validate` is set. */
  invalid: [problems: readonly string[], frame: unknown];
};

/** The refusals after which a world that was selected cannot be opened again. */
const WORLD_IS_LOST: readonly string[] = [
  "INVALID_MESSAGE",
  "PERMISSION_DENIED",
  "WORLD_NOT_FOUND",
  "TEMPLATE_NOT_FOUND",
  "CONFLICT",
];

/** A connection to a server that outlives its sockets: requests are kept and events resumed over reconnects. */
export class Client extends Emitter<ClientEvents> {
  readonly #options: ClientOptions;
  readonly #connection: Connection;
  readonly #requests: Requests;
  #world: SelectedWorld | undefined;
  /** Counts sockets, so that what was begun on one does not go on upon the next. */
  #turn = 0;

  /** @internal Use {@link connect}. */
  constructor(options: ClientOptions) {
    super();
    this.#options = options;
    if (options.onState) this.on("state", options.onState);
    if (options.onFrame) this.on("frame", options.onFrame);
    this.#connection = new Connection(options, {
      greeted: () => void this.#restore(),
      frame: (frame) => this.#take(frame),
      wire: (frame) => this.emit("frame", frame),
      garbage: () => this.emit("error", new AgentWorldError("UNEXPECTED_REPLY", "something came that is no frame")),
      lost: (cause) => {
        this.#turn += 1;
        this.#requests.lost(cause);
        this.#world?.mute();
      },
      state: (state) => {
        if (state.status === "closed") {
          const cause = state.cause ?? new AgentWorldError("CLOSED", "the client was closed");
          this.#requests.close(cause);
          this.#leave(cause);
        }
        this.emit("state", state);
      },
      session: (session) => this.emit("session", session),
    });
    const { maxPending = 1000, requestTimeoutMs = 30_000 } = options;
    this.#requests = new Requests((text) => this.#connection.send(text), maxPending, requestTimeoutMs);
  }

  /** @internal */
  open(): void {
    this.emit("state", this.state);
    this.#connection.open();
  }

  get state(): ConnectionState {
    return this.#connection.state;
  }

  get userId(): string {
    return this.#connection.userId;
  }

  /** The token that makes the next connection the same user, on any device. */
  get sessionToken(): string | undefined {
    return this.#connection.token;
  }

  /** The same server and user for the functions of `agent-world-client/http`. */
  get server(): { url: string; token: string | undefined } {
    return { url: httpUrl(this.#options.url), token: this.sessionToken };
  }

  /** The world that is selected. */
  get world(): SelectedWorld | undefined {
    return this.#world;
  }

  /**
   * Opens a world of the user's, or clones it from the template, and makes it the world of this connection. A world
   * that was selected before is closed; its replies go on in the server.
   */
  selectWorld(selection: WorldSelect, options?: RequestOptions): Promise<SelectedWorld> {
    return this.#requests.make("world_select", selection, {
      ...options,
      accept: (info) => {
        this.#leave(new AgentWorldError("CLOSED", "another world was selected"));
        this.#connection.tokenIsKept = true;
        this.#world = new SelectedWorld(this.#requests, selection, info);
        return this.#world;
      },
    });
  }

  /** Makes a request as it stands in the protocol. Those that change what is received are methods of their own. */
  request<Type extends Exclude<keyof Replies, "world_select" | "event_subscribe" | "event_unsubscribe">>(
    type: Type,
    payload: ClientPayloads[Type],
    options?: RequestOptions,
  ): Promise<Replies[Type]> {
    return this.#requests.make(type, payload, { ...options });
  }

  /** Asks whether the server is there; gives the time that the answer took, in milliseconds. */
  async ping(options?: RequestOptions): Promise<number> {
    const begin = performance.now();
    await this.#requests.make("ping", {}, { ...options });
    return performance.now() - begin;
  }

  /** Does not wait for the next attempt to reconnect. */
  reconnectNow(): void {
    this.#connection.reconnectNow();
  }

  /** Ends the connection for good. What waits for an answer fails with `CLOSED`. */
  close(): void {
    this.#connection.close(null);
  }

  async #restore(): Promise<void> {
    const turn = this.#turn;
    try {
      await this.#world?.restore();
    } catch (error) {
      if (turn !== this.#turn) return;
      const cause = error instanceof AgentWorldError ? error : new AgentWorldError("CLOSED", String(error), { cause: error });
      if (!WORLD_IS_LOST.includes(cause.code)) return this.#connection.drop(cause);
      this.#leave(cause);
    }
    if (turn !== this.#turn) return;
    this.#connection.ready();
    this.#requests.open();
  }

  #take(frame: ServerMessage | UnknownMessage): void {
    if (this.#options.validate && frame.type !== "unknown") {
      const problems = this.#options.validate(frame);
      if (problems.length > 0) this.emit("invalid", problems, frame);
    }
    const answered = this.#requests.answer(frame);
    // Listeners are added when the promise of an answer has settled; what comes behind it must not come before.
    if (answered && (frame.type === "world_selected" || frame.type === "status")) this.#connection.hold();
    if (answered) return;
    switch (frame.type) {
      case "unknown":
        this.emit("unknown", frame);
        return this.#world?.take(frame);
      case "event_stream":
      case "chat_response":
        return this.#world?.take(frame);
      case "error":
        // Nobody waits for this refusal any more; only that of a subscription says that there is none now.
        if (frame.replyTo !== undefined && askedBy(frame.replyTo) !== "event_subscribe") return;
        return this.#fault(AgentWorldError.of(frame.payload));
      case "world_selected":
        return this.#astray();
      case "status":
        if (frame.payload.type === "draining") this.emit("draining", frame.payload.data.retryAfterMs);
        if (frame.payload.type === "caught_up") this.#world?.caughtUp(frame.payload.data.cursor);
        if (frame.payload.type === "subscribed" || frame.payload.type === "unsubscribed") this.#astray();
    }
  }

  /** A selection was done after nobody waited for it any more: only a new connection tells what holds. */
  #astray(): void {
    this.#connection.drop(new AgentWorldError("UNEXPECTED_REPLY", "an answer came too late", { retryable: true }));
  }

  /**
   * An error that answers nothing. What this client sends has an id, so that on an open connection it can only be the
   * end of the subscription: a new connection resumes it, or tells the gap.
   */
  #fault(error: AgentWorldError): void {
    this.emit("error", error);
    if (this.state.status === "open" && this.#world?.isSubscribed) this.#connection.drop(error);
  }

  #leave(cause: AgentWorldError): void {
    const world = this.#world;
    this.#world = undefined;
    world?.close(cause);
  }
}

/**
 * Connects to a server, and resolves when it has greeted.
 *
 * @throws AgentWorldError when the first attempt fails; from then on the client reconnects by itself.
 */
export function connect(options: ClientOptions): Promise<Client> {
  const { signal } = options;
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const client = new Client(options);
    const abort = (): void => fail(signal?.reason);
    const stop = client.on("state", (state) => {
      if (state.status === "open") {
        done();
        resolve(client);
      } else if (state.status !== "connecting") {
        fail(state.cause);
      }
    });
    const done = (): void => {
      stop();
      signal?.removeEventListener("abort", abort);
    };
    const fail = (reason: unknown): void => {
      done();
      client.close();
      reject(reason);
    };
    signal?.addEventListener("abort", abort);
    client.open();
  });
}
