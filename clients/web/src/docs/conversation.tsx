import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { Copyable, pretty } from "./copyable.js";
import { useLoaded } from "./documents.js";
import source from "./first-conversation.js?raw";
import { Inline } from "./prose.js";
import { SECTIONS, address } from "./route.js";
import { type Run, run } from "./run.js";
import { type Frame, STEPS, type Step, examples } from "./steps.js";

const SOCKET = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`;
const SNIPPET = source.trimEnd().replace("ws://localhost:3001/ws", SOCKET);
const CURL = `curl -sN ${location.origin}/worlds/default-world/chat \\
  -H 'Content-Type: application/json' \\
  -d '{"message": "Hello, @guide!"}'`;

/** The first thing that a newcomer tries, and what happens then. */
export function Conversation(): JSX.Element {
  return (
    <>
      <h1>{SECTIONS.start}</h1>
      <p class="lead">
        Pick a template, get a world of your own, say something, and watch the agents answer. Paste this into the console of your browser on this page, or into
        Node 22. No key and no account are needed.
      </p>
      <Copyable text={SNIPPET} label="the first conversation in JavaScript" />
      <p>
        The same in one request over HTTP, as server-sent events, until the question is <Inline text="`settled`" />:
      </p>
      <Copyable text={CURL} label="the first conversation with curl" />
      <Frames />
      <h2>Where to go on</h2>
      <ul class="doors">
        <li>
          <a href="/">
            <b>The console</b>
            <span>Talk with agents, and watch and write frames by hand.</span>
          </a>
        </li>
        <li>
          <a href={address("messages")}>
            <b>{SECTIONS.messages}</b>
            <span>Each with its example, its answer and its errors.</span>
          </a>
        </li>
        <li>
          <a href={address("http")}>
            <b>{SECTIONS.http}</b>
            <span>To be tried against this server.</span>
          </a>
        </li>
        <li>
          <a href={address("errors")}>
            <b>{SECTIONS.errors}</b>
            <span>What each means, and what to do about it.</span>
          </a>
        </li>
      </ul>
      <p class="note">
        For tools: <a href="/openapi.json">OpenAPI 3.1</a>, <a href="/openapi-3.0.json">OpenAPI 3.0</a>, <a href="/asyncapi.json">AsyncAPI 3.0</a>,{" "}
        <a href="/asyncapi-client.json">AsyncAPI as a client sees it</a>, <a href="/catalogue.json">the catalogue</a>.
      </p>
    </>
  );
}

type State = { running: boolean; problem?: string | undefined; frames: Frame[][] };

function Frames(): JSX.Element {
  const loaded = useLoaded(examples);
  const [state, setState] = useState<State>();
  const current = useRef<Run>(null);
  useEffect(() => () => current.current?.stop(), []);
  const start = (): void => {
    setState({ running: true, frames: STEPS.map(() => []) });
    current.current = run(
      (from, frame) =>
        setState((state) => {
          const at = STEPS.findIndex((step) => step.from === from && step.is(frame));
          return state && { ...state, frames: state.frames.map((frames, step) => (step === at ? [...frames, frame] : frames)) };
        }),
      (problem) => setState((state) => state && { ...state, running: false, problem }),
    );
  };
  const count = state?.frames.reduce((sum, frames) => sum + frames.length, 0) ?? 0;
  return (
    <section aria-labelledby="frames">
      <div class="heading">
        <h2 id="frames">Frame by frame</h2>
        <button type="button" class="button primary" onClick={state?.running ? () => current.current?.stop() : start}>
          {state?.running ? "Stop" : state ? "Run it again" : "Run it here"}
        </button>
      </div>
      <p class="note" role="status" data-run={state === undefined ? "none" : state.running ? "running" : state.problem === undefined ? "settled" : "failed"}>
        {state === undefined && "These are examples. Run it, and the frames of this server take their places."}
        {state?.running && `Running: ${count} frames so far…`}
        {state && !state.running && (state.problem ?? `Settled after ${count} frames.`)}
      </p>
      <ol class="steps">
        {STEPS.map((step, at) => (
          <StepRow step={step} example={loaded && "value" in loaded ? loaded.value[at] : undefined} frames={state?.frames[at]} />
        ))}
      </ol>
    </section>
  );
}

function StepRow({ step, example, frames }: { step: Step; example: Frame | undefined; frames: Frame[] | undefined }): JSX.Element {
  const shown = frames === undefined ? example : frames.at(-1);
  return (
    <li class={`step ${step.from}${frames === undefined ? "" : frames.length > 0 ? " done" : " open"}`}>
      <p class="step-title">
        <span class="arrow" aria-hidden="true">
          {step.from === "client" ? "→" : "←"}
        </span>
        <span class="visually-hidden">{step.from === "client" ? "You send" : "The server sends"} </span>
        <b>{step.title}</b>{" "}
        <a href={address("messages", step.type)}>
          <code>{step.type}</code>
        </a>
        {frames !== undefined && frames.length > 1 && <span class="badge">{frames.length} frames</span>}
      </p>
      <p>
        <Inline text={step.text} />
      </p>
      {shown !== undefined && (
        <details>
          <summary>
            <code>{line(shown)}</code>
          </summary>
          <Copyable text={pretty(shown)} label={`the frame: ${step.title}`} />
        </details>
      )}
    </li>
  );
}

const line = (frame: Frame): string => JSON.stringify(frame.payload);
