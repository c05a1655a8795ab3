import type { ComponentChildren, JSX } from "preact";
import { type Loaded as State, useLoaded } from "./documents.js";

/** Shows what `load` gives, that it is on its way, or that it failed. */
export function Loaded<T>({ load, children }: { load: () => Promise<T>; children: (value: T) => ComponentChildren }): JSX.Element {
  const state: State<T> = useLoaded(load);
  if (state === undefined) return <p class="waiting" role="status">Loading…</p>;
  if ("error" in state) {
    return (
      <div class="failed" role="alert">
        <p>This could not be loaded: {state.error.message}</p>
        <button type="button" class="button" onClick={state.again}>
          Try again
        </button>
      </div>
    );
  }
  return <>{children(state.value)}</>;
}
