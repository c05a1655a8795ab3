import AsyncApiComponent from "@asyncapi/react-component/lib/esm/without-parser";
import "@asyncapi/react-component/styles/default.min.css";
import type { JSX } from "preact";
import { useCallback } from "preact/hooks";
import { Copyable, pretty } from "../copyable.js";
import { type AsyncApi as Document, asyncapi } from "../documents.js";
import { Loaded } from "../loaded.js";
import { documentOf } from "./document.js";
import "./asyncapi.css";

/** AsyncAPI's own component, on what the document says about one message; and examples of what it has none for. */
export default function AsyncApi({ type, reply }: { type: string; reply: string | undefined }): JSX.Element {
  const load = useCallback(async () => {
    const whole = await asyncapi();
    return { whole, ...documentOf(type, whole) };
  }, [type]);
  return (
    <Loaded load={load}>
      {({ whole, schema, answers }) => (
        <>
          <div class="asyncapi">
            <AsyncApiComponent
              schema={schema}
              config={{ show: { info: false, sidebar: false, servers: false, schemas: false, errors: false, messages: answers.length > 0 }, expand: { messageExamples: true } }}
            />
          </div>
          {reply !== undefined && <Examples title="The answer" names={[reply.replace("/", "_")]} document={whole} />}
          {answers.length > 0 && <Examples title="Examples" names={answers} document={whole} />}
        </>
      )}
    </Loaded>
  );
}

/** `names` are those of the channel's messages, `status_connected`. */
function Examples({ title, names, document }: { title: string; names: string[]; document: Document }): JSX.Element {
  const messages = document.channels["connection"]?.messages ?? {};
  const examples = names.flatMap((name) => {
    const component = messages[name]?.$ref.split("/").at(-1) ?? "";
    return document.components.messages[component]?.examples?.map(({ payload }) => ({ name, payload })) ?? [];
  });
  return (
    <section>
      <h2>{title}</h2>
      {examples.map(({ name, payload }, at) => (
        <Copyable text={pretty(payload)} label={`${title.toLowerCase()}: ${name}, ${at + 1}`} />
      ))}
    </section>
  );
}
