import { signal } from "@preact/signals";
import type { WireFrame } from "agent-world-client";

/** Whose connection it is: the console's, or the composer's. */
export type Line = "console" | "composer";

/** One frame that went over the wire, with what can be told of it. */
export interface Taped {
  /** Counts from 1 on. */
  readonly n: number;
  readonly at: string;
  readonly direction: WireFrame["direction"];
  readonly line: Line;
  /** The number that {@link Tape.connect} gave. */
  readonly connection: number;
  readonly text: string;
  /** In bytes, as UTF-8. */
  readonly size: number;
  /** `chat_send`, or with the kind of payload: `status/connected`, `event_stream/message`. */
  readonly type: string;
  readonly seq: number | undefined;
  readonly id: string | undefined;
  readonly frame: unknown;
  /** What this one answers. */
  request: Taped | undefined;
  /** What answered this one. */
  answer: Taped | undefined;
}

/** The end of a connection that frames went over. */
export interface End {
  readonly at: string;
  /** Who ended it. */
  readonly direction: WireFrame["direction"];
  readonly connection: number;
  readonly closeCode: number;
  /** The frame before it. */
  readonly n: number;
}

/** More frames, or more text, than this are not kept; the oldest go first. */
const MOST_FRAMES = 5_000;
const MOST_TEXT = 16_000_000;
/** How often who looks is told. */
const TELL_MS = 100;

const encoder = new TextEncoder();

/** Every frame that went in or out, the newest last. */
export class Tape {
  #frames: Taped[] = [];
  #ends: End[] = [];
  #text = 0;
  #count = 0;
  #connections = 0;
  /** The requests that may still be answered, by line and id. */
  readonly #asked = new Map<string, Taped>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Rises when there are new frames, some ten times a second. */
  readonly version = signal(0);

  get frames(): readonly Taped[] {
    return this.#frames;
  }

  /** The connections that have ended, the newest last. */
  get ends(): readonly End[] {
    return this.#ends;
  }

  /** How many came and went so far. */
  get count(): number {
    return this.#count;
  }

  /** The number of a connection that begins. */
  connect(): number {
    this.#connections += 1;
    return this.#connections;
  }

  /** A connection is over. */
  end(connection: number, closeCode = 1000): void {
    if (!this.#frames.some((frame) => frame.connection === connection)) return;
    // The server's are those with a meaning. One that just went counts as cut here, so that who plays it cuts it, too.
    const direction = closeCode === 1000 || closeCode === 1006 ? "client" : "server";
    this.#ends.push({ at: new Date().toISOString(), direction, connection, closeCode, n: this.#count });
  }

  add({ at, direction, text }: WireFrame, line: Line, connection: number): Taped {
    const frame = parse(text);
    const { type = "(no frame)", payload, id, seq, replyTo } = frame;
    const kind = type === "event_stream" ? payload?.["eventType"] : type === "status" ? payload?.["type"] : undefined;
    this.#count += 1;
    const taped: Taped = {
      n: this.#count,
      at,
      direction,
      line,
      connection,
      text,
      size: encoder.encode(text).length,
      type: typeof kind === "string" ? `${type}/${kind}` : String(type),
      seq: typeof seq === "number" ? seq : undefined,
      id: typeof id === "string" ? id : undefined,
      frame: frame.whole,
      request: direction === "server" && typeof replyTo === "string" ? this.#asked.get(`${line} ${replyTo}`) : undefined,
      answer: undefined,
    };
    if (taped.request) taped.request.answer = taped;
    if (direction === "client" && taped.id !== undefined) this.#asked.set(`${line} ${taped.id}`, taped);
    this.#frames.push(taped);
    this.#text += text.length;
    this.#trim();
    this.#timer ??= setTimeout(() => this.#tell(), TELL_MS);
    return taped;
  }

  clear(): void {
    this.#frames = [];
    this.#ends = [];
    this.#asked.clear();
    this.#text = 0;
    this.#tell();
  }

  #tell(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.version.value += 1;
  }

  #trim(): void {
    // In strides, so that not every frame moves all others.
    if (this.#frames.length < MOST_FRAMES * 1.1 && this.#text < MOST_TEXT * 1.1) return;
    let drop = Math.max(0, this.#frames.length - MOST_FRAMES);
    let text = this.#text;
    this.#frames.slice(0, drop).forEach((frame) => (text -= frame.text.length));
    while (text > MOST_TEXT && drop < this.#frames.length - 1) text -= this.#frames[drop++]?.text.length ?? 0;
    for (const { line, id, direction } of this.#frames.slice(0, drop)) {
      if (direction === "client") this.#asked.delete(`${line} ${id}`);
    }
    this.#frames = this.#frames.slice(drop);
    this.#ends = this.#ends.filter(({ n }) => n >= (this.#frames[0]?.n ?? 0));
    this.#text = text;
  }
}

export const tape = new Tape();

/** Milliseconds between a request and its answer. */
export function tookMs({ at, request }: Taped): number | undefined {
  return request === undefined ? undefined : Date.parse(at) - Date.parse(request.at);
}

interface Parsed {
  whole: unknown;
  type?: unknown;
  id?: unknown;
  seq?: unknown;
  replyTo?: unknown;
  payload?: Record<string, unknown>;
}

function parse(text: string): Parsed {
  try {
    const whole: unknown = JSON.parse(text);
    if (typeof whole === "object" && whole !== null) return { ...whole, whole };
    return { whole };
  } catch {
    return { whole: text };
  }
}
