import { computed, signal } from "@preact/signals";
import type { Agent, AgentWorldError, Chat, Client, Cursor, Reply, SelectedWorld, WorldEvent, WorldSelect } from "agent-world-client";
import { listAgents, listEvents } from "agent-world-client/http";
import { announce } from "../ui/announce.js";
import { assignHues, forgetHues } from "../ui/hue.js";
import { Drawing } from "../ui/picture.js";
import { type Speech, Timeline } from "./timeline.js";

/** Something that was said here and is not accepted yet. */
export interface Outgoing {
  readonly key: string;
  readonly text: string;
  readonly error: AgentWorldError | undefined;
}

const PAGE = 200;

/** The world that is shown: its agents, what was said, and what can be done. */
export class OpenWorld {
  readonly client: Client;
  readonly selected: SelectedWorld;
  readonly timeline = new Timeline();
  readonly agents = signal<readonly Agent[]>([]);
  readonly title = signal<string>("");
  readonly turnLimit = signal(0);
  readonly outgoing = signal<readonly Outgoing[]>([]);
  /** Why the history could not be read. */
  readonly historyError = signal<AgentWorldError | undefined>();
  readonly loading = signal(false);
  /** Whether the history has been read to its beginning. */
  readonly whole = signal(false);
  /** Whether an agent is at it. */
  readonly busy = computed(() => this.timeline.running.value.length > 0 || this.#unsettled.value.size > 0);
  /** The questions asked here that are not settled. */
  readonly #unsettled = signal<ReadonlySet<string>>(new Set());
  readonly #replies = new Map<Reply, Speech>();
  readonly #stop: (() => void)[] = [];
  #before: Cursor | undefined;
  /** Counts histories, so that a page of one that was given up is not taken. */
  #reading = 0;

  static async open(client: Client, selection: WorldSelect): Promise<OpenWorld> {
    return new OpenWorld(client, await client.selectWorld(selection));
  }

  private constructor(client: Client, selected: SelectedWorld) {
    this.client = client;
    this.selected = selected;
    const { info } = selected;
    forgetHues();
    this.#setAgents(info.agents);
    this.title.value = info.title ?? info.worldName;
    this.turnLimit.value = info.worldState.turnLimit;
    this.#stop.push(
      selected.on("message", (event, frame) => {
        this.timeline.take(frame);
        if (event.senderType === "agent") announce(`${event.sender}: ${event.payload.content.slice(0, 300)}`);
      }),
      selected.on("reply", (reply, frame) => {
        this.timeline.take(frame);
        const speech = this.timeline.speech(reply.messageId);
        if (speech !== undefined) void this.#follow(reply, speech);
      }),
      selected.on("world", (event, frame) => {
        this.timeline.take(frame);
        this.#happened(event);
      }),
      selected.on("gap", () => void this.#readAnew()),
    );
    void this.#readAnew();
  }

  get name(): string {
    return this.selected.worldName;
  }

  close(): void {
    for (const stop of this.#stop) stop();
    this.#drawing.stop();
    this.#reading += 1;
  }

  say(text: string, idempotencyKey: string = crypto.getRandomValues(new Uint32Array(4)).join("-")): void {
    const key = idempotencyKey;
    this.#setOutgoing(key, { key, text, error: undefined });
    this.#ask(this.selected.chat(text, { idempotencyKey }), (error) => this.#setOutgoing(key, error && { key, text, error }));
  }

  discard(key: string): void {
    this.#setOutgoing(key, undefined);
  }

  retry(speech: Speech): void {
    this.#ask(this.selected.retry({ messageId: speech.id, rootId: speech.rootId }), (error) => {
      if (error) announce(`Not tried again: ${error.message}`, true);
    });
  }

  /** Ends one reply, or all. */
  async stop(speech?: Speech): Promise<void> {
    await this.selected.cancel(speech?.id);
  }

