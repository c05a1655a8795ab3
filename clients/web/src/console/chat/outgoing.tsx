import type { JSX } from "preact";
import type { OpenWorld, Outgoing } from "../world/open-world.js";
import { plain } from "./markdown.js";

/** What was said here and has not reached the world. */
export function OutgoingView({ entry: { key, text, error }, world }: { entry: Outgoing; world: OpenWorld }): JSX.Element {
  return (
    <article class={error === undefined ? "speech human pending" : "speech human failed"} aria-label={error === undefined ? "Being sent" : "Not sent"}>
      <div class="text" dir="auto">
        {plain(text)}
      </div>
      {error === undefined ? (
        <footer class="end">Sending…</footer>
      ) : (
        <div class="end error" role="alert">
          <span>
            Not sent: {error.message} <code>{error.code}</code>
          </span>
          <button type="button" class="small" onClick={() => world.say(text, key)}>
            Send again
          </button>
          <button type="button" class="quiet small" onClick={() => world.discard(key)}>
            Discard
          </button>
        </div>
      )}
    </article>
  );
}
