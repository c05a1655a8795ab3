import type { JSX } from "preact";

/** A text of the schemas: plain, with `code` in backticks. */
export function Prose({ text }: { text: string }): JSX.Element {
  return <>{text.split("`").map((part, at) => (at % 2 === 1 ? <code key={at}>{part}</code> : part))}</>;
}

/** The same, with all behind its first sentences folded away. */
export function FoldedProse({ text }: { text: string }): JSX.Element {
  const end = /^.{60,}?[.:](?= [A-Z`])/s.exec(text)?.[0] ?? text;
  if (text.length - end.length < 80) {
    return (
      <p class="description">
        <Prose text={text} />
      </p>
    );
  }
  return (
    <details class="description">
      <summary>
        <Prose text={end} />
      </summary>
      <Prose text={text.slice(end.length)} />
    </details>
  );
}
