import type { Cursor, Seq } from "./generated/protocol.js";

/** How far a world's log has been received. */
export class Position {
  #epoch = "";
  #seq = 0;

  constructor(cursor: Cursor) {
    this.move(cursor);
  }

  get cursor(): Cursor {
    return `${this.#epoch}:${this.#seq}`;
  }

  get seq(): Seq {
    return this.#seq;
  }

  move(cursor: Cursor): void {
    const [epoch = "", seq = "0"] = cursor.split(":");
    this.#epoch = epoch;
    this.#seq = Number(seq);
  }

  /** Moves, but in the same log never back. */
  advance(cursor: Cursor): void {
    const [epoch, seq] = cursor.split(":");
    if (epoch !== this.#epoch || Number(seq) > this.#seq) this.move(cursor);
  }

  /** Goes on to an event. False: it was there before. */
  pass(seq: unknown): boolean {
    if (typeof seq !== "number") return true;
    if (seq <= this.#seq) return false;
    this.#seq = seq;
    return true;
  }
}
