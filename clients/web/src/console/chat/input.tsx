import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { hue } from "../ui/hue.js";
import { Icon } from "../ui/icon.js";
import type { OpenWorld } from "../world/open-world.js";

const LIST = "mentions";
const FIELD = "say";

/** What is being written, kept over a reload of the page. */
function draftOf(world: OpenWorld): { read(): string; keep(text: string): void } {
  const key = `agent-world.draft ${world.name}`;
  return {
    read: () => {
      try {
        return sessionStorage.getItem(key) ?? "";
      } catch {
        return "";
      }
    },
    keep: (text) => {
      try {
        if (text === "") sessionStorage.removeItem(key);
        else sessionStorage.setItem(key, text);
      } catch {
        // It is gone with the page, then.
      }
    },
  };
}

/** The beginning of a mention in front of the caret: where its `@` is, and what is written of the name. */
function mentionAt(text: string, caret: number): { at: number; part: string } | undefined {
  const found = /(^|[^A-Za-z0-9_@])@([A-Za-z0-9_-]*)$/.exec(text.slice(0, caret));
  if (found === null) return undefined;
  const part = found[2] ?? "";
  return { at: caret - part.length - 1, part };
}

/** Begins to ask an agent, from anywhere on the page. */
export function mention(name: string): void {
  const field = document.getElementById(FIELD);
  if (!(field instanceof HTMLTextAreaElement)) return;
  if (!new RegExp(`(^|\\W)@${name}(\\W|$)`, "i").test(field.value)) {
    field.value = `@${name} ${field.value}`;
    field.dispatchEvent(new InputEvent("input", { bubbles: true }));
  }
  field.focus();
  field.setSelectionRange(field.value.length, field.value.length);
}

export function ChatInput({ world, say }: { world: OpenWorld; say: (text: string) => void }): JSX.Element {
  const field = useRef<HTMLTextAreaElement>(null);
  const draft = draftOf(world);
  const text = useSignal(draft.read());
  const caret = useSignal(0);
  const chosen = useSignal(0);
  const dismissed = useSignal(false);

  const begun = dismissed.value ? undefined : mentionAt(text.value, caret.value);
  const names = begun === undefined ? [] : world.agents.value.filter(({ name }) => name.toLowerCase().startsWith(begun.part.toLowerCase()));
  const open = names.length > 0 && !(names.length === 1 && names[0]?.name === begun?.part);
  const at = Math.min(chosen.value, names.length - 1);

  useLayoutEffect(() => {
    const { current } = field;
    if (current === null) return;
    current.style.height = "auto";
    current.style.height = `${Math.min(current.scrollHeight, innerHeight * 0.4)}px`;
  }, [text.value]);

  // Who has opened a world goes on typing, unless that would bring up the keyboard of a phone, or take somebody out of
  // a panel.
  useLayoutEffect(() => {
    if (matchMedia("(hover: hover)").matches && document.querySelector(".panel:focus-within") === null) field.current?.focus();
  }, []);

  const change = (value: string, position: number): void => {
    text.value = value;
    caret.value = position;
    draft.keep(value);
  };
  const complete = (name: string): void => {
    if (begun === undefined || field.current === null) return;
    const after = text.value.slice(caret.value).replace(/^ /, "");
    const before = `${text.value.slice(0, begun.at)}@${name} `;
    change(before + after, before.length);
    field.current.value = before + after;
    field.current.focus();
    field.current.setSelectionRange(before.length, before.length);
  };
  const send = (): void => {
    if (text.value.trim() === "") return;
    say(text.value.trim());
    change("", 0);
  };
  const keyed = (event: KeyboardEvent): void => {
    if (event.isComposing) return;
    if (open && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
      event.preventDefault();
      chosen.value = (at + (event.key === "ArrowDown" ? 1 : names.length - 1)) % names.length;
    } else if (open && (event.key === "Enter" || event.key === "Tab") && !event.shiftKey) {
      event.preventDefault();
      complete(names[at]?.name ?? "");
    } else if (open && event.key === "Escape") {
      event.preventDefault();
      dismissed.value = true;
    } else if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      send();
    } else if (event.key === "Escape" && world.busy.value) {
      event.preventDefault();
      void world.stop().catch(() => undefined);
    }
  };
  const moved = (event: Event): void => {
    caret.value = (event.currentTarget as HTMLTextAreaElement).selectionStart;
  };

  return (
    <form
      class="say"
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      {open && (
        <ul class="mentions" id={LIST} role="listbox" aria-label="Agents">
          {names.map(({ name, status, config }, index) => (
            // The field keeps the focus, and has the keys.
            <li key={name} id={`${LIST}-${index}`} role="option" aria-selected={index === at} style={hue(name)} onMouseDown={(event) => (event.preventDefault(), complete(name))}>
              <span class="chip">{name}</span>
              <span class="faint">{status === "active" ? (config.model ?? config.provider) : status}</span>
            </li>
          ))}
        </ul>
      )}
      <textarea
        id={FIELD}
        ref={field}
        rows={1}
        dir="auto"
        value={text.value}
        placeholder="Say something to everybody, or @ask one agent"
        aria-label="Say something"
        aria-autocomplete="list"
        aria-controls={open ? LIST : undefined}
        aria-activedescendant={open ? `${LIST}-${at}` : undefined}
        aria-describedby="say-keys"
        onInput={(event) => {
          dismissed.value = false;
          chosen.value = 0;
          change(event.currentTarget.value, event.currentTarget.selectionStart);
        }}
        onKeyDown={keyed}
        onKeyUp={moved}
        onClick={moved}
      />
      <span id="say-keys" class="visually-hidden">
        Enter sends, Shift and Enter begins a new line, @ lists the agents, Escape stops the replies.
      </span>
      {world.busy.value && (
        <button type="button" class="stop" onClick={() => void world.stop().catch(() => undefined)} title="Stop all replies (Esc)">
          <Icon name="stop" />
          Stop
        </button>
      )}
      <button type="submit" class="primary send" disabled={text.value.trim() === ""} aria-label="Send" title="Send (Enter)">
        <Icon name="send" />
      </button>
    </form>
  );
}
