import { AgentWorldError } from "./error.js";
import type { Cancelled, MessageAccepted } from "./generated/protocol.js";
import { Pulse } from "./pulse.js";
import type { Reply } from "./reply.js";
import type { RequestOptions } from "./requests.js";
import type { Root } from "./roots.js";

/**
 * One question and everything that it sets going: the replies to it, and what other agents say to those. Iterating
 * gives each {@link Reply} as it begins, and ends when the question is settled: when no reply to it runs or waits.
 * Leaving the loop early cancels nothing.
 */
export class Chat implements AsyncIterable<Reply> {
  /** Settles when the message is stored: with its id, and the agents that it woke. */
  readonly accepted: Promise<MessageAccepted>;
  readonly #cancel: (answer: MessageAccepted, options?: RequestOptions) => Promise<Cancelled>;
  #over: (() => void) | undefined;
  readonly #pulse = new Pulse();
  #root: Root | undefined;
  #answer: MessageAccepted | undefined;
  /** Which of the root's replies are this chat's: those before a retry are not, nor those after it was settled. */
  #first = 0;
  #end: number | undefined;
  #failure: { reason: unknown } | undefined;

  /** @internal `over` is called once, when it is settled or has failed. */
  constructor(
    accepted: Promise<MessageAccepted>,
    cancel: (answer: MessageAccepted, options?: RequestOptions) => Promise<Cancelled>,
    over?: () => void,
  ) {
    this.accepted = accepted;
    this.#cancel = cancel;
    this.#over = over;
    accepted.catch((reason: unknown) => this.fail(reason));
  }

  /** The id of the message; of a retry, that of the new reply. Undefined until it is accepted. */
  get messageId(): string | undefined {
    return this.#answer?.messageId;
  }

  /**
   * Ends every running and waiting reply of this question; each running one ends with `cancelled` and its text so
   * far, and the iteration ends by itself.
   */
  async cancel(options?: RequestOptions): Promise<Cancelled> {
    return this.#cancel(await this.accepted, options);
  }

  /** Waits for the end of the question, and gives its replies in the order in which they began. */
  async settled(): Promise<Reply[]> {
    const replies: Reply[] = [];
    for await (const reply of this) replies.push(reply);
    return replies;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Reply, void, undefined> {
    for (let given = 0; ; ) {
      const at = this.#first + given;
      const reply = this.#root?.replies[at];
      if (reply !== undefined && at < (this.#end ?? Infinity)) {
        given += 1;
        yield reply;
      } else if (this.#failure !== undefined) {
        throw this.#failure.reason;
      } else if (this.isSettled) {
        return;
      } else {
        await this.#pulse.next();
      }
    }
  }

  /** Whether nothing more comes. */
  get isSettled(): boolean {
    return this.#end !== undefined;
  }

  /** @internal The question is known: its replies from number `first` on belong to it. */
  begin(root: Root, answer: MessageAccepted, first = 0): void {
    this.#root = root;
    this.#answer = answer;
    this.#first = first;
    this.wake();
  }

  /** @internal Something of its root has changed. */
  wake(): void {
    if (this.#root !== undefined && this.#answer !== undefined && this.#root.settledAt > this.#answer.seq) {
      this.#end ??= this.#root.replies.length;
      this.#finish();
    }
    this.#pulse.beat();
  }

  /** @internal */
  fail(reason: unknown): void {
    this.#failure ??= { reason };
    this.#finish();
    this.#pulse.beat();
  }

  #finish(): void {
    const over = this.#over;
    this.#over = undefined;
    over?.();
  }
}

/** @internal Why a chat cannot be heard. */
export function notSubscribed(): AgentWorldError {
  return new AgentWorldError("NOT_SUBSCRIBED", "a chat needs the events `world` and `sse`");
}
