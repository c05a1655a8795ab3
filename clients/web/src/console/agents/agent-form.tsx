import { useSignal } from "@preact/signals";
import { type Agent, type AgentConfigUpdate, AgentWorldError, type ProviderName } from "agent-world-client";
import type { JSX } from "preact";
import { announce } from "../ui/announce.js";
import type { OpenWorld } from "../world/open-world.js";

type Field = "provider" | "model" | "baseUrl" | "temperature" | "maxTokens" | "systemPrompt" | "apiKey";

const PROVIDERS = ["auto", "openai", "anthropic", "google", "xai", "ollama", "openai-compatible", "script"] as const satisfies readonly ProviderName[];
// Fails to compile when the protocol has a provider that is not offered here.
type Missing = Exclude<ProviderName, (typeof PROVIDERS)[number]>;
((_: [Missing] extends [never] ? true : Missing): void => {})(true);

const NUMBERS: readonly Field[] = ["temperature", "maxTokens"];

/** An agent's configuration. What is touched is kept until it is saved; all else shows changes as they happen. */
export function AgentForm({ agent, world }: { agent: Agent; world: OpenWorld }): JSX.Element {
  const { name, config } = agent;
  const edited = useSignal<Partial<Record<Field, string>>>({});
  const problems = useSignal<Partial<Record<Field, string>>>({});
  const failure = useSignal<string>("");
  const saving = useSignal(false);

  const current = (field: Field): string => (field === "apiKey" ? "" : String(config[field] ?? ""));
  const shown = (field: Field): string => edited.value[field] ?? current(field);
  const edit = (field: Field, value: string): void => {
    const { [field]: _, ...others } = edited.value;
    edited.value = value === current(field) ? others : { ...others, [field]: value };
    const { [field]: __, ...rest } = problems.value;
    problems.value = rest;
  };
  const changed = Object.keys(edited.value).length > 0;

  const save = async (update: AgentConfigUpdate): Promise<void> => {
    const sent = edited.value;
    saving.value = true;
    failure.value = "";
    problems.value = {};
    try {
      await world.selected.updateAgent(name, update, { timeoutMs: 15_000 });
      // What was typed while the answer was on its way stays.
      const fields = Object.entries(edited.value) as [Field, string][];
      edited.value = Object.fromEntries(fields.filter(([field, value]) => !(field in update) || value !== sent[field]));
      announce(`${name} was changed`);
    } catch (error) {
      const { message, details } = error as AgentWorldError;
      const found: Partial<Record<Field, string>> = {};
      for (const violation of (error instanceof AgentWorldError && details?.errors) || []) {
        const field = /^\/payload\/config\/([^/]+)/.exec(violation.pointer)?.[1];
        if (field !== undefined) found[field as Field] ??= violation.message;
      }
      problems.value = found;
      if (Object.keys(found).length === 0) failure.value = message;
    } finally {
      saving.value = false;
    }
  };
  const submit = (): void => {
    const update: Record<string, unknown> = {};
    for (const [field, value] of Object.entries(edited.value) as [Field, string][]) {
      if (value.trim() === "") update[field] = null;
      else if (NUMBERS.includes(field)) update[field] = Number(value.replace(",", "."));
      else update[field] = field === "systemPrompt" ? value : value.trim();
    }
    const nan = NUMBERS.filter((field) => Number.isNaN(update[field]));
    if (nan.length > 0) problems.value = Object.fromEntries(nan.map((field) => [field, "This is no number."]));
    else void save(update as AgentConfigUpdate);
  };

  const input = (field: Field, label: string, extra: { placeholder?: string; type?: "password" | "url"; inputMode?: "decimal" | "numeric" } = {}): JSX.Element => (
    <Labelled name={name} field={field} label={label} problem={problems.value[field]} edited={field in edited.value}>
      <input
        type="text"
        autoComplete="off"
        spellcheck={false}
        {...(extra as object)}
        id={`${name}-${field}`}
        value={shown(field)}
        aria-invalid={field in problems.value}
        aria-describedby={field in problems.value ? `${name}-${field}-problem` : undefined}
        onInput={(event) => edit(field, event.currentTarget.value)}
      />
    </Labelled>
  );

  return (
    <form
      class="agent-form"
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      <Labelled name={name} field="systemPrompt" label="Prompt" problem={problems.value.systemPrompt} edited={"systemPrompt" in edited.value}>
        <textarea id={`${name}-systemPrompt`} rows={7} dir="auto" value={shown("systemPrompt")} onInput={(event) => edit("systemPrompt", event.currentTarget.value)} />
      </Labelled>
      <div class="two">
        <Labelled name={name} field="provider" label="Provider" problem={problems.value.provider} edited={"provider" in edited.value}>
          <select id={`${name}-provider`} value={shown("provider")} onChange={(event) => edit("provider", event.currentTarget.value)}>
            {PROVIDERS.map((provider) => (
              <option key={provider}>{provider}</option>
            ))}
          </select>
        </Labelled>
        {input("model", "Model", { placeholder: "the provider's own" })}
      </div>
      <div class="two">
        {input("temperature", "Temperature", { inputMode: "decimal", placeholder: "the provider's own" })}
        {input("maxTokens", "Longest reply, in tokens", { inputMode: "numeric", placeholder: "no limit" })}
      </div>
      {input("baseUrl", "Base URL", { placeholder: "the provider's own", type: "url" })}
      <div class="with-button">
        {input("apiKey", "Key", {
          type: "password",
          placeholder: config.hasApiKey ? "A key is set; it cannot be read" : "None of its own",
        })}
        {config.hasApiKey && (
          <button type="button" class="quiet" onClick={() => void save({ apiKey: null })}>
            Forget
          </button>
        )}
      </div>
      {failure.value !== "" && (
        <p class="state bad" role="alert">
          {failure}
        </p>
      )}
      <div class="buttons">
        <button type="submit" class="primary" disabled={!changed || saving.value}>
          {saving.value ? "Saving…" : "Save"}
        </button>
        {changed && (
          <button type="button" class="quiet" onClick={() => ((edited.value = {}), (problems.value = {}))}>
            Undo
          </button>
        )}
      </div>
    </form>
  );
}

function Labelled({ name, field, label, problem, edited, children }: { name: string; field: Field; label: string; problem: string | undefined; edited: boolean; children: JSX.Element }): JSX.Element {
  return (
    <div class={edited ? "field edited" : "field"}>
      <label for={`${name}-${field}`}>{label}</label>
      {children}
      {problem !== undefined && (
        <p class="problem" id={`${name}-${field}-problem`}>
          {problem}
        </p>
      )}
    </div>
  );
}
