/** Calls listeners by the name of an event. `Events` maps each name to what its listeners take. */
export class Emitter<Events extends { [name in keyof Events]: unknown[] }> {
  readonly #listeners = new Map<keyof Events, Set<(...values: never[]) => void>>();

  /**
   * Calls `listener` for each event of this name, until the returned function is called. What a listener throws
   * is reported as an uncaught error; it disturbs neither the connection nor other listeners.
   */
  on<Name extends keyof Events>(name: Name, listener: (...values: Events[Name]) => void): () => void {
    let listeners = this.#listeners.get(name);
    if (listeners === undefined) {
      listeners = new Set();
      this.#listeners.set(name, listeners);
    }
    const entry = (...values: Events[Name]): void => listener(...values);
    listeners.add(entry);
    return () => listeners.delete(entry);
  }

  /** @internal */
  emit<Name extends keyof Events>(name: Name, ...values: Events[Name]): void {
    for (const listener of [...(this.#listeners.get(name) ?? [])]) {
      try {
        (listener as (...values: Events[Name]) => void)(...values);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}
