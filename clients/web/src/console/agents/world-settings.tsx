import { useSignal } from "@preact/signals";
import { exportWorld, updateWorld } from "agent-world-client/http";
import type { JSX } from "preact";
import { announce } from "../ui/announce.js";
import { saveFile } from "../ui/save-file.js";
import { Icon } from "../ui/icon.js";
import type { OpenWorld } from "../world/open-world.js";

/** What belongs to the world itself: its title, its turn limit, and its log as a file. */
export function WorldSettings({ world }: { world: OpenWorld }): JSX.Element {
  const title = useSignal<string | undefined>(undefined);
  const turns = useSignal<string | undefined>(undefined);
  const failure = useSignal("");
  const name = world.title.value === world.name ? "" : world.title.value;
  const changed = (title.value ?? name) !== name || (turns.value !== undefined && turns.value !== String(world.turnLimit.value));

  const save = (): void => {
    failure.value = "";
    const body: { title?: string | null; turnLimit?: number } = {};
    if (title.value !== undefined) body.title = title.value.trim() === "" ? null : title.value.trim();
    if (turns.value !== undefined) body.turnLimit = Number(turns.value);
    updateWorld(world.client.server, { worldName: world.name, body }, { timeoutMs: 15_000 }).then(
      () => {
        title.value = turns.value = undefined;
        announce("The world was changed");
      },
      (error: Error) => (failure.value = error.message),
    );
  };
  const download = (): void => {
    exportWorld(world.client.server, { worldName: world.name }).then(
      (log) => saveFile(`${world.name}.ndjson`, log),
      (error: Error) => (failure.value = error.message),
    );
  };

  return (
    <section class="world-settings" aria-label="The world">
      <h3>The world</h3>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          save();
        }}
      >
        <div class="two">
          <label class="field">
            <span>Title</span>
            <input type="text" dir="auto" autoComplete="off" placeholder={world.name} value={title.value ?? name} onInput={(event) => (title.value = event.currentTarget.value)} />
          </label>
          <label class="field">
            <span>Turns until a human speaks</span>
            <input type="number" min={1} value={turns.value ?? String(world.turnLimit.value)} onInput={(event) => (turns.value = event.currentTarget.value)} />
          </label>
        </div>
        {failure.value !== "" && (
          <p class="state bad" role="alert">
            {failure}
          </p>
        )}
        <div class="buttons">
          <button type="submit" class="primary" disabled={!changed}>
            Save
          </button>
          <button type="button" class="quiet" onClick={download}>
            <Icon name="download" />
            Export the log
          </button>
        </div>
      </form>
    </section>
  );
}
