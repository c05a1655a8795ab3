import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import type { EditorView } from "@codemirror/view";
import { Annotated } from "../frames/annotated.js";
import { type Schemas, loadSchemas } from "../frames/schema.js";
import { type Taped, tape, tookMs } from "../frames/tape.js";
import { go, route } from "../route.js";
import { announce } from "../ui/announce.js";
import { Icon } from "../ui/icon.js";
import { FoldedProse } from "../ui/prose.js";
import { openWorld } from "../world/worlds.js";
import { createEditor } from "./editor.js";
import { line } from "./line.js";
import { skeleton } from "./skeleton.js";
import { type Problem, problemsOf } from "./validate.js";
import "./compose.css";

const FIRST = "chat_send";

/** Frames made by hand: with the schemas at hand while they are written, and their answers beside. */
export default function ComposePanel(): JSX.Element {
  const schemas = useSignal<Schemas | undefined>(undefined);
  const failure = useSignal("");
  useEffect(() => {
    loadSchemas().then(
      (loaded) => (schemas.value = loaded),
      (error: Error) => (failure.value = error.message),
    );
  }, []);
  return (
    <div class="compose">
      <header class="panel-header">
        <h2>Compose</h2>
        <button type="button" class="icon-button" onClick={() => go({ panel: undefined, compose: undefined }, true)} aria-label="Close the composer">
          <Icon name="close" />
        </button>
      </header>
      {schemas.value === undefined ? <p class="waiting">{failure.value || "Loading the schemas…"}</p> : <Composer schemas={schemas.value} />}
    </div>
  );
}

function Composer({ schemas }: { schemas: Schemas }): JSX.Element {
  const place = useRef<HTMLDivElement>(null);
  const editor = useRef<EditorView>(null);
  const asked = route.value.compose;
  const type = asked !== undefined && schemas.clientTypes.includes(asked) ? asked : FIRST;
  const text = useSignal("");
  const problems = useSignal<readonly Problem[]>([]);
  const failure = useSignal("");
  const sent = useSignal<Taped | undefined>(undefined);

  const send = async (anyway = false): Promise<void> => {
    const { value } = text;
    problems.value = problemsOf(value, schemas);
    failure.value = "";
    if (problems.value.length > 0 && !anyway) {
      announce(`Not sent: ${problems.value[0]?.message}`, true);
      return;
    }
    const world = openWorld.value;
    try {
      sent.value = await line.send(value, world && { templateName: world.selected.info.templateName, worldName: world.name });
    } catch (error) {
      failure.value = (error as Error).message;
    }
  };

  useEffect(() => {
    if (place.current === null) return;
    text.value = skeleton(type, schemas);
    problems.value = problemsOf(text.value, schemas);
    const view = createEditor({
      parent: place.current,
      text: text.value,
      schemas,
      onChange: (value) => {
        text.value = value;
        problems.value = problemsOf(value, schemas);
      },
      onSend: () => void send(),
    });
    editor.current = view;
    return () => view.destroy();
  }, [type, schemas]);

  const description = schemas.member(schemas.frame(type), "payload")?.["description"];
  const invalid = problems.value.length > 0;
  return (
    <div class="scrolls" tabIndex={0} role="region" aria-label="Composer">
      <label class="field">
        <span>Message</span>
        <select value={type} onChange={(event) => go({ panel: "compose", compose: event.currentTarget.value }, true)}>
          {schemas.clientTypes.map((name) => (
            <option key={name}>{name}</option>
          ))}
        </select>
      </label>
      {typeof description === "string" && <FoldedProse text={description} />}
      <div class={invalid ? "editor invalid" : "editor"} ref={place} />
      <p class="keys faint">
        <kbd>Ctrl</kbd> <kbd>Space</kbd> completes · <kbd>Ctrl</kbd> <kbd>Enter</kbd> sends · <kbd>Esc</kbd> then <kbd>Tab</kbd> leaves
      </p>
      <div class="problems" role="status">
        {invalid && (
          <ul>
            {problems.value.slice(0, 6).map(({ pointer, message }) => (
              <li key={pointer + message}>
                <code>{pointer || "/"}</code> {message}
              </li>
            ))}
          </ul>
        )}
        {failure.value !== "" && <p class="state bad">Not sent: {failure.value}.</p>}
      </div>
      <div class="buttons">
        <button type="button" class="primary" disabled={invalid} onClick={() => void send()}>
          <Icon name="send" />
          Send
        </button>
        {invalid && (
          <button type="button" class="quiet" onClick={() => void send(true)} title="To see what the server says">
            Send all the same
          </button>
        )}
        <LineState />
      </div>
      {sent.value !== undefined && <Answer sent={sent.value} schemas={schemas} />}
    </div>
  );
}

function LineState(): JSX.Element {
  const state = line.state.value;
  return (
    <span class="line-state faint">
      {state === "open" ? `Own connection${line.world.value === undefined ? "" : `, in ${line.world.value}`}` : state === "connecting" ? "Connecting…" : (line.cause.value ?? "On a connection of its own")}
      {state === "open" && (
        <button type="button" class="quiet small" onClick={() => line.close()}>
          Close
        </button>
      )}
    </span>
  );
}

/** What came back for a frame that was sent. */
function Answer({ sent, schemas }: { sent: Taped; schemas: Schemas }): JSX.Element {
  tape.version.value;
  const { answer } = sent;
  return (
    <section class="answer" aria-label="The answer" aria-live="polite">
      <h3>
        {answer === undefined ? "Waiting for the answer…" : answer.type}
        {answer !== undefined && <span class="faint"> after {tookMs(answer)} ms</span>}
      </h3>
      {answer !== undefined && <Annotated frame={answer.frame} kind={answer.type} schemas={schemas} />}
      <button type="button" class="link" onClick={() => go({ panel: "frames", compose: undefined }, true)}>
        Everything that came, among the frames
      </button>
    </section>
  );
}
