import type { JSX } from "preact";
import { lazy, Suspense } from "preact/compat";
import { useEffect } from "preact/hooks";
import { TopBar } from "../look/top-bar.js";
import { AgentsPanel } from "./agents/agents.js";
import { Chat } from "./chat/chat.js";
import { FramesPanel } from "./frames/frames.js";
import { Home } from "./home/home.js";
import { type Panel, go, route } from "./route.js";
import { ConnectionBadge } from "./session/badge.js";
import { startAsNewUser, state } from "./session/connection.js";
import { Announcer } from "./ui/announce.js";
import { Icon, type IconName } from "./ui/icon.js";
import { WorldList } from "./home/world-list.js";
import { openWorld, trouble } from "./world/worlds.js";

const ComposePanel = lazy(() => import("./compose/compose.js"));

const PANELS: readonly { panel: Panel; label: string; icon: IconName }[] = [
  { panel: "agents", label: "Agents", icon: "agents" },
  { panel: "frames", label: "Frames", icon: "frames" },
  { panel: "compose", label: "Compose", icon: "compose" },
];

export function App(): JSX.Element {
  const world = openWorld.value;
  const panel = route.value.panel === "agents" && world === undefined ? undefined : route.value.panel;
  useEffect(() => {
    document.title = world === undefined ? "Agent World" : `${world.title.value} · Agent World`;
  }, [world, world?.title.value]);
  return (
    <>
      <a class="skip-link" href="#main" onClick={focusMain}>
        Skip to the conversation
      </a>
      <TopBar page="console">
        <ConnectionBadge />
        <div class="panel-switch" role="group" aria-label="Panels">
          {PANELS.map(({ panel: name, label, icon }) => (
            <button type="button" key={name} aria-pressed={panel === name} disabled={name === "agents" && world === undefined} onClick={() => toggle(name)}>
              <Icon name={icon} />
              <span>{label}</span>
            </button>
          ))}
        </div>
      </TopBar>
      <Notices />
      <div class="panes" data-panel={panel ?? "none"}>
        <aside class="sidebar" aria-label="Your worlds">
          <WorldList compact />
        </aside>
        <main id="main" tabIndex={-1}>
          {world === undefined ? <Home /> : <Chat key={world.name} world={world} />}
        </main>
        {panel !== undefined && (
          <aside class="panel" aria-label={PANELS.find((entry) => entry.panel === panel)?.label ?? ""}>
            {panel === "agents" && world !== undefined && <AgentsPanel world={world} />}
            {panel === "frames" && <FramesPanel />}
            {panel === "compose" && (
              <Suspense fallback={<p class="waiting">Loading the composer…</p>}>
                <ComposePanel />
              </Suspense>
            )}
          </aside>
        )}
      </div>
      <BottomBar panel={panel} />
      <Announcer />
    </>
  );
}

function toggle(panel: Panel): void {
  go({ panel: route.value.panel === panel ? undefined : panel, compose: undefined }, true);
}

function focusMain(event: Event): void {
  event.preventDefault();
  document.getElementById("main")?.focus();
}

/** On a phone, one thing at a time. */
function BottomBar({ panel }: { panel: Panel | undefined }): JSX.Element {
  const world = openWorld.value;
  return (
    <nav class="bottom-bar" aria-label="Views">
      <button type="button" aria-pressed={world === undefined && panel === undefined} onClick={() => go({ world: undefined, panel: undefined, compose: undefined })}>
        <Icon name="worlds" />
        <span>Worlds</span>
      </button>
      <button type="button" aria-pressed={world !== undefined && panel === undefined} disabled={world === undefined} onClick={() => go({ panel: undefined, compose: undefined }, true)}>
        <Icon name="chat" />
        <span>Chat</span>
      </button>
      {PANELS.map(({ panel: name, label, icon }) => (
        <button type="button" key={name} aria-pressed={panel === name} disabled={name === "agents" && world === undefined} onClick={() => go({ panel: name, compose: undefined }, true)}>
          <Icon name={icon} />
          <span>{label}</span>
        </button>
      ))}
    </nav>
  );
}

function Notices(): JSX.Element {
  return (
    <>
      {state.value.status === "refused" && (
        <div class="notice bad" role="alert">
          <p>This server does not know the user of this browser: it was revoked, has not been used for long, or the server's data is new.</p>
          <button type="button" class="primary small" onClick={startAsNewUser}>
            Start as a new user
          </button>
        </div>
      )}
      {trouble.value !== undefined && (
        <div class="notice" role="alert">
          <p>{trouble}</p>
          <button type="button" class="icon-button" onClick={() => (trouble.value = undefined)} aria-label="Dismiss">
            <Icon name="close" />
          </button>
        </div>
      )}
    </>
  );
}
