import type { JSX } from "preact";
import { inFull } from "../ui/time.js";
import { plain } from "./markdown.js";
import type { Note } from "../world/timeline.js";

/** What happened to the world, one thing after the other. */
export function Notes({ notes }: { notes: readonly Note[] }): JSX.Element {
  return (
    <p class="note" title={inFull(notes[0]?.at ?? "")}>
      <span dir="auto">{notes.map(({ action }) => plain(words(action))).join(" · ")}</span>
    </p>
  );
}

function words(action: Note["action"]): string {
  switch (action.action) {
    case "world-created":
      return "The world was created";
    case "world-updated":
      return `The world's settings changed: ${action.turnLimit} turns${action.title === undefined ? "" : `, “${action.title}”`}`;
    case "agent-created":
      return `${action.agent.name} came into the world`;
    case "agent-deleted":
      return `${action.agentName} left the world`;
    case "memory-cleared":
      return `${action.agentName} forgot what was said`;
    default:
      return action.action;
  }
}
