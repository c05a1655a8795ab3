import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useLayoutEffect, useMemo, useRef } from "preact/hooks";
import { type VirtualizerHandle, Virtualizer } from "virtua";
import { go } from "../route.js";
import { client } from "../session/connection.js";
import { keptToken } from "../session/identity.js";
import { announce } from "../ui/announce.js";
import { Icon } from "../ui/icon.js";
import { saveFile } from "../ui/save-file.js";
import { FrameDetail } from "./frame-detail.js";
import { toNdjson } from "./recording.js";
import { type Taped, tape, tookMs } from "./tape.js";
import "./frames.css";

type Direction = "all" | Taped["direction"];

const DIRECTIONS: readonly { value: Direction; label: string }[] = [
  { value: "all", label: "All" },
  { value: "client", label: "↑ Sent" },
  { value: "server", label: "↓ Received" },
];

/** Saves what is shown, without the token of this browser's user, known before any frame. */
function save(shown: readonly Taped[]): void {
  const tokens = [keptToken(), client.value?.sessionToken].filter((token) => token !== undefined);
  saveFile("frames.ndjson", new Blob([toNdjson(shown, tape, tokens)], { type: "application/x-ndjson" }));
}

/** Every frame in and out, as it happens. */
export function FramesPanel(): JSX.Element {
  const words = useSignal("");
  const direction = useSignal<Direction>("all");
  const chosen = useSignal<Taped | undefined>(undefined);
  /** The frames at the moment of the pause; they go on to be taped. */
  const paused = useSignal<readonly Taped[] | undefined>(undefined);
  const scroller = useRef<HTMLDivElement>(null);
  const list = useRef<VirtualizerHandle>(null);
  const sticks = useRef(true);

  const version = tape.version.value;
  const all = paused.value ?? tape.frames;
  const shown = useMemo(() => {
    const needles = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    return all.filter(
      (taped) =>
        (direction.value === "all" || taped.direction === direction.value) &&
        needles.every((needle) => taped.type.includes(needle) || taped.text.toLowerCase().includes(needle)),
    );
  }, [all, version, words.value, direction.value]);

  const toEnd = (): void => {
    const { current } = scroller;
    if (current !== null && sticks.current) current.scrollTop = current.scrollHeight;
  };
  useLayoutEffect(toEnd, [shown]);

  // What has the focus stays in the document, wherever one scrolls.
  const at = chosen.value === undefined ? -1 : shown.indexOf(chosen.value);
  const kept = at < 0 ? [] : [at];

  const show = (taped: Taped): void => {
    chosen.value = taped;
    const place = shown.indexOf(taped);
    if (place >= 0) list.current?.scrollToIndex(place, { align: "nearest" });
  };
  const keyed = (event: KeyboardEvent): void => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step === undefined || shown.length === 0) return;
    event.preventDefault();
    const next = shown[Math.max(0, Math.min(shown.length - 1, (at < 0 ? shown.length : at) + step))];
    if (next !== undefined) show(next);
  };

  return (
    <div class="frames">
      <header class="panel-header">
        <h2>Frames</h2>
        <button
          type="button"
          class="icon-button"
          aria-pressed={paused.value !== undefined}
          aria-label={paused.value === undefined ? "Pause" : "Go on"}
          title={paused.value === undefined ? "Pause" : "Go on"}
          onClick={() => {
            paused.value = paused.value === undefined ? [...tape.frames] : undefined;
            announce(paused.value === undefined ? "Going on" : "Paused");
          }}
        >
          <Icon name={paused.value === undefined ? "pause" : "play"} />
        </button>
        <button type="button" class="icon-button" aria-label="Download as NDJSON" title="Download as NDJSON" onClick={() => save(shown)}>
          <Icon name="download" />
        </button>
        <button
          type="button"
          class="icon-button"
          aria-label="Clear"
          title="Clear"
          onClick={() => {
            chosen.value = undefined;
            paused.value = undefined;
            tape.clear();
          }}
        >
          <Icon name="trash" />
        </button>
        <button type="button" class="icon-button" onClick={() => go({ panel: undefined }, true)} aria-label="Close frames">
          <Icon name="close" />
        </button>
      </header>
      <div class="filter">
        <input type="search" placeholder="Filter: type or content" aria-label="Filter frames" value={words.value} onInput={(event) => (words.value = event.currentTarget.value)} />
        <div class="segments" role="group" aria-label="Direction">
          {DIRECTIONS.map(({ value, label }) => (
            <button type="button" key={value} aria-pressed={direction.value === value} onClick={() => (direction.value = value)}>
              {label}
            </button>
          ))}
        </div>
      </div>
      <p class="count" data-shown={shown.length}>
        {shown.length === all.length ? "" : `${shown.length} of `}
        {all.length === 1 ? "1 frame" : `${all.length} frames`}
        {paused.value !== undefined && `, paused; ${tape.count - (paused.value.at(-1)?.n ?? 0)} more since`}
        {paused.value === undefined && tape.count > all.length && all.length > 0 && `, the latest of ${tape.count}`}
      </p>
      <div
        class="tape"
        ref={scroller}
        tabIndex={0}
        role="listbox"
        aria-label="Frames, the newest last"
        aria-activedescendant={at < 0 ? undefined : `frame-${chosen.value?.n}`}
        onKeyDown={keyed}
        onScroll={({ currentTarget: { scrollHeight, scrollTop, clientHeight } }) => (sticks.current = scrollHeight - scrollTop - clientHeight < 24)}
      >
        <Virtualizer ref={list} scrollRef={scroller} data={shown as Taped[]} itemSize={30} onResize={toEnd} keepMounted={kept}>
          {(taped) => <FrameRow key={taped.n} taped={taped} chosen={chosen.value === taped} choose={() => (chosen.value = taped)} />}
        </Virtualizer>
        {shown.length === 0 && <p class="faint">{all.length === 0 ? "No frame yet." : "No frame fits the filter."}</p>}
      </div>
      {chosen.value !== undefined && <FrameDetail key={chosen.value.n} taped={chosen.value} show={show} close={() => (chosen.value = undefined)} />}
    </div>
  );
}

function FrameRow({ taped, chosen, choose }: { taped: Taped; chosen: boolean; choose: () => void }): JSX.Element {
  const { n, at, direction, type, size, seq, request, line } = taped;
  return (
    <div id={`frame-${n}`} class={`frame ${direction}${type === "error" ? " error" : ""}`} role="option" aria-selected={chosen} onClick={choose}>
      <span class="arrow" aria-hidden="true">
        {direction === "client" ? "↑" : "↓"}
      </span>
      <span class="visually-hidden">{direction === "client" ? "sent" : "received"}</span>
      <span class="at">{at.slice(11, 23)}</span>
      <span class="type">
        {type}
        {line === "composer" && <em>composer</em>}
      </span>
      <span class="link">{request !== undefined && `↩ ${request.type} · ${tookMs(taped)} ms`}</span>
      <span class="seq">{seq !== undefined && `#${seq}`}</span>
      <span class="size">{size} B</span>
    </div>
  );
}
