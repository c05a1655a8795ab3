import type { JSX } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { type VirtualizerHandle, Virtualizer } from "virtua";
import { Icon } from "../ui/icon.js";
import type { OpenWorld } from "../world/open-world.js";
import type { Row } from "../world/timeline.js";
import { ChatHeader } from "./header.js";
import { ChatInput, mention } from "./input.js";
import { Notes } from "./note.js";
import { OutgoingView } from "./outgoing.js";
import { SpeechView } from "./speech.js";
import { useStickyEnd } from "./sticky-end.js";
import "./chat.css";

/** From how near to the beginning of what is loaded the history is read on, in pixels. */
const AHEAD = 1_500;

export function Chat({ world }: { world: OpenWorld }): JSX.Element {
  const list = useRef<VirtualizerHandle>(null);
  const scroller = useRef<HTMLDivElement>(null);
  const { sticks, toEnd, ...end } = useStickyEnd(scroller);
  const { list: rows, prepended } = world.timeline.rows.value;
  const outgoing = world.outgoing.value;

  const readAhead = (): void => {
    const { current } = scroller;
    if (current !== null && current.scrollTop < AHEAD) void world.readMore();
  };
  const scrolled = (): void => {
    end.scrolled();
    readAhead();
  };
  const resized = (): void => {
    end.resized();
    readAhead();
  };
  useLayoutEffect(end.resized, [rows, outgoing]);
  // A page whose rows fill less than the screen calls for the next one.
  useLayoutEffect(readAhead, [rows, world.loading.value]);

  const say = (text: string): void => {
    world.say(text);
    toEnd();
  };
  const answer = (name: string): void => mention(name);

  return (
    <div class="chat">
      <ChatHeader world={world} />
      <div class="log" ref={scroller} onScroll={scrolled} role="log" aria-live="off" aria-label="What was said" tabIndex={0}>
        <div class="above" aria-hidden={!world.loading.value}>
          {world.loading.value && <span class="waiting">Reading the history…</span>}
        </div>
        <Virtualizer ref={list} scrollRef={scroller} data={rows as Row[]} shift={prepended} bufferSize={600} onResize={resized}>
          {(row) => (
            <div class="line" key={row.key}>
              <RowView row={row} world={world} onMention={answer} />
            </div>
          )}
        </Virtualizer>
        {outgoing.map((entry) => (
          <OutgoingView key={entry.key} entry={entry} world={world} />
        ))}
        {rows.length <= 1 && outgoing.length === 0 && !world.loading.value && <Empty world={world} say={say} />}
      </div>
      {world.historyError.value !== undefined && (
        <div class="notice" role="alert">
          <p>The history could not be read: {world.historyError.value.message}.</p>
          <button type="button" class="small" onClick={() => void world.readMore()}>
            Try again
          </button>
        </div>
      )}
      <div class="foot">
        {!sticks.value && (
          <button type="button" class="to-end" onClick={toEnd}>
            <Icon name="down" />
            To the newest
          </button>
        )}
        <ChatInput world={world} say={say} />
      </div>
    </div>
  );
}

function RowView({ row, world, onMention }: { row: Row; world: OpenWorld; onMention: (name: string) => void }): JSX.Element {
  if ("notes" in row) return <Notes notes={row.notes} />;
  const views = row.speeches.map((speech) => <SpeechView key={speech.id} speech={speech} world={world} onMention={onMention} />);
  return views.length === 1 ? <>{views}</> : <div class="abreast">{views}</div>;
}

function Empty({ world, say }: { world: OpenWorld; say: (text: string) => void }): JSX.Element {
  const names = world.agents.value.map(({ name }) => name);
  const first = names[0];
  const ideas = ["Hello! Who are you, and what can we do here?", ...(first === undefined ? [] : [`@${first} Where shall we begin?`])];
  return (
    <div class="empty">
      <h2>Nothing was said yet</h2>
      <p>
        Everybody hears what you say, and every active agent answers. To ask one of them, begin with <code>@{first ?? "name"}</code>.
      </p>
      <div class="ideas">
        {ideas.map((idea) => (
          <button type="button" key={idea} onClick={() => say(idea)}>
            {idea}
          </button>
        ))}
      </div>
    </div>
  );
}
