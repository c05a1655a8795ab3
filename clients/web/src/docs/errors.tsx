import type { JSX } from "preact";
import { type Catalogue, type ErrorCode, catalogue, openapi } from "./documents.js";
import { Copyable, pretty } from "./copyable.js";
import { Loaded } from "./loaded.js";
import { Inline, Prose } from "./prose.js";
import { address, id } from "./route.js";

const RETRYABLE = { yes: "retry helps", no: "retry does not help", varies: "retry: the error says" };

/** Every error code, each with an anchor of its own. */
export function Errors(): JSX.Element {
  return (
    <>
      <h1>Error codes</h1>
      <p class="lead">
        One closed list for both transports. Over WebSocket an error is an <a href={address("messages", "error")}>error</a> frame, over HTTP a{" "}
        <a href={address("schemas", "Problem")}>problem document</a> (RFC 9457). Decide by <code>code</code> and <code>retryable</code>; <code>message</code>{" "}
        and <code>detail</code> are for people.
      </p>
      <Loaded load={catalogue}>{(value) => value.errorCodes.map((code) => <Card code={code} catalogue={value} />)}</Loaded>
    </>
  );
}

function Card({ code, catalogue }: { code: ErrorCode; catalogue: Catalogue }): JSX.Element {
  const messages = catalogue.messages.filter(({ errors }) => errors?.includes(code.code));
  const routes = catalogue.routes.filter(({ errors }) => errors.includes(code.code));
  return (
    <section class="card" id={id("errors", code.code)} tabindex={-1} aria-labelledby={`title-of-${code.code}`}>
      <h2 id={`title-of-${code.code}`}>
        <a class="anchor" href={address("errors", code.code)}>
          <code>{code.code}</code>
        </a>
      </h2>
      <p class="badges">
        <span class="badge">HTTP {code.status}</span>
        <span class={`badge ${code.retryable}`}>{RETRYABLE[code.retryable]}</span>
      </p>
      <Prose text={code.description} />
      <dl class="facts">
        <dt>What to do</dt>
        <dd>
          <Inline text={code.advice} />
        </dd>
        <dt>Given by</dt>
        <dd>
          {messages.length + routes.length === 0 && "No request is answered with it."}
          <ul class="chips">
            {messages.map(({ type }) => (
              <li>
                <a href={address("messages", type)}>
                  <code>{type}</code>
                </a>
              </li>
            ))}
            {routes.map(({ operationId, method, path }) => (
              <li>
                <a href={address("http", operationId)}>
                  <code>
                    {method} {path}
                  </code>
                </a>
              </li>
            ))}
          </ul>
        </dd>
      </dl>
      {routes.length > 0 && <Example code={code} />}
    </section>
  );
}

/** A problem document of the code, as /openapi.json shows it. */
function Example({ code }: { code: ErrorCode }): JSX.Element {
  const load = EXAMPLES.get(code.code) ?? (() => example(code));
  EXAMPLES.set(code.code, load);
  return (
    <details>
      <summary>As an answer over HTTP</summary>
      <Loaded load={load}>{(value) => <Copyable text={pretty(value)} label={`an answer with ${code.code}`} />}</Loaded>
    </details>
  );
}

const EXAMPLES = new Map<string, () => Promise<unknown>>();

interface Response {
  content?: Record<string, { examples?: Record<string, { value: unknown }> }>;
}

async function example({ code, status }: ErrorCode): Promise<unknown> {
  for (const path of Object.values((await openapi()).paths)) {
    for (const operation of Object.values(path)) {
      const { responses } = operation as { responses?: Record<string, Response> };
      const found = responses?.[status]?.content?.["application/problem+json"]?.examples?.[code];
      if (found) return found.value;
    }
  }
  return {};
}
