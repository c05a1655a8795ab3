import type { JSX, TargetedKeyboardEvent } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { firstSentence } from "./prose.js";
import { type Hit, search } from "./search.js";

type Result = { query: string; hits: Hit[] } | { query: string; problem: string };

/** A combobox over everything; `/` leads to it. */
export function SearchBox({ onChosen }: { onChosen: () => void }): JSX.Element {
  const input = useRef<HTMLInputElement>(null);
  const [query, setQuery] = useState("");
  const [result, setResult] = useState<Result>();
  const [active, setActive] = useState(0);
  const hits = result !== undefined && "hits" in result ? result.hits : [];
  const open = query.trim() !== "" && result !== undefined;

  useEffect(() => {
    const wanted = query.trim();
    let current = true;
    if (wanted === "") return setResult(undefined);
    search(wanted).then(
      (hits) => current && (setResult({ query: wanted, hits }), setActive(0)),
      (error: Error) => current && setResult({ query: wanted, problem: error.message }),
    );
    return () => {
      current = false;
    };
  }, [query]);

  useLayoutEffect(() => {
    const focus = (event: KeyboardEvent): void => {
      const typing = (event.target as HTMLElement | null)?.closest("input, textarea, select, [contenteditable]");
      if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || typing) return;
      event.preventDefault();
      input.current?.focus();
    };
    addEventListener("keydown", focus);
    return () => removeEventListener("keydown", focus);
  }, []);

  const choose = (hit: Hit | undefined): void => {
    if (hit === undefined) return;
    setQuery("");
    input.current?.blur();
    onChosen();
    location.hash = hit.to;
  };
  const key = (event: TargetedKeyboardEvent<HTMLInputElement>): void => {
    const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    if (step !== 0 && hits.length > 0) {
      event.preventDefault();
      setActive((active + step + hits.length) % hits.length);
    } else if (event.key === "Enter") choose(hits[active]);
    else if (event.key === "Escape") setQuery("");
  };

  return (
    <search class="search">
      <input
        ref={input}
        type="search"
        list={undefined}
        role="combobox"
        placeholder="Search  /"
        aria-label="Search the documents"
        aria-autocomplete="list"
        aria-expanded={open}
        aria-controls="hits"
        aria-activedescendant={open && hits.length > 0 ? `hit-${active}` : undefined}
        autocomplete="off"
        spellcheck={false}
        value={query}
        onInput={({ currentTarget }) => setQuery(currentTarget.value)}
        onKeyDown={key}
      />
      <ul id="hits" class="hits" role="listbox" aria-label="Found" hidden={!open || hits.length === 0}>
        {hits.map((hit, at) => (
          // The input keeps the focus; a press chooses before it would be lost.
          <li id={`hit-${at}`} role="option" aria-selected={at === active} onPointerMove={() => setActive(at)} onMouseDown={(event) => (event.preventDefault(), choose(hit))}>
            <span class="kind">{hit.kind}</span>
            <b>{hit.title}</b>
            <span class="about">{firstSentence(hit.text).replaceAll("`", "")}</span>
          </li>
        ))}
      </ul>
      <p class={open && hits.length === 0 ? "hits none" : "visually-hidden"} role="status">
        {open && ("problem" in result ? `Search does not work: ${result.problem}` : hits.length === 0 ? `Nothing found for “${result.query}”.` : `${hits.length} found`)}
      </p>
    </search>
  );
}