  /** Reads what stands before what is shown. */
  async readMore(): Promise<void> {
    if (this.loading.value || this.whole.value) return;
    this.loading.value = true;
    const reading = this.#reading;
    try {
      const input = { worldName: this.name, before: this.#before, limit: PAGE, types: "message,world,sse" };
      const page = await listEvents(this.client.server, input, { timeoutMs: 20_000 });
      if (reading !== this.#reading) return;
      this.#before = page.prev;
      this.whole.value = page.prev === undefined;
      this.historyError.value = undefined;
      this.timeline.takePage(page.events);
    } catch (error) {
      if (reading === this.#reading) this.historyError.value = error as AgentWorldError;
    } finally {
      if (reading === this.#reading) this.loading.value = false;
    }
  }

  /** Begins with the newest page. What happens meanwhile comes by the connection; what comes twice is taken once. */
  async #readAnew(): Promise<void> {
    this.#reading += 1;
    this.#before = undefined;
    this.whole.value = false;
    this.loading.value = false;
    this.timeline.clear();
    await this.readMore();
    const reading = this.#reading;
    const agents = await listAgents(this.client.server, { worldName: this.name }).catch(() => undefined);
    if (agents !== undefined && reading === this.#reading) this.#setAgents(agents);
  }

  async #follow(reply: Reply, speech: Speech): Promise<void> {
    this.#replies.set(reply, speech);
    try {
      // The text is in the reply; how many pieces come between two pictures does not matter.
      for await (const _ of reply) this.#touchSoon(reply);
    } catch {
      // Its end will not be heard: the world was left, or a gap has begun a new history.
    }
    this.#touchSoon(reply);
  }

  readonly #touched = new Set<Reply>();

  readonly #drawing = new Drawing(() => {
    for (const reply of this.#touched) {
      const speech = this.#replies.get(reply);
      if (speech !== undefined) this.timeline.touch(speech, reply);
      if (reply.complete) this.#ended(reply);
    }
    this.#touched.clear();
  });

  #touchSoon(reply: Reply): void {
    this.#touched.add(reply);
    this.#drawing.request();
  }

  #ended(reply: Reply): void {
    if (!this.#replies.delete(reply)) return;
    const { finishReason, agentName } = reply;
    if (finishReason === "error") announce(`${agentName} failed: ${reply.error?.message}`, true);
    if (finishReason === "cancelled" || finishReason === "interrupted") announce(`The reply of ${agentName} was ${finishReason}`);
  }

  #ask(chat: Chat, done: (error: AgentWorldError | undefined) => void): void {
    chat.accepted.then(
      async () => {
        done(undefined);
        const { messageId = "" } = chat;
        this.#setUnsettled((open) => open.add(messageId));
        await chat.settled().catch(() => undefined);
        this.#setUnsettled((open) => open.delete(messageId));
      },
      (error: AgentWorldError) => done(error),
    );
  }

  #happened({ payload }: WorldEvent): void {
    if (payload.action === "agent-update" || payload.action === "agent-created") {
      const others = this.agents.value;
      const known = others.some(({ name }) => name === payload.agent.name);
      this.#setAgents(known ? others.map((agent) => (agent.name === payload.agent.name ? payload.agent : agent)) : [...others, payload.agent]);
    } else if (payload.action === "agent-deleted") {
      this.#setAgents(this.agents.value.filter(({ name }) => name !== payload.agentName));
    } else if (payload.action === "world-updated") {
      this.title.value = payload.title ?? this.name;
      this.turnLimit.value = payload.turnLimit;
    }
  }

  #setAgents(agents: readonly Agent[]): void {
    assignHues(agents.map(({ name }) => name));
    this.agents.value = agents;
  }

  #setOutgoing(key: string, entry: Outgoing | undefined): void {
    const others = this.outgoing.value.filter((other) => other.key !== key);
    this.outgoing.value = entry === undefined ? others : [...others, entry];
  }

  #setUnsettled(change: (open: Set<string>) => void): void {
    const open = new Set(this.#unsettled.value);
    change(open);
    this.#unsettled.value = open;
  }
}
