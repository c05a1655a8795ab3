import { useSignal } from "@preact/signals";
import { createAgent } from "agent-world-client/http";
import type { JSX } from "preact";
import { announce } from "../ui/announce.js";
import { Icon } from "../ui/icon.js";
import type { OpenWorld } from "../world/open-world.js";

/** One more agent: a name and a prompt; what more there is to set is set in its form. */
export function NewAgent({ world, done }: { world: OpenWorld; done: (name: string) => void }): JSX.Element {
  const open = useSignal(false);
  const name = useSignal("");
  const prompt = useSignal("");
  const failure = useSignal("");

  const create = (): void => {
    failure.value = "";
    const systemPrompt = prompt.value.trim() === "" ? undefined : prompt.value;
    const body = { name: name.value.trim(), config: { systemPrompt } };
    createAgent(world.client.server, { worldName: world.name, body }, { timeoutMs: 15_000 }).then(
      (agent) => {
        open.value = false;
        name.value = prompt.value = "";
        announce(`${agent.name} came into the world`);
        done(agent.name);
      },
      (error: Error) => (failure.value = error.message),
    );
  };

  if (!open.value) {
    return (
      <button type="button" class="quiet add" onClick={() => (open.value = true)}>
        <Icon name="plus" />
        Add an agent
      </button>
    );
  }
  return (
    <form
      class="agent agent-form new"
      aria-label="New agent"
      onSubmit={(event) => {
        event.preventDefault();
        create();
      }}
    >
      <label class="field">
        <span>Name: a letter, then letters, digits, _ and -</span>
        <input type="text" autoComplete="off" spellcheck={false} value={name.value} autoFocus onInput={(event) => (name.value = event.currentTarget.value)} />
      </label>
      <label class="field">
        <span>Prompt</span>
        <textarea rows={4} dir="auto" value={prompt.value} onInput={(event) => (prompt.value = event.currentTarget.value)} />
      </label>
      {failure.value !== "" && (
        <p class="state bad" role="alert">
          {failure}
        </p>
      )}
      <div class="buttons">
        <button type="submit" class="primary" disabled={name.value.trim() === ""}>
          Add
        </button>
        <button type="button" class="quiet" onClick={() => (open.value = false)}>
          Cancel
        </button>
      </div>
    </form>
  );
}
