import { Chat, notSubscribed } from "./chat.js";
import { Emitter } from "./emitter.js";
import { AgentWorldError } from "./error.js";
import type { UnknownMessage } from "./frame.js";
import type {
  AgentConfigUpdate,
  AgentUpdated,
  Cancelled,
  ChatResponseMessage,
  ChatSend,
  ClientPayloads,
  Cursor,
  EventStreamMessage,
  EventSubscribe,
  MessageAccepted,
  MessageEvent,
  Replies,
  Subscribed,
  SystemEvent,
  UnresumableReason,
  WorldEvent,
  WorldReloaded,
  WorldSelect,
  WorldSelected,
} from "./generated/protocol.js";
import { Position } from "./position.js";
import type { Reply } from "./reply.js";
import type { InnerOptions, RequestOptions, Requests } from "./requests.js";
import { Roots } from "./roots.js";

/** What a selected world tells its listeners. */
export type WorldEvents = {
  /** Somebody said something: a human, an agent whose reply is complete, or the system. */
  message: [event: MessageEvent, frame: EventStreamMessage];
  /**
   * An agent begins to reply, or one that was replying already is heard for the first time: then `frame` is no start.
   * The reply itself gives the text.
   */
  reply: [reply: Reply, frame: ChatResponseMessage];
  /** The world or an agent changed, or a question is settled: by `event.payload.action`. */
  world: [event: WorldEvent, frame: EventStreamMessage];
  /** Why the server did what it did. Only after `subscribe({ eventTypes: […, "system"] })`. */
  system: [event: SystemEvent, frame: EventStreamMessage];
  /** A replay, asked for with `after`, by resuming or in place of another subscription, has reached the present. */
  caught_up: [cursor: Cursor];
  /** Events were missed: see {@link Gap}. Read the history anew where it matters. */
  gap: [gap: Gap];
  /** An event that this version does not know. */
  unknown: [message: UnknownMessage];
  /** Nothing more comes: the client is closed, another world was selected, or this one cannot be opened any more. */
  closed: [cause: AgentWorldError];
};

/** A part of the world's log that could not be resumed, and so was not seen. Chats that were open have failed. */
export interface Gap {
  /** The last cursor that was received. */
  from: Cursor;
  /** From where events are received again. */
  to: Cursor;
  reason: UnresumableReason | undefined;
}

/** How something is said. */
export interface ChatOptions extends Omit<ChatSend, "content" | "worldName">, RequestOptions {
  /**
   * Cancels the question: its running replies end with `cancelled`, and the chat with them. What was not sent yet is
   * not sent, and the chat fails with `signal.reason`.
   */
  signal?: AbortSignal | undefined;
}

type Selection = Omit<EventSubscribe, "worldName">;
type Filter = Omit<Selection, "after">;

/** The world of a client: what is said in it, and what happens. */
export class SelectedWorld extends Emitter<WorldEvents> {
  readonly #requests: Requests;
  readonly #selection: WorldSelect;
  readonly #position: Position;
  readonly #roots = new Roots();
  #info: WorldSelected;
  /** Null: there is no subscription. Undefined: the one that selecting makes. */
  #filter: Filter | null | undefined;
  /** Whether what arrives belongs to no subscription that was asked for. */
  #muted = false;
  #closed: AgentWorldError | undefined;

  /** @internal */
  constructor(requests: Requests, selection: WorldSelect, info: WorldSelected) {
    super();
    this.#requests = requests;
    this.#selection = selection;
    this.#info = info;
    this.#position = new Position(selection.after ?? info.cursor);
  }

  /** The world as it was when it was last selected, by you or after a reconnect. */
  get info(): WorldSelected {
    return this.#info;
  }

  get worldName(): string {
    return this.#info.worldName;
  }

  /** The position behind the last event that was received: give it as `after` to go on from here another time. */
  get cursor(): Cursor {
    return this.#position.cursor;
  }

  /** Says something. The replies to it come from the {@link Chat}; everything also comes as events. */
  chat(content: string, options: ChatOptions = {}): Chat {
    const { signal, timeoutMs, idempotencyKey, ...rest } = options;
    const payload = { ...rest, content, worldName: this.worldName };
    return this.#follow("chat_send", payload, { signal, timeoutMs, idempotencyKey });
  }

