import type { JSX } from "preact";
import { useMemo } from "preact/hooks";
import { hue } from "../ui/hue.js";
import { Icon } from "../ui/icon.js";
import { inFull, when } from "../ui/time.js";
import type { OpenWorld } from "../world/open-world.js";
import type { Speech } from "../world/timeline.js";
import { CopyButton } from "../ui/copy.js";
import { GrowingMarkdown, Markdown, plain } from "./markdown.js";

/** What somebody says: a human at the right, agents in their colours, the system in the middle. */
export function SpeechView({ speech, world, onMention }: { speech: Speech; world: OpenWorld; onMention: (name: string) => void }): JSX.Element {
  // Reading it is what has this drawn again.
  speech.version.value;
  if (speech.senderType === "human") return <Human speech={speech} />;
  if (speech.senderType === "world") return <System speech={speech} />;
  return <AgentSpeech speech={speech} world={world} onMention={onMention} />;
}

function Time({ at }: { at: string }): JSX.Element {
  return (
    <time dateTime={at} title={inFull(at)}>
      {when(at)}
    </time>
  );
}

function Human({ speech }: { speech: Speech }): JSX.Element {
  const name = speech.displayName === undefined ? "You" : plain(speech.displayName);
  return (
    <article class="speech human" aria-label={`${name} said`}>
      <header>
        <bdi class="name">{name}</bdi>
        <Time at={speech.at} />
      </header>
      <div class="text" dir="auto">
        {plain(speech.text)}
      </div>
    </article>
  );
}

function System({ speech }: { speech: Speech }): JSX.Element {
  return (
    <article class="speech system" aria-label="The system said">
      <span dir="auto">{plain(speech.text)}</span> <Time at={speech.at} />
    </article>
  );
}

const ENDS = {
  cancelled: "Stopped before its end",
  interrupted: "Interrupted: the server stopped while this was written",
  error: "Failed",
  length: "Cut off: the limit of its length was reached",
  stop: "",
} as const;

function AgentSpeech({ speech, world, onMention }: { speech: Speech; world: OpenWorld; onMention: (name: string) => void }): JSX.Element {
  const { sender, end, error, usage, text } = speech;
  const markdown = useMemo(() => new GrowingMarkdown(), [speech.id]);
  const tokens = useMemo(() => markdown.read(text), [markdown, text]);
  const running = end === undefined;
  const broken = end === "cancelled" || end === "interrupted" || end === "error";
  return (
    <article class={`speech agent ${end ?? "running"}`} style={hue(sender)} aria-label={`${sender} ${running ? "is writing" : "said"}`} aria-busy={running}>
      <header>
        <button type="button" class="name" onClick={() => onMention(sender)} title={`Answer @${sender}`}>
          {sender}
        </button>
        <Time at={speech.at} />
        {usage !== undefined && (
          <span class="usage" title={`${usage.inputTokens} tokens in, ${usage.outputTokens} out`}>
            {usage.outputTokens} tokens
          </span>
        )}
        <span class="tools">
          {!running && text !== "" && <CopyButton text={() => text} what={`what ${sender} said`} />}
          {running && (
            <button type="button" class="quiet small" onClick={() => void world.stop(speech).catch(() => undefined)} aria-label={`Stop ${sender}`} title={`Stop ${sender}`}>
              <Icon name="stop" />
            </button>
          )}
        </span>
      </header>
      {text !== "" && <Markdown tokens={tokens} />}
      {running && (
        <span class="writing" aria-hidden="true">
          <i />
          <i />
          <i />
        </span>
      )}
      {end !== undefined && end !== "stop" && (
        <footer class={`end ${end}`}>
          <span>
            {ENDS[end]}
            {error !== undefined && (
              <>
                {": "}
                <bdi>{plain(error.message)}</bdi> <code>{error.code}</code>
              </>
            )}
          </span>
          {broken && !world.timeline.isRetried(speech) && (
            <button type="button" class="small" onClick={() => world.retry(speech)} aria-label={`Try again: the reply of ${sender}`}>
              <Icon name="retry" />
              Try again
            </button>
          )}
        </footer>
      )}
    </article>
  );
}
