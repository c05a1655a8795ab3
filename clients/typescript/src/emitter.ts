/** Calls listeners by the name of an event. `Events` maps each name to what its listeners take. */
export class Emitter<Events extends { [name in keyof Events]: unknown[] }> {
  readonly #listeners: { [Name in keyof Events]?: Set<(...values: Events[Name]) => void> } = {};

  /**
   * Calls `listener` for each event of this name, until the returned function is called. What a listener throws
   * is reported as an uncaught error; it disturbs neither the connection nor other listeners.
   */
  on<Name extends keyof Events>(name: Name, listener: (...values: Events[Name]) => void): () => void {
    const listeners = (this.#listeners[name] ??= new Set());
    const entry = (...values: Events[Name]): void => listener(...values);
    listeners.add(entry);
    return () => listeners.delete(entry);
  }

  /** @internal */
  emit<Name extends keyof Events>(name: Name, ...values: Events[Name]): void {
    for (const listener of [...(this.#listeners[name] ?? [])]) {
      try {
        listener(...values);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}
