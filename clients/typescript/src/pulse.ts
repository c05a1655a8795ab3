/** Wakes everybody who waits for a change. */
export class Pulse {
  #waiting: (() => void)[] = [];

  /** Resolves at the next {@link beat}. */
  next(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  beat(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }
}
