import { autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap, type Completion, type CompletionContext, type CompletionResult } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { json } from "@codemirror/lang-json";
import { HighlightStyle, bracketMatching, indentOnInput, syntaxHighlighting, syntaxTree } from "@codemirror/language";
import { type Diagnostic, linter } from "@codemirror/lint";
import { EditorState } from "@codemirror/state";
import { EditorView, keymap, lineNumbers, placeholder } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import type { Schemas } from "../frames/schema.js";
import { pathAt, rangeOf } from "./place.js";
import { suggestions } from "./suggest.js";
import { problemsOf } from "./validate.js";

export interface EditorOptions {
  parent: HTMLElement;
  text: string;
  schemas: Schemas;
  onChange: (text: string) => void;
  onSend: () => void;
}

/** An editor for one frame that knows the schemas. */
export function createEditor({ parent, text, schemas, onChange, onSend }: EditorOptions): EditorView {
  return new EditorView({
    parent,
    state: EditorState.create({
      doc: text,
      extensions: [
        lineNumbers(),
        history(),
        json(),
        indentOnInput(),
        bracketMatching(),
        closeBrackets(),
        syntaxHighlighting(colours),
        autocompletion({ override: [(context) => complete(context, schemas)], icons: false }),
        linter(({ state }) => lint(state, schemas), { delay: 150 }),
        placeholder("{}"),
        EditorView.lineWrapping,
        EditorView.contentAttributes.of({ "aria-label": "The frame, as JSON" }),
        EditorView.updateListener.of((update) => {
          if (update.docChanged) onChange(update.state.doc.toString());
        }),
        keymap.of([
          { key: "Mod-Enter", run: () => (onSend(), true) },
          ...closeBracketsKeymap,
          ...completionKeymap,
          ...defaultKeymap,
          ...historyKeymap,
        ]),
      ],
    }),
  });
}

const colours = HighlightStyle.define([
  { tag: tags.propertyName, color: "var(--info)" },
  { tag: tags.string, color: "var(--accent)" },
  { tag: [tags.number, tags.bool, tags.null], color: "var(--warn)" },
  { tag: tags.invalid, color: "var(--danger)" },
]);

function lint(state: EditorState, schemas: Schemas): Diagnostic[] {
  return problemsOf(state.doc.toString(), schemas).map(({ pointer, message }) => ({ ...rangeOf(state, pointer), severity: "error", message }));
}

/** Names of fields where a name stands, values where a value stands, both from the schema of that place. */
function complete(context: CompletionContext, schemas: Schemas): CompletionResult | null {
  const { state, pos } = context;
  const place = pathAt(state, pos);
  if (place === undefined) return null;
  const node = syntaxTree(state).resolveInner(pos, -1);
  const quoted = node.name === "String" || node.name === "PropertyName";
  // A string that is not closed is no string to the syntax.
  const word = context.matchBefore(/"?[A-Za-z0-9_.:-]*/);
  if (!quoted && !context.explicit && (word === null || word.from === word.to)) return null;
  const from = quoted ? node.from : (word?.from ?? pos);
  const to = quoted ? node.to : pos;

  const { type } = (place.root ?? {}) as { type?: unknown };
  let schema = typeof type === "string" ? schemas.frame(type) : undefined;
  // Before there is a type, all frames have the envelope.
  schema ??= schemas.frame(schemas.clientTypes[0] ?? "");
  let value: unknown = place.root;
  for (const step of place.path) {
    schema = schemas.member(schema, step, value);
    value = typeof value === "object" && value !== null ? (value as Record<string, unknown>)[step as string] : undefined;
  }

  const options: Completion[] = [];
  if (place.kind === "name") {
    for (const branch of schemas.alternatives(schema, value)) {
      for (const [name, member] of Object.entries((branch["properties"] ?? {}) as Record<string, object>)) {
        if (place.others.includes(name)) continue;
        const required = ((branch["required"] ?? []) as string[]).includes(name);
        const info = schemas.resolve(member as never)?.["description"];
        options.push({ label: JSON.stringify(name), apply: `${JSON.stringify(name)}${place.hasValue ? "" : ": "}`, type: "property", detail: required ? "required" : "", ...(typeof info === "string" ? { info } : {}), boost: required ? 1 : 0 });
      }
    }
  } else {
    const field = String(place.path.filter((step) => typeof step === "string").at(-1) ?? "");
    const values: unknown[] = [];
    if (place.path.length === 1 && field === "type") values.push(...schemas.clientTypes);
    else {
      for (const branch of schemas.alternatives(schema, value)) {
        if ("const" in branch) values.push(branch["const"]);
        if (Array.isArray(branch["enum"])) values.push(...branch["enum"]);
        if (branch["type"] === "boolean") values.push(true, false);
        if (branch["type"] === "null") values.push(null);
        if ("default" in branch) values.push(branch["default"]);
      }
      values.push(...suggestions(field));
    }
    for (const entry of new Set(values)) options.push({ label: JSON.stringify(entry), type: "constant" });
  }
  return options.length === 0 ? null : { from, to, options, filter: true };
}
