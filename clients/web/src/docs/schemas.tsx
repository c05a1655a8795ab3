import type { JSX } from "preact";
import { Copyable, pretty } from "./copyable.js";
import { type Definition, definitions, target } from "./definitions.js";
import type { Schema } from "./documents.js";
import { Loaded } from "./loaded.js";
import { Inline, Prose, firstSentence } from "./prose.js";
import { address, id } from "./route.js";

/** Every definition, or one of them. */
export function Schemas({ name }: { name: string | undefined }): JSX.Element {
  return (
    <Loaded load={definitions}>
      {(all) => {
        const definition = name === undefined ? undefined : all.get(name);
        if (definition !== undefined) return <One definition={definition} all={all} key={name} />;
        return <Index all={[...all.values()]} missing={name} />;
      }}
    </Loaded>
  );
}

const KINDS: [string, (definition: Definition) => boolean][] = [
  ["Frames", ({ name }) => name.endsWith("Message")],
  ["Objects", ({ schema }) => schema.type === "object"],
  ["One of several", ({ schema }) => schema.oneOf !== undefined || schema.anyOf !== undefined],
  ["Lists", ({ schema }) => schema.type === "array"],
  ["Texts and numbers", () => true],
];

function Index({ all, missing }: { all: Definition[]; missing: string | undefined }): JSX.Element {
  const groups = KINDS.map(([title]) => ({ title, definitions: [] as Definition[] }));
  for (const definition of all) groups[KINDS.findIndex(([, is]) => is(definition))]?.definitions.push(definition);
  return (
    <>
      <h1>Schemas</h1>
      {missing !== undefined && <p class="failed" role="alert">There is no definition called {missing}.</p>}
      <p class="lead">
        {all.length} definitions: the whole of what goes over the wire. Each file is served as JSON Schema 2020-12 at the path of its <code>$id</code>:{" "}
        <a href="/schema/envelope.json">/schema/envelope.json</a>. What the server sends may grow: ignore fields that you do not know.
      </p>
      {groups.map(({ title, definitions }) => (
        <section>
          <h2>{title}</h2>
          <ul class="columns">
            {definitions.map(({ name }) => (
              <li>
                <a href={address("schemas", name)}>
                  <code>{name}</code>
                </a>
              </li>
            ))}
          </ul>
        </section>
      ))}
    </>
  );
}

type All = ReadonlyMap<string, Definition>;

function One({ definition: { name, schema, examples, usedBy }, all }: { definition: Definition; all: All }): JSX.Element {
  const shown = [...(schema.examples ?? []), ...examples];
  return (
    <article id={id("schemas", name)} tabindex={-1}>
      <p class="crumb">
        <a href={address("schemas")}>Schemas</a>
      </p>
      <h1>
        <code>{name}</code>
      </h1>
      <p class="badges">
        <span class="badge">
          <Kind schema={schema} />
        </span>
      </p>
      {schema.description !== undefined && <Prose text={schema.description} />}
      <Constraints schema={schema} />
      <Fields schema={schema} all={all} />
      {(schema.oneOf ?? schema.anyOf)?.map((variant) => (
        <Variant schema={variant} all={all} />
      ))}
      {shown.length > 0 && (
        <>
          <h2>{shown.length === 1 ? "Example" : "Examples"}</h2>
          {shown.map((example, at) => (
            <Copyable text={pretty(example)} label={`example ${at + 1} of ${name}`} />
          ))}
        </>
      )}
      <h2>Used by</h2>
      {usedBy.length === 0 ? (
        <p>Nothing refers to it: people write it.</p>
      ) : (
        <ul class="chips">
          {usedBy.map(({ label, to }) => (
            <li>
              <a href={to}>
                <code>{label}</code>
              </a>
            </li>
          ))}
        </ul>
      )}
      <details>
        <summary>As JSON Schema</summary>
        <Copyable text={pretty(schema)} label={`the schema of ${name}`} />
      </details>
    </article>
  );
}

function Variant({ schema, all }: { schema: Schema; all: All }): JSX.Element {
  return (
    <section class="card">
      <h2>{schema.$ref === undefined ? schema.title ?? <Kind schema={schema} /> : <Kind schema={schema} />}</h2>
      <Prose text={meaning(schema, all)} />
      <Fields schema={schema} all={all} />
    </section>
  );
}

/** The fields of an object. */
function Fields({ schema: { properties, required = [], additionalProperties }, all }: { schema: Schema; all: All }): JSX.Element | null {
  if (properties === undefined) return null;
  return (
    <div class="table" role="region" aria-label="Fields" tabindex={0}>
      <table>
        <thead>
          <tr>
            <th scope="col">Field</th>
            <th scope="col">Type</th>
            <th scope="col">Meaning</th>
          </tr>
        </thead>
        <tbody>
          {Object.entries(properties).map(([name, field]) => (
            <tr>
              <th scope="row">
                <code>{name}</code>
                {!required.includes(name) && <span class="optional">optional</span>}
              </th>
              <td>
                <Kind schema={field} />
              </td>
              <td>
                <Inline text={meaning(field, all)} /> <Constraints schema={field} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {additionalProperties === false && <p class="note">No other fields are allowed.</p>}
    </div>
  );
}

/** What a field says of itself; or else its type, in a sentence. */
function meaning({ description, $ref }: Schema, all: All): string {
  return description ?? firstSentence(($ref !== undefined && all.get(target($ref))?.schema.description) || "");
}

/** The type in a few words, with links. */
function Kind({ schema }: { schema: Schema }): JSX.Element {
  if (schema.$ref !== undefined) {
    const name = target(schema.$ref);
    return (
      <a href={address("schemas", name)}>
        <code>{name}</code>
      </a>
    );
  }
  if (schema.const !== undefined) return <code>{JSON.stringify(schema.const)}</code>;
  if (schema.items !== undefined) return <>list of <Kind schema={schema.items} /></>;
  if (schema.oneOf !== undefined) return <>one of {schema.oneOf.length}</>;
  if (schema.anyOf !== undefined) return <>{schema.anyOf.map((one, at) => <>{at > 0 && " or "}<Kind schema={one} /></>)}</>;
  if (schema.enum !== undefined) return <>one of {schema.enum.length} words</>;
  return <>{schema.type ?? "anything"}</>;
}

const SAID_ELSEWHERE = new Set(["$ref", "title", "description", "type", "properties", "required", "additionalProperties", "items", "oneOf", "anyOf", "const", "examples", "discriminator", "$id", "$schema", "$defs"]);

/** What the schema demands beyond the type. */
function Constraints({ schema }: { schema: Schema }): JSX.Element | null {
  const constraints = Object.entries(schema).filter(([keyword]) => !SAID_ELSEWHERE.has(keyword));
  if (constraints.length === 0) return null;
  return (
    <ul class="constraints">
      {constraints.map(([keyword, value]) => (
        <li>
          <span>{keyword}</span>{" "}
          {Array.isArray(value) ? value.map((one) => <code>{String(one)}</code>) : <code>{typeof value === "string" ? value : JSON.stringify(value)}</code>}
        </li>
      ))}
    </ul>
  );
}
