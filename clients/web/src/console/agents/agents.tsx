import { useSignal } from "@preact/signals";
import type { Agent } from "agent-world-client";
import { deleteAgent, updateAgent } from "agent-world-client/http";
import type { JSX } from "preact";
import { go } from "../route.js";
import { announce } from "../ui/announce.js";
import { hue } from "../ui/hue.js";
import { Icon } from "../ui/icon.js";
import { when } from "../ui/time.js";
import type { OpenWorld } from "../world/open-world.js";
import { AgentForm } from "./agent-form.js";
import { NewAgent } from "./new-agent.js";
import { WorldSettings } from "./world-settings.js";
import "./agents.css";

/** The agents of the world, as they are at this moment, each to be opened and changed. */
export function AgentsPanel({ world }: { world: OpenWorld }): JSX.Element {
  const agents = world.agents.value;
  const opened = useSignal<string | undefined>(undefined);
  return (
    <div class="agents">
      <header class="panel-header">
        <h2>Agents</h2>
        <button type="button" class="icon-button" onClick={() => go({ panel: undefined }, true)} aria-label="Close agents">
          <Icon name="close" />
        </button>
      </header>
      <div class="scrolls" tabIndex={0} role="region" aria-label="Agents and settings">
        {agents.length === 0 && <p class="faint">No agent is left in this world.</p>}
        <ul class="agent-list">
          {agents.map((agent) => (
            <AgentItem key={agent.name} agent={agent} world={world} open={opened.value === agent.name} toggle={() => (opened.value = opened.value === agent.name ? undefined : agent.name)} />
          ))}
        </ul>
        <NewAgent world={world} done={(name) => (opened.value = name)} />
        <WorldSettings key={world.name} world={world} />
      </div>
    </div>
  );
}

function AgentItem({ agent, world, open, toggle }: { agent: Agent; world: OpenWorld; open: boolean; toggle: () => void }): JSX.Element {
  const { name, status, config, lastLLMCall } = agent;
  const failure = useSignal("");
  const change = (body: { status?: "active" | "inactive"; clearMemory?: true }, done: string): void => {
    failure.value = "";
    updateAgent(world.client.server, { worldName: world.name, agentName: name, body }, { timeoutMs: 15_000 }).then(
      () => announce(done),
      (error: Error) => (failure.value = error.message),
    );
  };
  const asking = useSignal(false);
  const remove = (): void => {
    deleteAgent(world.client.server, { worldName: world.name, agentName: name }, { timeoutMs: 15_000 }).catch((error: Error) => (failure.value = error.message));
  };
  const form = `agent-${name}`;
  return (
    <li class="agent" style={hue(name)} data-agent={name}>
      <div class="head">
        <button type="button" class="open" aria-expanded={open} aria-controls={form} onClick={toggle}>
          <span class="face" aria-hidden="true">
            {name.slice(0, 2)}
          </span>
          <span class="what">
            <b>{name}</b>
            <span data-field="model">
              {config.provider}
              {config.model !== undefined && ` · ${config.model}`}
              {config.temperature !== undefined && ` · ${config.temperature}°`}
            </span>
          </span>
          <Icon name="chevron" />
        </button>
        <button
          type="button"
          role="switch"
          class="switch"
          aria-checked={status !== "inactive"}
          aria-label={`${name} answers`}
          title={status === "inactive" ? "Listens and does not answer" : "Answers"}
          onClick={() => change({ status: status === "inactive" ? "active" : "inactive" }, `${name} is ${status === "inactive" ? "active" : "inactive"}`)}
        >
          <span />
        </button>
      </div>
      {(status === "error" || failure.value !== "") && (
        <p class="state bad" role="status">
          {failure.value === "" ? "Its last reply failed. The next one that does not makes it active again." : failure.value}
        </p>
      )}
      {open && (
        <div id={form}>
          <AgentForm agent={agent} world={world} />
          <footer class="memory">
            <span class="faint">
              {agent.llmCallCount} of {world.turnLimit} turns since a human spoke
              {lastLLMCall !== undefined && ` · last at ${when(lastLLMCall)}`}
            </span>
            <span class="buttons">
              <button type="button" class="quiet small" onClick={() => change({ clearMemory: true }, `${name} has forgotten`)}>
                Clear memory
              </button>
              {asking.value ? (
                <button type="button" class="danger small" onClick={remove} ref={(button) => button?.focus()} onBlur={() => (asking.value = false)}>
                  Remove {name} now
                </button>
              ) : (
                <button type="button" class="quiet small" onClick={() => (asking.value = true)}>
                  Remove
                </button>
              )}
            </span>
          </footer>
        </div>
      )}
    </li>
  );
}
