// Where one is in a JSON text, by its syntax tree: also while it is not yet valid.

import { syntaxTree } from "@codemirror/language";
import type { EditorState } from "@codemirror/state";

type Node = ReturnType<ReturnType<typeof syntaxTree>["resolveInner"]>;

export interface Place {
  /** Whether the name of a field stands here, or a value. */
  kind: "name" | "value";
  /** The way from the root: of a name, to the object that it is in; of a value, to itself. */
  path: (string | number)[];
  /** The names that the object has besides. */
  others: string[];
  /** Whether a colon follows the name already. */
  hasValue: boolean;
  /** As much of the whole as can be read. */
  root: unknown;
}

export function pathAt(state: EditorState, at: number): Place | undefined {
  const text = (node: Node): string => state.sliceDoc(node.from, node.to);
  const root = read(syntaxTree(state).topNode.firstChild ?? undefined, text);
  let node: Node | null = syntaxTree(state).resolveInner(at, -1);
  // Directly behind a bracket, or in an error, one is in what is around.
  if (node.type.isError || /^[[\]{},:]$/.test(node.name)) node = node.parent;
  if (node === null) return undefined;
  let kind: Place["kind"] = "value";
  let hasValue = false;
  if (node.name === "PropertyName") {
    kind = "name";
    hasValue = text(node.parent ?? node).slice(node.to - (node.parent?.from ?? 0)).trimStart().startsWith(":");
    node = node.parent?.parent ?? null;
  } else if (node.name === "Object") {
    // In an object and in no property: a name is to come.
    kind = "name";
  } else if (node.name === "Property") {
    const name = node.getChild("PropertyName");
    if (name !== null && at <= name.to) {
      kind = "name";
      node = node.parent;
    }
  }
  if (node === null) return undefined;
  const others = kind === "name" ? node.getChildren("Property").filter(({ from, to }) => at < from || at > to).map((property) => nameOf(property, text)) : [];
  return { kind, path: pathTo(node, text, at), others, hasValue, root };
}

/** Where in the text a JSON Pointer points; the first brace where it points to nothing. */
export function rangeOf(state: EditorState, pointer: string): { from: number; to: number } {
  const text = (node: Node): string => state.sliceDoc(node.from, node.to);
  let node: Node | null = syntaxTree(state).topNode.firstChild;
  let name: Node | null = null;
  for (const step of pointer.split("/").slice(1).map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"))) {
    if (node?.name === "Object") {
      const property: Node | undefined = node.getChildren("Property").find((child) => nameOf(child, text) === step);
      name = property?.getChild("PropertyName") ?? null;
      node = property?.lastChild ?? null;
    } else if (node?.name === "Array") {
      node = elementsOf(node)[Number(step)] ?? null;
    }
  }
  const found: Node | null = node ?? name;
  if (found === null) return { from: 0, to: Math.min(1, state.doc.length) };
  // Of an object, its name is marked, not all of it.
  if (found.name === "Object" || found.name === "Array") return name === null ? { from: found.from, to: Math.min(found.from + 1, state.doc.length) } : { from: name.from, to: name.to };
  return { from: found.from, to: found.to };
}

function pathTo(node: Node, text: (node: Node) => string, at: number): (string | number)[] {
  const path: (string | number)[] = [];
  if (node.name === "Property") path.push(nameOf(node, text));
  else if (node.name === "Array") path.push(elementsOf(node).filter(({ to }) => to <= at).length);
  for (let child = node, parent = node.parent; parent !== null; child = parent, parent = parent.parent) {
    if (parent.name === "Property") path.unshift(nameOf(parent, text));
    else if (parent.name === "Array") path.unshift(elementsOf(parent).filter(({ to }) => to <= child.from).length);
  }
  return path;
}

function elementsOf(array: Node): Node[] {
  const elements: Node[] = [];
  for (let child = array.firstChild; child !== null; child = child.nextSibling) {
    if (!child.type.isError && !/^[[\],]$/.test(child.name)) elements.push(child);
  }
  return elements;
}

function nameOf(property: Node, text: (node: Node) => string): string {
  const name = property.getChild("PropertyName");
  if (name === null) return "";
  try {
    return String(JSON.parse(text(name)));
  } catch {
    return text(name).replaceAll('"', "");
  }
}

/** As much as can be read of a value, so that what is written already tells what fits beside it. */
function read(node: Node | undefined, text: (node: Node) => string): unknown {
  if (node === undefined) return undefined;
  if (node.name === "Object") {
    return Object.fromEntries(node.getChildren("Property").map((property) => [nameOf(property, text), read(property.lastChild ?? undefined, text)]));
  }
  if (node.name === "Array") return elementsOf(node).map((element) => read(element, text));
  try {
    return JSON.parse(text(node)) as unknown;
  } catch {
    return undefined;
  }
}
