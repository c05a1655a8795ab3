import type { JSX } from "preact";
import { go } from "../route.js";
import { hue } from "../ui/hue.js";
import { Icon } from "../ui/icon.js";
import type { OpenWorld } from "../world/open-world.js";
import { mention } from "./input.js";

export function ChatHeader({ world }: { world: OpenWorld }): JSX.Element {
  const { templateName, persistent } = world.selected.info;
  const writing = new Set(world.timeline.running.value.map(({ sender }) => sender));
  return (
    <header class="chat-header">
      <button type="button" class="icon-button back" onClick={() => go({ world: undefined, panel: undefined })} aria-label="All worlds" title="All worlds">
        <Icon name="back" />
      </button>
      <div class="what">
        <h1 dir="auto">{world.title}</h1>
        <p>
          from {templateName}
          {!persistent && " · not kept when nobody is here"}
        </p>
      </div>
      <ul class="chips" aria-label="Agents">
        {world.agents.value.map(({ name, status }) => (
          <li key={name}>
            <button
              type="button"
              class={`chip ${status}${writing.has(name) ? " writing-now" : ""}`}
              style={hue(name)}
              onClick={() => mention(name)}
              title={status === "inactive" ? `${name} listens and does not answer` : status === "error" ? `${name}: its last reply failed` : `Ask @${name}`}
            >
              {name}
              {status !== "active" && <span class="visually-hidden"> ({status})</span>}
            </button>
          </li>
        ))}
      </ul>
    </header>
  );
}
