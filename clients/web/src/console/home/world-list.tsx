import { useSignal } from "@preact/signals";
import type { WorldSummary } from "agent-world-client";
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { go, route } from "../route.js";
import { state } from "../session/connection.js";
import { Icon } from "../ui/icon.js";
import { when } from "../ui/time.js";
import { openWorld, opening, readWorlds, removeWorld, trouble, worlds } from "../world/worlds.js";

/** The worlds of this browser. Compact, it is the list beside the chat. */
export function WorldList({ compact = false }: { compact?: boolean }): JSX.Element | null {
  const { status } = state.value;
  useEffect(() => {
    if (status === "open") readWorlds().catch((error: Error) => (trouble.value = `Your worlds could not be listed: ${error.message}.`));
  }, [status]);
  const list = [...(worlds.value ?? [])].sort((a, b) => b.createdAt.localeCompare(a.createdAt));
  const current = openWorld.value?.name;
  if (!compact && list.length === 0) return null;
  return (
    <section class="worlds" aria-label="Your worlds">
      <header>
        <h2>Your worlds</h2>
        {compact && (
          <button type="button" class="icon-button" onClick={() => go({ world: undefined, compose: undefined })} aria-label="New world" title="New world" aria-pressed={route.value.world === undefined}>
            <Icon name="plus" />
          </button>
        )}
      </header>
      {list.length === 0 && <p class="faint">None yet. Choose a template to begin.</p>}
      <ul>
        {list.map((world) => (
          <World key={world.worldName} world={world} current={world.worldName === current} />
        ))}
      </ul>
    </section>
  );
}

function World({ world, current }: { world: WorldSummary; current: boolean }): JSX.Element {
  const { worldName, title, templateName, persistent, createdAt } = world;
  const asking = useSignal(false);
  const remove = (): void => {
    removeWorld(worldName).catch((error: Error) => (trouble.value = `The world was not deleted: ${error.message}.`));
  };
  if (asking.value) {
    return (
      <li class="world asking">
        <p>
          Delete <b>{title ?? worldName}</b> and all that was said in it?
        </p>
        <div class="row">
          <button type="button" class="danger small" onClick={remove} ref={(button) => button?.focus()}>
            Delete
          </button>
          <button type="button" class="quiet small" onClick={() => (asking.value = false)}>
            Keep
          </button>
        </div>
      </li>
    );
  }
  return (
    <li class={current ? "world current" : "world"}>
      <button type="button" class="open" aria-current={current ? "true" : undefined} onClick={() => go({ world: worldName })} aria-busy={opening.value === worldName}>
        <b dir="auto">{title ?? worldName}</b>
        <span>
          {templateName} · {when(createdAt)}
          {!persistent && " · not kept"}
        </span>
      </button>
      <button type="button" class="icon-button" onClick={() => (asking.value = true)} aria-label={`Delete ${title ?? worldName}`} title="Delete">
        <Icon name="trash" />
      </button>
    </li>
  );
}
