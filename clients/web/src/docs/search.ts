// One index over everything that these documents explain, made in the browser when somebody begins to search.

import MiniSearch from "minisearch";
import { definitions } from "./definitions.js";
import { catalogue } from "./documents.js";
import { SECTIONS, type Section, address } from "./route.js";

export interface Hit {
  to: string;
  kind: string;
  title: string;
  text: string;
}

const KINDS: Record<string, string> = { start: "page", messages: "message", http: "route", schemas: "schema", errors: "error code", "close-codes": "close code" };

let index: Promise<MiniSearch<Hit>> | undefined;

export async function search(query: string): Promise<Hit[]> {
  index ??= build();
  index.catch(() => (index = undefined));
  const hits = (await index).search(query, { prefix: true, fuzzy: (term) => (term.length > 4 ? 0.2 : false), combineWith: "AND", boost: { title: 4 } });
  return hits.slice(0, 12) as unknown as Hit[];
}

async function build(): Promise<MiniSearch<Hit>> {
  const [{ messages, routes, errorCodes, closeCodes }, schemas] = await Promise.all([catalogue(), definitions()]);
  const hit = (section: Section, name: string | undefined, title: string, text: string): Hit => ({ to: address(section, name), kind: KINDS[section] ?? "", title, text });
  const made = new MiniSearch<Hit>({
    idField: "to",
    fields: ["title", "text"],
    storeFields: ["to", "kind", "title", "text"],
    // `WorldName` is found by `world`, `WORLD_NOT_FOUND` by `found`, and each as it is.
    tokenize: (text) => text.split(/[^\p{L}\p{N}_-]+/u).flatMap((word) => [...new Set([word, ...word.split(/[_-]|(?<=[a-z])(?=[A-Z])/)])]).filter((word) => word !== ""),
  });
  made.addAll([
    ...Object.entries(SECTIONS).map(([section, title]) => hit(section as Section, undefined, title, "")),
    ...messages.map(({ type, description }) => hit("messages", type, type, description)),
    ...routes.map(({ operationId, method, path, summary, description }) => hit("http", operationId, `${method} ${path}`, `${summary}. ${description} ${operationId}`)),
    ...[...schemas.values()].map(({ name, schema }) => hit("schemas", name, name, schema.description ?? "")),
    ...errorCodes.map(({ code, description, advice }) => hit("errors", code, code, `${description} ${advice}`)),
    ...closeCodes.map(({ code, name, description }) => hit("close-codes", `${code}`, `${code} ${name}`, description)),
  ]);
  return made;
}
