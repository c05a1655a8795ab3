/**
 * The JSON Schemas of the protocol, and a check of what arrives that is made of them with a validator of your
 * choice. For development: it is large, and the server checks itself what it sends.
 *
 * @packageDocumentation
 */
import { BUNDLE, FRAMES } from "./generated/schemas.js";

export { BUNDLE, FRAMES };

/** What a validator such as ajv makes of a schema. */
export interface CompiledSchema {
  (data: unknown): unknown;
  errors?: readonly { instancePath?: string; message?: string }[] | null | undefined;
}

/** The schema of a definition: `schemaOf("WorldSelectedMessage")`. */
export function schemaOf(definition: string): Record<string, unknown> {
  return { ...BUNDLE, $ref: `#/$defs/${definition}` };
}

/**
 * A check for the `validate` option of `connect`. `compile` is called once for each kind of frame, when the first one
 * comes: `frameValidator((schema) => ajv.compile(schema))`.
 */
export function frameValidator(compile: (schema: Record<string, unknown>) => CompiledSchema): (frame: unknown) => string[] {
  const compiled = new Map<string, CompiledSchema>();
  return (frame) => {
    const { type, payload } = frame as { type: string; payload?: { type?: string } };
    const definition = FRAMES[type] ?? FRAMES[`${type}/${payload?.type}`];
    if (definition === undefined) return [`there is no schema for ${type}`];
    let check = compiled.get(definition);
    if (check === undefined) {
      check = compile(schemaOf(definition));
      compiled.set(definition, check);
    }
    if (check(frame)) return [];
    return (check.errors ?? []).map(({ instancePath = "", message = "is not valid" }) => `${instancePath} ${message}`.trim());
  };
}
