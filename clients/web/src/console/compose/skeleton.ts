import type { Schema, Schemas } from "../frames/schema.js";
import { suggestions } from "./suggest.js";

let count = 0;

/** A frame of a type to begin with: what it must have, filled with what makes sense. */
export function skeleton(type: string, schemas: Schemas): string {
  const schema = schemas.frame(type);
  count += 1;
  const frame: Record<string, unknown> = { id: `try-${count}`, type };
  if (((schema?.["required"] ?? []) as string[]).includes("payload")) frame["payload"] = sample(schemas.member(schema, "payload"), "payload", schemas, 0);
  return JSON.stringify(frame, null, 2);
}


function sample(schema: Schema | undefined, field: string, schemas: Schemas, depth: number): unknown {
  const [branch] = schemas.alternatives(schema);
  if (branch === undefined || depth > 6) return null;
  if ("const" in branch) return branch["const"];
  if ("default" in branch) return branch["default"];
  if (Array.isArray(branch["enum"])) return branch["enum"][0];
  const [suggestion] = suggestions(field);
  switch (branch["type"]) {
    case "object": {
      const wanted = (branch["required"] ?? []) as string[];
      return Object.fromEntries(wanted.map((name) => [name, sample(schemas.member(branch, name), name, schemas, depth + 1)]));
    }
    case "array":
      return [];
    case "boolean":
      return false;
    case "integer":
    case "number":
      return Number(branch["minimum"] ?? 0);
    default:
      if (suggestion !== undefined) return suggestion;
      if (field === "content") return "Hello!";
      if (field === "messageId") return "00000000-0000-7000-8000-000000000000";
      return field === "worldName" ? "my-world" : field === "templateName" ? "default-world" : "";
  }
}
