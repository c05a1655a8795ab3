// Where one is: `/docs#errors/WORLD_NOT_FOUND` is a section and what of it is meant. The anchors are part of the
// protocol: error frames and problem documents name them.

import { signal } from "@preact/signals";

export const SECTIONS = {
  start: "A first conversation",
  messages: "WebSocket messages",
  http: "HTTP routes",
  schemas: "Schemas",
  errors: "Error codes",
  "close-codes": "Close codes",
} as const;

export type Section = keyof typeof SECTIONS;

export interface Place {
  section: Section;
  /** A message, an operation, a definition or a code. */
  name: string | undefined;
}

const isSection = (text: string): text is Section => Object.hasOwn(SECTIONS, text);

/** What encodes nothing, as a `%` that somebody typed, stands for itself. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function read(): Place {
  const [section = "", ...rest] = decoded(location.hash.slice(1)).split("/");
  return isSection(section) ? { section, name: rest.join("/") || undefined } : { section: "start", name: undefined };
}

export const place = signal<Place>(read());

addEventListener("hashchange", () => (place.value = read()));

/** The address of a place on this page; also the id of the element that it leads to. */
export const address = (section: Section, name?: string): string => `#${id(section, name)}`;
export const id = (section: Section, name?: string): string => (name === undefined ? section : `${section}/${name}`);