  /** Tries a reply again that ended with `error`, `cancelled` or `interrupted`. The chat gives the new reply. */
  retry(reply: Pick<Reply, "messageId" | "rootId">, options: RequestOptions = {}): Chat {
    const payload = { messageId: reply.messageId, worldName: this.worldName };
    return this.#follow("chat_retry", payload, options, reply.rootId);
  }

  /** Ends a reply, every reply to a question, or, without an id, every one in the world. */
  async cancel(messageId?: string, options?: RequestOptions): Promise<Cancelled> {
    return (await this.#make("chat_cancel", { messageId, worldName: this.worldName }, options)).data;
  }

  /** Changes an agent's configuration: what is absent stays as it is, null unsets. */
  updateAgent(agentName: string, config: AgentConfigUpdate, options?: RequestOptions): Promise<AgentUpdated> {
    return this.#make("agent_update", { agentName, config, worldName: this.worldName }, options);
  }

  /** Has the server rebuild the world from its log. */
  reload(options?: RequestOptions): Promise<WorldReloaded> {
    return this.#make("world_reload", { worldName: this.worldName }, options);
  }

  /**
   * Chooses the events to receive, in place of those chosen before; with `after`, replays first what follows that
   * cursor. Without, it goes on behind the last event that was received, or begins now where there was no
   * subscription. Chats need `world` and `sse`; they fail with `NOT_SUBSCRIBED` without.
   */
  subscribe(selection: Selection = {}, options?: RequestOptions): Promise<Subscribed> {
    const first = this.#subscribe({ ...selection }, options);
    return selection.after === undefined ? this.#resume((after) => this.#subscribe({ ...selection, after }, options), first) : first;
  }

  /** Receives no events any more, until {@link subscribe}. Requests are answered as before. */
  async unsubscribe(options?: RequestOptions): Promise<void> {
    await this.#make("event_unsubscribe", { worldName: this.worldName }, { ...options, accept: () => this.#unfollow(notSubscribed()) });
  }

  /** @internal Whether the server sends events, as far as is known. */
  get isSubscribed(): boolean {
    return this.#filter !== null;
  }

  /** @internal The connection is lost; until the subscription is restored, what comes is not for here. */
  mute(): void {
    this.#muted = true;
  }

  /** @internal Takes up on a new connection where the last one ended. */
  async restore(): Promise<void> {
    const { templateName, worldName, persistent } = this.#selection;
    const filter = this.#filter;
    const select = (after?: Cursor): Promise<void> =>
      this.#requests.make("world_select", { templateName, worldName, persistent, after }, {
        transient: true,
        accept: (info) => {
          this.#info = info;
          if (filter === undefined) this.#begin(after ?? info.cursor, undefined);
        },
      });
    if (filter === undefined) return this.#resume(select);
    await select();
    if (filter === null) {
      await this.#requests.make("event_unsubscribe", {}, { transient: true });
      return;
    }
    await this.#resume((after) =>
      this.#requests.make("event_subscribe", { ...filter, after }, {
        transient: true,
        accept: ({ data }) => this.#begin(data.from, filter),
      }),
    );
  }

  /** @internal Takes what is not the answer to a request. */
  take(frame: EventStreamMessage | ChatResponseMessage | UnknownMessage): void {
    if (this.#muted || !this.#position.pass(frame.type === "unknown" ? frame.frame["seq"] : frame.seq)) return;
    if (frame.type === "unknown") return this.emit("unknown", frame);
    if (frame.type === "chat_response") {
      const reply = this.#roots.take(frame.payload);
      if (reply !== undefined) this.emit("reply", reply, frame);
      return;
    }
    const { event } = frame.payload;
    switch (event.type) {
      case "message":
        this.#roots.root(event.payload.rootId);
        return this.emit("message", event, frame);
      case "world":
        if (event.payload.action === "settled") this.#roots.settle(event.payload.rootId, frame.seq ?? 0);
        return this.emit("world", event, frame);
      case "system":
        return this.emit("system", event, frame);
    }
  }

  /** @internal A replay has reached the live end. */
  caughtUp(cursor: Cursor): void {
    if (this.#muted) return;
    this.#position.move(cursor);
    this.emit("caught_up", cursor);
  }

  /** @internal */
  close(cause: AgentWorldError): void {
    if (this.#closed !== undefined) return;
    this.#closed = cause;
    this.#roots.fail(cause);
    this.emit("closed", cause);
  }

  #subscribe({ after, ...filter }: Selection, options?: RequestOptions): Promise<Subscribed> {
    // The server drops what it has not sent of the old subscription, and of the replay after a reconnect; how far that
    // came is known when the frame goes out.
    const payload = (): EventSubscribe => ({
      ...filter,
      after: after ?? (this.#filter === null ? undefined : this.cursor),
      worldName: this.worldName,
    });
    return this.#make("event_subscribe", payload, {
      ...options,
      accept: ({ data }) => {
        // What still came of the old subscription is not told again.
        this.#begin(data.from, filter, after === undefined);
        return data;
      },
      // One that fails leaves none; what is no message at all was not tried.
      refused: (error) => {
        if (error.code !== "INVALID_MESSAGE") this.#unfollow(error.code === "UNRESUMABLE" ? error : notSubscribed());
      },
    });
  }

  async #resume<Result>(ask: (after: Cursor | undefined) => Promise<Result>, first = ask(this.cursor)): Promise<Result> {
    try {
      return await first;
    } catch (error) {
      if (!(error instanceof AgentWorldError && error.code === "UNRESUMABLE")) throw error;
      const from = this.cursor;
      this.#roots.fail(error);
      this.#requests.forget(error);
      const to = error.details?.cursor;
      const result = await ask(to);
      this.emit("gap", { from, to: to ?? this.cursor, reason: error.details?.reason });
      return result;
    }
  }

  #begin(from: Cursor, filter: Filter | undefined, onward = false): void {
    if (onward) this.#position.advance(from);
    else this.#position.move(from);
    this.#filter = filter;
    this.#muted = false;
    if (!this.#hearsChats()) this.#roots.fail(notSubscribed());
  }

  #unfollow(cause: AgentWorldError): void {
    this.#filter = null;
    this.#roots.fail(cause);
  }

  #hearsChats(): boolean {
    if (this.#filter === null) return false;
    const types = this.#filter?.eventTypes;
    return types === undefined || (types.includes("world") && types.includes("sse"));
  }

  #make<Type extends keyof Replies, Result = Replies[Type]>(
    type: Type,
    payload: ClientPayloads[Type] | (() => ClientPayloads[Type]),
    options?: InnerOptions<Replies[Type], Result>,
  ): Promise<Result> {
    return this.#closed ? Promise.reject(this.#closed) : this.#requests.make(type, payload, options);
  }

  #follow<Type extends "chat_send" | "chat_retry">(
    type: Type,
    payload: ClientPayloads[Type],
    options: RequestOptions,
    rootId?: string,
  ): Chat {
    const first = rootId === undefined ? 0 : this.#roots.root(rootId).replies.length;
    const accept = ({ data }: { data: MessageAccepted }): MessageAccepted => {
      if (this.#hearsChats()) this.#roots.begin(chat, rootId ?? data.messageId, data, first, this.#position.seq);
      else chat.fail(notSubscribed());
      return data;
    };
    const accepted = this.#make<Type, MessageAccepted>(type, payload, { ...options, accept, keepWhenSent: true });
    // Signals may live longer than any chat, and worlds do.
    const over = (): void => {
      options.signal?.removeEventListener("abort", abort);
      this.#roots.close(chat);
    };
    const chat: Chat = new Chat(accepted, (answer, how) => this.cancel(rootId ?? answer.messageId, how), over);
    this.#roots.open(chat);
    // Nobody waits for this cancellation, so that it may take as long as the connection is away; when it fails, the chat
    // goes on or has failed by itself.
    const abort = (): void => void chat.cancel({ timeoutMs: 0 }).catch(() => {});
    options.signal?.addEventListener("abort", abort, { once: true });
    return chat;
  }
}
