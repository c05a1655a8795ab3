import { Chat } from "./chat.js";
import { AgentWorldError } from "./error.js";
import type { ChatResponse, MessageAccepted } from "./generated/protocol.js";
import { Reply } from "./reply.js";

/** What is known of one question. */
export interface Root {
  /** In the order in which they began. */
  readonly replies: Reply[];
  /** The `seq` of the last time that it was settled; 0: never. */
  settledAt: number;
}

/** How many questions are remembered that no open chat follows: for chats that are accepted behind their events. */
const REMEMBERED = 256;

/** The questions of a world: puts replies together, and tells the chats that wait for them. */
export class Roots {
  readonly #roots = new Map<string, Root>();
  readonly #running = new Map<string, Reply>();
  readonly #chats = new Map<Chat, string | undefined>();

  /** A chat that waits to be accepted. */
  open(chat: Chat): void {
    this.#chats.set(chat, undefined);
  }

  /** A chat that has ended. */
  close(chat: Chat): void {
    this.#chats.delete(chat);
  }

  /**
   * A chat is accepted. `seen` is the last `seq` that was received: of a question before it that is not remembered,
   * nothing will be heard.
   */
  begin(chat: Chat, rootId: string, answer: MessageAccepted, first: number, seen: number): void {
    if (answer.seq <= seen && !this.#roots.has(rootId)) {
      const message = "the question was asked before this subscription began; select the world with `after`";
      return chat.fail(new AgentWorldError("NOT_SUBSCRIBED", message));
    }
    this.#chats.set(chat, rootId);
    chat.begin(this.root(rootId), answer, first);
  }

  root(rootId: string): Root {
    let root = this.#roots.get(rootId);
    if (root === undefined) {
      root = { replies: [], settledAt: 0 };
      this.#trim();
      this.#roots.set(rootId, root);
    }
    return root;
  }

  /** Takes a piece of a reply; gives the reply when it is new. */
  take(payload: ChatResponse): Reply | undefined {
    let reply = this.#running.get(payload.messageId);
    const isNew = reply === undefined;
    if (reply === undefined) {
      // Behind its end nothing is heard of a reply; a late delta is none.
      reply = new Reply(payload);
      this.#running.set(payload.messageId, reply);
      this.root(payload.rootId).replies.push(reply);
    }
    reply.take(payload);
    if (payload.complete) this.#running.delete(payload.messageId);
    if (isNew) this.#wake(payload.rootId);
    return isNew ? reply : undefined;
  }

  settle(rootId: string, seq: number): void {
    this.root(rootId).settledAt = seq;
    this.#wake(rootId);
  }

  /** Whatever is under way will not be heard. */
  fail(cause: AgentWorldError): void {
    for (const reply of this.#running.values()) reply.fail(cause);
    // A chat that is not accepted yet hears all of what follows.
    for (const [chat, rootId] of [...this.#chats]) if (rootId !== undefined) chat.fail(cause);
    this.#running.clear();
    this.#roots.clear();
  }

  #wake(rootId: string): void {
    for (const [chat, follows] of [...this.#chats]) if (follows === rootId) chat.wake();
  }

  #trim(): void {
    if (this.#roots.size <= REMEMBERED) return;
    const followed = new Set(this.#chats.values());
    for (const rootId of this.#roots.keys()) {
      if (this.#roots.size <= REMEMBERED) return;
      if (!followed.has(rootId)) this.#roots.delete(rootId);
    }
  }
}
