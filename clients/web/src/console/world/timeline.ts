import { type Signal, signal } from "@preact/signals";
import type { AgentWorldError, ErrorInfo, EventFrame, FinishReason, Reply, SenderType, Usage, WorldAction } from "agent-world-client";
import { nextPicture } from "../ui/picture.js";

/** Something that was said, or is being said. */
export interface Speech {
  readonly kind: "speech";
  /** Of the message or reply. */
  readonly id: string;
  /** Where it begins in the world's log; infinite as long as that was not heard. */
  seq: number;
  at: string;
  readonly sender: string;
  readonly senderType: SenderType;
  displayName: string | undefined;
  /** The message that woke the agent. */
  readonly inReplyTo: string | undefined;
  readonly rootId: string;
  text: string;
  /** How it ended; undefined: it is being written. Of what is no reply: `stop`. */
  end: FinishReason | undefined;
  error: ErrorInfo | AgentWorldError | undefined;
  usage: Usage | undefined;
  /** Rises with each change, so that only what shows this is drawn anew. */
  readonly version: Signal<number>;
}

/** Something that happened to the world. */
export interface Note {
  readonly kind: "note";
  readonly id: string;
  readonly seq: number;
  readonly at: string;
  readonly action: WorldAction;
}

/** What stands in one line of the chat: notes, one speech, or the replies of several agents to the same message. */
export type Row = { key: string; notes: readonly Note[] } | { key: string; speeches: readonly Speech[] };

/** How many replies stand side by side. */
const ABREAST = 4;
/** What happens too often, or is shown elsewhere. */
const SILENT: readonly string[] = ["settled", "agent-update", "world-reload"];

/** What was said in a world, in the order of its log, however it was learned: from the history or as it happened. */
export class Timeline {
  #speeches = new Map<string, Speech>();
  #notes = new Map<string, Note>();
  #soon: (() => void) | undefined;
  /** The rows, and whether new ones stand in front of those before. */
  readonly rows = signal<{ list: readonly Row[]; prepended: boolean }>({ list: [], prepended: false });
  /** The replies that are being written. */
  readonly running = signal<readonly Speech[]>([]);

  get size(): number {
    return this.#speeches.size;
  }

  speech(id: string): Speech | undefined {
    return this.#speeches.get(id);
  }

  /** Whether a reply was tried again since. */
  isRetried({ id, inReplyTo, sender, seq }: Speech): boolean {
    for (const other of this.#speeches.values()) {
      if (other.inReplyTo === inReplyTo && other.sender === sender && other.id !== id && other.seq > seq) return true;
    }
    return false;
  }

  /** Takes a page of the history, in any order and as often as it comes. */
  takePage(frames: readonly EventFrame[]): void {
    for (const frame of frames) this.#take(frame);
    this.#arrange(this.rows.peek().list.length > 0);
  }

  /** Takes what happens. Of a reply it may be any piece; its text comes by {@link touch}. */
  take(frame: EventFrame): void {
    this.#take(frame);
    this.#arrangeSoon();
  }

  /** Text has come, or the end. */
  touch(speech: Speech, { content, complete, finishReason, error, usage }: Reply): void {
    // What the world heard may differ from what was written, and stands already.
    if (speech.end === undefined || content.length > speech.text.length) speech.text = content;
    if (complete && speech.end === undefined) {
      speech.end = finishReason;
      speech.error = error;
      speech.usage = usage;
      this.#arrangeSoon();
    }
    speech.version.value += 1;
  }

  clear(): void {
    this.#speeches = new Map();
    this.#notes = new Map();
    this.#arrange(false);
  }

  #take(frame: EventFrame): void {
    const seq = frame.seq ?? Infinity;
    if (frame.type === "chat_response") {
      const { messageId, agentName, inReplyTo, rootId, content, complete, finishReason, error, usage } = frame.payload;
      const speech = this.#upsert(messageId, seq, frame.timestamp, () => ({
        ...{ id: messageId, seq, at: frame.timestamp, sender: agentName, senderType: "agent", displayName: undefined },
        ...{ inReplyTo, rootId, text: "", end: undefined, error: undefined, usage: undefined },
      }));
      if (complete) {
        // A reply whose server died ends without its text; what was heard is kept. What the world heard stands already.
        if (speech.end === undefined && (content !== "" || finishReason !== "interrupted")) speech.text = content;
        Object.assign(speech, { end: finishReason, error, usage });
      }
      return;
    }
    const { event } = frame.payload;
    if (event.type === "message") {
      const { messageId, content, inReplyTo, rootId, displayName } = event.payload;
      const { sender, senderType } = event;
      // What the system says in the place of a reply has the id of the reply.
      const id = senderType === "world" ? `${messageId} ${sender}` : messageId;
      const speech = this.#upsert(id, seq, frame.timestamp, () => ({
        ...{ id, seq, at: frame.timestamp, sender, senderType, displayName, inReplyTo, rootId },
        ...{ text: content, end: "stop", error: undefined, usage: undefined },
      }));
      speech.text = content;
      speech.end ??= "stop";
    } else if (event.type === "world" && !SILENT.includes(event.payload.action)) {
      this.#notes.set(event.id, { kind: "note", id: event.id, seq, at: event.timestamp, action: event.payload });
    }
  }

  #upsert(id: string, seq: number, at: string, make: () => Omit<Speech, "kind" | "version">): Speech {
    let speech = this.#speeches.get(id);
    if (speech === undefined) {
      speech = { kind: "speech", ...make(), version: signal(0) };
      this.#speeches.set(id, speech);
    } else {
      if (seq < speech.seq) [speech.seq, speech.at] = [seq, at];
      speech.version.value += 1;
    }
    return speech;
  }

  /** A burst of events, as after a reconnect, is put in order once for each picture. */
  #arrangeSoon(): void {
    this.#soon ??= nextPicture(() => this.#arrange(false));
  }

  #arrange(prepended: boolean): void {
    this.#soon?.();
    this.#soon = undefined;
    const entries = [...this.#speeches.values(), ...this.#notes.values()].sort((a, b) => (a.seq === b.seq ? 0 : a.seq - b.seq));
    const list: Row[] = [];
    let group: Speech[] = [];
    let notes: Note[] = [];
    for (const entry of entries) {
      const first = group[0];
      if (entry.kind === "note") {
        group = [];
        notes.push(entry);
        if (notes.length === 1) list.push({ key: entry.id, notes });
        continue;
      }
      notes = [];
      if (first !== undefined && belongs(entry, first) && group.length < ABREAST) {
        group.push(entry);
      } else {
        group = [entry];
        list.push({ key: entry.id, speeches: group });
      }
    }
    this.rows.value = { list, prepended };
    this.running.value = entries.filter((entry) => entry.kind === "speech" && entry.end === undefined) as Speech[];
  }
}

/** Whether a reply stands beside another: agents that answer the same message. */
function belongs(speech: Speech, first: Speech): boolean {
  return speech.senderType === "agent" && first.senderType === "agent" && speech.inReplyTo !== undefined && speech.inReplyTo === first.inReplyTo;
}
