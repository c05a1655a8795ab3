import { Validator } from "@cfworker/json-schema";
import type { Schemas } from "../frames/schema.js";

/** One thing that is wrong with a frame. */
export interface Problem {
  /** Where, as a JSON Pointer. */
  readonly pointer: string;
  readonly message: string;
}

/** Keywords that only say that something below them is wrong. */
const WRAPPERS: readonly string[] = ["$ref", "properties", "items", "oneOf", "anyOf", "allOf"];

const validators = new Map<string, Validator>();

/** What the schemas have against a text as a frame of a client; empty: nothing. */
export function problemsOf(text: string, schemas: Schemas): Problem[] {
  let frame: unknown;
  try {
    frame = JSON.parse(text);
  } catch (error) {
    return [{ pointer: "", message: (error as Error).message }];
  }
  if (typeof frame !== "object" || frame === null || Array.isArray(frame)) return [{ pointer: "", message: "A frame is a JSON object." }];
  const { type } = frame as { type?: unknown };
  if (typeof type !== "string" || !schemas.clientTypes.includes(type)) {
    return [{ pointer: type === undefined ? "" : "/type", message: `\`type\` must be one of ${schemas.clientTypes.join(", ")}.` }];
  }
  let validator = validators.get(type);
  if (validator === undefined) {
    validator = new Validator(schemas.whole(type) as object, "2020-12", false);
    validators.set(type, validator);
  }
  const { errors } = validator.validate(frame);
  const telling = errors.filter(({ keyword }) => !WRAPPERS.includes(keyword));
  const seen = new Set<string>();
  const problems: Problem[] = [];
  for (const { instanceLocation, keyword, error } of telling.length > 0 ? telling : errors) {
    const pointer = decodeURIComponent(instanceLocation.replace(/^#/, ""));
    // `additionalProperties` is said of the object and of the member; the member tells more.
    const message = keyword === "additionalProperties" || keyword === "false" ? unknownField(error) : error;
    if (seen.has(`${pointer} ${message}`)) continue;
    seen.add(`${pointer} ${message}`);
    problems.push({ pointer, message });
  }
  return problems;
}

function unknownField(error: string): string {
  const name = /"([^"]+)"/.exec(error)?.[1];
  return name === undefined ? "This field is not known here." : `The field "${name}" is not known here.`;
}
