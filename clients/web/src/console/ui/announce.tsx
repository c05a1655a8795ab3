import { signal } from "@preact/signals";
import type { JSX } from "preact";

const said = signal("");
const alarm = signal("");

/** Has screen readers say something when they are done with what they are saying; or at once. */
export function announce(text: string, urgent = false): void {
  const region = urgent ? alarm : said;
  // The same words again are news only when they change.
  region.value = region.value === text ? `${text}\u00a0` : text;
}

export function Announcer(): JSX.Element {
  return (
    <>
      <div class="visually-hidden" aria-live="polite" data-testid="announcer">
        {said}
      </div>
      <div class="visually-hidden" aria-live="assertive">
        {alarm}
      </div>
    </>
  );
}
