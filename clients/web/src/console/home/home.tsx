import { useSignal } from "@preact/signals";
import type { AgentWorldError } from "agent-world-client";
import type { JSX, TargetedEvent, TargetedSubmitEvent } from "preact";
import { useEffect } from "preact/hooks";
import { state } from "../session/connection.js";
import { hue } from "../ui/hue.js";
import { suggestName } from "../world/names.js";
import { type Template, createWorld, importLog, opening, readTemplates, templates, trouble, worlds } from "../world/worlds.js";
import { WorldList } from "./world-list.js";

/** Where a visit begins: choose a template, name a world, start. */
export function Home(): JSX.Element {
  const chosen = useSignal<string | undefined>(undefined);
  const name = useSignal<string | undefined>(undefined);
  const keep = useSignal(true);
  const { status } = state.value;
  useEffect(() => {
    if (templates.value === undefined) {
      readTemplates().catch((error: Error) => (trouble.value = `The templates could not be listed: ${error.message}.`));
    }
  }, [status]);

  const list = templates.value ?? [];
  const template = chosen.value ?? (list.find((entry) => entry.name === "default-world") ?? list[0])?.name;
  const suggestion = template === undefined ? "" : suggestName(template, worlds.value ?? []);
  const typed = name.value?.trim() ?? "";
  const start = (event: TargetedSubmitEvent<HTMLFormElement>): void => {
    event.preventDefault();
    if (template === undefined || opening.value !== undefined) return;
    createWorld(template, typed === "" ? suggestion : typed, keep.value).catch((error: Error) => {
      trouble.value = `The world was not started: ${error.message}.`;
    });
  };

  return (
    <div class="home">
      <header class="hero">
        <h1>Choose a world</h1>
        <p>A world is a conversation of your own with a few agents. They hear everything, answer you, and talk to each other.</p>
      </header>
      <form onSubmit={start}>
        <fieldset class="templates" aria-busy={templates.value === undefined}>
          <legend class="visually-hidden">Template</legend>
          {list.map((entry) => (
            <TemplateCard key={entry.name} template={entry} chosen={entry.name === template} choose={() => (chosen.value = entry.name)} />
          ))}
          {templates.value === undefined && [1, 2, 3].map((key) => <div class="card skeleton" key={key} />)}
        </fieldset>
        <div class="begin">
          <label class="field">
            <span>Name of the world</span>
            <input type="text" name="world" autoComplete="off" dir="auto" placeholder={suggestion} value={name.value ?? ""} onInput={(event) => (name.value = event.currentTarget.value)} />
          </label>
          <button type="submit" class="primary" disabled={template === undefined || opening.value !== undefined || status !== "open"}>
            {opening.value === undefined ? "Start" : "Starting…"}
          </button>
          <label class="check">
            <input type="checkbox" checked={keep.value} onChange={(event) => (keep.value = event.currentTarget.checked)} />
            <span>Keep it when nobody is here</span>
          </label>
        </div>
      </form>
      <ImportLog name={typed} />
      <WorldList />
    </div>
  );
}

/** A log that was exported, here or on another server. It becomes a world of the name that was typed, if one was. */
function ImportLog({ name }: { name: string }): JSX.Element {
  const chosen = (event: TargetedEvent<HTMLInputElement>): void => {
    const [file] = event.currentTarget.files ?? [];
    event.currentTarget.value = "";
    if (file === undefined) return;
    importLog(file, name).catch((error: AgentWorldError) => {
      const [violation] = error.details?.errors ?? [];
      trouble.value = `The log was not imported: ${violation === undefined ? error.message : `${violation.message} (line ${violation.pointer.slice(1)})`}.`;
    });
  };
  return (
    <p class="import faint">
      Have an exported world?{" "}
      <label class="link">
        Import its log
        <input type="file" accept=".ndjson,application/x-ndjson" class="visually-hidden" onChange={chosen} />
      </label>
      . It takes the name above, if you typed one.
    </p>
  );
}

function TemplateCard({ template, chosen, choose }: { template: Template; chosen: boolean; choose: () => void }): JSX.Element {
  const { name, description, agents } = template;
  return (
    <label class={chosen ? "card chosen" : "card"}>
      <input type="radio" name="template" value={name} checked={chosen} onChange={choose} />
      <span class="title">{name}</span>
      <span class="description">{description}</span>
      <span class="chips">
        {agents.map((agent) => (
          <span class="chip" key={agent} style={hue(agent)}>
            {agent}
          </span>
        ))}
      </span>
    </label>
  );
}
