import { AgentWorldError } from "./error.js";
import type { ChatResponse, FinishReason, Usage } from "./generated/protocol.js";
import { Pulse } from "./pulse.js";

/**
 * One reply of one agent, while it is written and after. Iterating gives its text piece by piece, from its beginning,
 * to each who iterates; the iteration ends with the reply, however that ended: `finishReason` says it.
 */
export class Reply implements AsyncIterable<string> {
  readonly worldName: string;
  /** The agent that speaks. */
  readonly agentName: string;
  /** The id of this reply, and of the message that it becomes. */
  readonly messageId: string;
  /** The message that woke the agent. */
  readonly inReplyTo: string;
  /** The question that this belongs to. */
  readonly rootId: string;
  #content = "";
  /** Of `#content`, in code points, as the protocol counts. */
  #length = 0;
  #end: ChatResponse | undefined;
  #failure: AgentWorldError | undefined;
  readonly #pulse = new Pulse();

  /** @internal */
  constructor(payload: ChatResponse) {
    this.worldName = payload.worldName;
    this.agentName = payload.agentName;
    this.messageId = payload.messageId;
    this.inReplyTo = payload.inReplyTo;
    this.rootId = payload.rootId;
  }

  /** The text so far; at the end, the whole. */
  get content(): string {
    return this.#content;
  }

  get complete(): boolean {
    return this.#end !== undefined;
  }

  /** Why it ended. Only once it is complete. */
  get finishReason(): FinishReason | undefined {
    return this.#end?.finishReason;
  }

  /** Why it failed. Only where `finishReason` is `error`; `world.retry(reply)` tries again. */
  get error(): AgentWorldError | undefined {
    return this.#end?.error && AgentWorldError.of(this.#end.error);
  }

  /** What it cost. Only once it is complete, where the provider tells it. */
  get usage(): Usage | undefined {
    return this.#end?.usage;
  }

  /**
   * The whole text, when the reply is complete, however it ended.
   *
   * @throws AgentWorldError when the end cannot be heard any more: `CLOSED`, `UNRESUMABLE`, `NOT_SUBSCRIBED`
   */
  async text(): Promise<string> {
    while (this.#end === undefined) {
      if (this.#failure) throw this.#failure;
      await this.#pulse.next();
    }
    return this.#content;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<string, void, undefined> {
    let given = 0;
    for (;;) {
      if (this.#content.length > given) {
        const piece = this.#content.slice(given);
        given = this.#content.length;
        yield piece;
      } else if (this.#end !== undefined) {
        return;
      } else if (this.#failure !== undefined) {
        throw this.#failure;
      } else {
        await this.#pulse.next();
      }
    }
  }

  /** @internal Takes a start, a delta or the end. */
  take(payload: ChatResponse): void {
    if (this.#end !== undefined) return;
    if (payload.complete) {
      // A reply whose server died comes back without its text; what was heard is kept.
      if (payload.content !== "" || payload.finishReason !== "interrupted") this.#set(payload.content);
      this.#end = payload;
    } else if (payload.offset === this.#length) {
      this.#content += payload.content;
      this.#length += codePoints(payload.content);
    } else if (payload.offset < this.#length && (payload.offset > 0 || payload.content !== "")) {
      // From `offset` on it is replaced. A start that is repeated has nothing to say.
      this.#set(Array.from(this.#content).slice(0, payload.offset).join("") + payload.content);
    }
    this.#pulse.beat();
  }

  /** @internal Nothing more is heard of it. */
  fail(cause: AgentWorldError): void {
    this.#failure ??= cause;
    this.#pulse.beat();
  }

  #set(content: string): void {
    this.#content = content;
    this.#length = codePoints(content);
  }
}

function codePoints(text: string): number {
  let count = 0;
  for (const _ of text) count += 1;
  return count;
}
