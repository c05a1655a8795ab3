import type { JSX } from "preact";
import { Suspense, lazy } from "preact/compat";
import { type Catalogue, type Message, catalogue } from "./documents.js";
import { Loaded } from "./loaded.js";
import { Inline, Prose, firstSentence } from "./prose.js";
import { SECTIONS, address, id } from "./route.js";

// The renderer is large, and only wanted here.
const AsyncApi = lazy(() => import("./asyncapi/asyncapi.js"));

const SIDES = { client: "A client sends", server: "The server sends" };

/** Every WebSocket message, or one of them. */
export function Messages({ name }: { name: string | undefined }): JSX.Element {
  return (
    <Loaded load={catalogue}>
      {(value) => {
        const message = value.messages.find(({ type }) => type === name);
        return message === undefined ? <List catalogue={value} missing={name} /> : <One message={message} key={name} />;
      }}
    </Loaded>
  );
}

function List({ catalogue: { messages, protocol }, missing }: { catalogue: Catalogue; missing: string | undefined }): JSX.Element {
  return (
    <>
      <h1>{SECTIONS.messages}</h1>
      {missing !== undefined && <p class="failed" role="alert">There is no message called {missing}.</p>}
      <p class="lead">
        One JSON object in each text frame, at <code>/ws</code>, subprotocol <code>{protocol}</code>. Every request has exactly one answer, which carries its{" "}
        <code>id</code> as <code>replyTo</code>, or an <a href={address("messages", "error")}>error</a>. The same as{" "}
        <a href="/asyncapi.json">AsyncAPI</a>.
      </p>
      {(["client", "server"] as const).map((side) => (
        <section>
          <h2>{SIDES[side]}</h2>
          <div class="table" role="region" aria-label={SIDES[side]} tabindex={0}>
            <table>
              <thead>
                <tr>
                  <th scope="col">Message</th>
                  <th scope="col">What for</th>
                  {side === "client" && <th scope="col">Answer</th>}
                </tr>
              </thead>
              <tbody>
                {messages
                  .filter(({ direction }) => direction === side)
                  .map(({ type, description, reply }) => (
                    <tr>
                      <th scope="row">
                        <a href={address("messages", type)}>
                          <code>{type}</code>
                        </a>
                      </th>
                      <td>
                        <Inline text={firstSentence(description)} />
                      </td>
                      {side === "client" && <td>{reply !== undefined && <Answer reply={reply} />}</td>}
                    </tr>
                  ))}
              </tbody>
            </table>
          </div>
        </section>
      ))}
    </>
  );
}

/** `status/message_accepted` is a variant of `status`. */
function Answer({ reply }: { reply: string }): JSX.Element {
  return (
    <a href={address("messages", reply.split("/")[0])}>
      <code>{reply}</code>
    </a>
  );
}

function One({ message }: { message: Message }): JSX.Element {
  const { type, direction, description, title, reply, errors = [], idempotent, durable, schema } = message;
  return (
    <article id={id("messages", type)} tabindex={-1}>
      <p class="crumb">
        <a href={address("messages")}>{SECTIONS.messages}</a>
      </p>
      <div class="heading">
        <h1>
          <code>{type}</code>
        </h1>
        {direction === "client" && (
          <a class="button primary" href={`/#compose=${type}`}>
            Open in the composer
          </a>
        )}
      </div>
      <p class="badges">
        <span class="badge">{SIDES[direction]}</span>
        {idempotent && <span class="badge">may carry an idempotencyKey</span>}
        {durable && <span class="badge">may be durable, with a seq</span>}
      </p>
      <Prose text={description} />
      <dl class="facts">
        {reply !== undefined && (
          <>
            <dt>Answer</dt>
            <dd>
              <Answer reply={reply} />
            </dd>
          </>
        )}
        {errors.length > 0 && (
          <>
            <dt>Errors</dt>
            <dd>
              <ul class="chips">
                {errors.map((code) => (
                  <li>
                    <a href={address("errors", code)}>
                      <code>{code}</code>
                    </a>
                  </li>
                ))}
              </ul>
            </dd>
          </>
        )}
        <dt>Schema</dt>
        <dd>
          <a href={address("schemas", title)}>
            <code>{title}</code>
          </a>
          , <a href={schema}>{schema}</a>
        </dd>
      </dl>
      <Suspense fallback={<p class="waiting" role="status">Loading…</p>}>
        <AsyncApi type={type} reply={reply} />
      </Suspense>
    </article>
  );
}
