import type { JSX } from "preact";
import type { Schema, Schemas } from "./schema.js";
import { plain } from "../chat/markdown.js";
import { Prose } from "../ui/prose.js";

interface Line {
  depth: number;
  text: string;
  why: string | undefined;
}

/** A frame as JSON, a line for each value, with what its schema says of it beside. */
export function Annotated({ frame, kind, schemas }: { frame: unknown; kind: string; schemas: Schemas | undefined }): JSX.Element {
  const lines: Line[] = [];
  write(lines, frame, schemas?.frame(kind), schemas, 0, "", "");
  return (
    <div class="annotated" role="table" aria-label="The frame, with what its schema says">
      {lines.map(({ depth, text, why }, at) => (
        <div class="entry" role="row" key={at}>
          <code role="cell" dir="ltr" style={{ paddingLeft: `${depth * 0.875}rem` }}>
            {plain(text)}
          </code>
          <span role="cell" class="why">
            {why !== undefined && <Prose text={why} />}
          </span>
        </div>
      ))}
    </div>
  );
}

const LONGEST = 4_000;

function write(lines: Line[], value: unknown, schema: Schema | undefined, schemas: Schemas | undefined, depth: number, before: string, after: string): void {
  const branch = schemas?.alternatives(schema, value)[0];
  // What is said of the whole, and of its payload, stands above.
  const why = depth === 0 || (depth === 1 && before === '"payload": ') ? undefined : ((schemas?.resolve(schema)?.["description"] ?? branch?.["description"]) as string | undefined);
  if (typeof value !== "object" || value === null) {
    const text = JSON.stringify(value) ?? "undefined";
    const short = text.length > LONGEST ? `${text.slice(0, LONGEST)}… (${text.length} characters)` : text;
    lines.push({ depth, text: `${before}${short}${after}`, why });
    return;
  }
  const [open, close] = Array.isArray(value) ? ["[", "]"] : ["{", "}"];
  const entries = Object.entries(value);
  if (entries.length === 0) {
    lines.push({ depth, text: `${before}${open}${close}${after}`, why });
    return;
  }
  lines.push({ depth, text: `${before}${open}`, why });
  entries.forEach(([key, inner], at) => {
    const name = Array.isArray(value) ? at : key;
    const member = schemas?.member(branch ?? schema, name, value);
    write(lines, inner, member, schemas, depth + 1, Array.isArray(value) ? "" : `${JSON.stringify(key)}: `, at < entries.length - 1 ? "," : "");
  });
  lines.push({ depth, text: `${close}${after}`, why: undefined });
}
