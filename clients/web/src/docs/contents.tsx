import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { type Catalogue, catalogue, useLoaded } from "./documents.js";
import { type Place, SECTIONS, type Section, address } from "./route.js";
import { SearchBox } from "./search-box.js";

/** What there is, with the section that one is in laid open. On a narrow screen it is behind a button. */
export function Contents({ place }: { place: Place }): JSX.Element {
  const [open, setOpen] = useState(false);
  const loaded = useLoaded(catalogue);
  const close = (): void => setOpen(false);
  return (
    <div class={open ? "contents open" : "contents"}>
      <div class="tools">
        <SearchBox onChosen={close} />
        <button type="button" class="button fold" aria-expanded={open} aria-controls="contents" onClick={() => setOpen(!open)}>
          Contents
        </button>
      </div>
      <nav id="contents" aria-label="Contents">
        <ul>
          {Object.entries(SECTIONS).map(([section, title]) => (
            <li>
              <a href={address(section as Section)} aria-current={place.section === section ? (place.name === undefined ? "page" : "true") : undefined} onClick={close}>
                {title}
              </a>
              {place.section === section && loaded && "value" in loaded && <Entries section={place.section} place={place} catalogue={loaded.value} onChosen={close} />}
            </li>
          ))}
        </ul>
      </nav>
    </div>
  );
}

function Entries({ section, place, catalogue, onChosen }: { section: Section; place: Place; catalogue: Catalogue; onChosen: () => void }): JSX.Element | null {
  const entries = names(section, catalogue);
  if (entries.length === 0) return null;
  return (
    <ul>
      {entries.map(({ name, label, method, tag }, at) => (
        <li>
          {tag !== undefined && tag !== entries[at - 1]?.tag && <p class="tag">{tag}</p>}
          <a href={address(section, name)} aria-current={place.name === name ? "page" : undefined} onClick={onChosen}>
            {method !== undefined && <span class={`method ${method.toLowerCase()}`}>{method}</span>}
            <span>{label}</span>
          </a>
        </li>
      ))}
    </ul>
  );
}

interface Entry {
  name: string;
  label: string;
  method?: string;
  tag?: string;
}

function names(section: Section, { messages, routes, errorCodes, closeCodes }: Catalogue): Entry[] {
  switch (section) {
    case "messages":
      return messages.map(({ type }) => ({ name: type, label: type }));
    case "http":
      return routes
        .map(({ operationId, method, summary, tag }) => ({ name: operationId, label: summary, method, tag }))
        .sort((a, b) => a.tag.localeCompare(b.tag));
    case "errors":
      return errorCodes.map(({ code }) => ({ name: code, label: code }));
    case "close-codes":
      return closeCodes.map(({ code, name }) => ({ name: `${code}`, label: `${code} ${name.toLowerCase().replaceAll("_", " ")}` }));
    default:
      return [];
  }
}
