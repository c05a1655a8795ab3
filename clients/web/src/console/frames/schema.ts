// What the protocol's schemas say about a frame, place by place. They are large, and come when they are first needed.

export interface Schema {
  readonly [keyword: string]: unknown;
}

/** The schemas of frames and of everything in them. */
export class Schemas {
  readonly bundle: Schema;
  readonly #definitions: Readonly<Record<string, Schema>>;
  /** The definition of each kind of frame: `chat_send`, `status/connected`. */
  readonly #frames = new Map<string, string>();
  /** The types that a client may send. */
  readonly clientTypes: readonly string[];

  constructor(bundle: Schema, serverFrames: Readonly<Record<string, string>>) {
    this.bundle = bundle;
    this.#definitions = bundle["$defs"] as Readonly<Record<string, Schema>>;
    for (const [kind, definition] of Object.entries(serverFrames)) this.#frames.set(kind, definition);
    const fromServer = new Set(Object.values(serverFrames));
    const clientTypes: string[] = [];
    for (const [name, definition] of Object.entries(this.#definitions)) {
      const properties = (definition["properties"] ?? {}) as Readonly<Record<string, Schema>>;
      const type = properties["type"]?.["const"];
      // A frame is what has the envelope's id and a type of its own.
      if (name.endsWith("Message") && typeof type === "string" && properties["id"] !== undefined && !fromServer.has(name)) {
        this.#frames.set(type, name);
        clientTypes.push(type);
      }
    }
    this.clientTypes = clientTypes.sort();
  }

  /** The definition of a kind of frame; of `event_stream/message` that of `event_stream`. */
  definition(kind: string): string | undefined {
    return this.#frames.get(kind) ?? this.#frames.get(kind.split("/")[0] ?? "");
  }

  frame(kind: string): Schema | undefined {
    const name = this.definition(kind);
    return name === undefined ? undefined : this.#definitions[name];
  }

  /** One schema with all that it refers to, for a validator. */
  whole(kind: string): Schema | undefined {
    const name = this.definition(kind);
    return name === undefined ? undefined : { $schema: this.bundle["$schema"], $defs: this.#definitions, $ref: `#/$defs/${name}` };
  }

  /** Follows references; what stands beside a reference, as its description, goes before what it refers to. */
  resolve(schema: Schema | undefined): Schema | undefined {
    let found = schema;
    for (let depth = 0; found !== undefined && typeof found["$ref"] === "string" && depth < 16; depth += 1) {
      const { $ref, ...beside } = found;
      const target = this.#definitions[String($ref).replace("#/$defs/", "")];
      found = target === undefined ? undefined : { ...target, ...beside };
    }
    return found;
  }

  /** The alternatives of a schema that fit a value by the constants in it, such as its `type` or `action`. */
  alternatives(schema: Schema | undefined, value?: unknown): Schema[] {
    const resolved = this.resolve(schema);
    if (resolved === undefined) return [];
    const branches = (resolved["oneOf"] ?? resolved["anyOf"]) as readonly Schema[] | undefined;
    if (branches === undefined) return [resolved];
    const all = branches.flatMap((branch) => this.alternatives(branch, value));
    const fitting = all.filter((branch) => fits(branch, value));
    return fitting.length > 0 ? fitting : all;
  }

  /** What is known of a member of an object, or of the elements of an array. */
  member(schema: Schema | undefined, key: string | number, value?: unknown): Schema | undefined {
    for (const branch of this.alternatives(schema, value)) {
      const found = typeof key === "number" ? branch["items"] : (branch["properties"] as Record<string, Schema> | undefined)?.[key];
      if (found !== undefined) return this.resolve(found as Schema);
    }
    return undefined;
  }
}

function fits(schema: Schema, value: unknown): boolean {
  if (typeof value !== "object" || value === null) return schema["type"] === undefined || schema["type"] !== "object";
  return Object.entries((schema["properties"] ?? {}) as Record<string, Schema>).every(
    ([name, { const: constant }]) => constant === undefined || !(name in value) || (value as Record<string, unknown>)[name] === constant,
  );
}

let loaded: Promise<Schemas> | undefined;

export function loadSchemas(): Promise<Schemas> {
  loaded ??= import("agent-world-client/schemas").then(({ BUNDLE, FRAMES }) => new Schemas(BUNDLE, FRAMES));
  return loaded;
}
