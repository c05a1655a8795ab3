// The descriptions of the schemas: paragraphs, lists, and code between backticks, which becomes a link where it names
// something that these documents explain.

import type { JSX } from "preact";
import { type Catalogue, catalogue } from "./documents.js";
import { address } from "./route.js";

let known = new Map<string, string>();

/** Where names lead to. */
function links({ messages, routes, errorCodes }: Catalogue): Map<string, string> {
  return new Map([
    // `error` is mostly a field.
    ...messages.filter(({ type }) => type !== "error").map(({ type }) => [type, address("messages", type)] as const),
    ...routes.map(({ method, path, operationId }) => [`${method} ${path}`, address("http", operationId)] as const),
    ...errorCodes.map(({ code }) => [code, address("errors", code)] as const),
  ]);
}

/** Before it is known where names lead to, code is not linked. */
export const linksReady = catalogue().then(
  (value) => (known = links(value)),
  () => known,
);

export function Code({ children }: { children: string }): JSX.Element {
  const to = known.get(children);
  const code = <code>{children}</code>;
  return to === undefined ? code : <a class="code-link" href={to}>{code}</a>;
}

/** One line of text. */
export function Inline({ text }: { text: string }): JSX.Element {
  return <>{text.split("`").map((part, at) => (at % 2 === 1 ? <Code>{part}</Code> : part))}</>;
}

export function Prose({ text }: { text: string }): JSX.Element {
  const blocks = text.split("\n\n").filter((block) => block !== "");
  return (
    <div class="prose">
      {blocks.map((block) => {
        const items = block.split("\n").filter((line) => line.startsWith("- "));
        if (items.length === 0) return <p><Inline text={block} /></p>;
        return <ul>{items.map((item) => <li><Inline text={item.slice(2)} /></li>)}</ul>;
      })}
    </div>
  );
}

/** The first sentence. */
export const firstSentence = (text: string): string => /^.*?[.](?=\s|$)/s.exec(text)?.[0] ?? text;
/** The Markdown of a document, with the codes and messages that it names as links. */
export function linked(markdown: string): string {
  return markdown.replaceAll(/(?<!`|\[)`([A-Za-z_]+)`(?!`)/g, (all, name: string) => {
    const to = known.get(name);
    return to === undefined ? all : `[${all}](/docs${to})`;
  });
}
