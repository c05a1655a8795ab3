import { type Token, type Tokens, lexer } from "marked";
import { Fragment, type JSX, type VNode } from "preact";
import { memo } from "preact/compat";
import { CopyButton } from "../ui/copy.js";

// What agents write is not trusted. marked only reads it; what it has read becomes elements of the few kinds below, never
// HTML: a tag in a text is shown as the text that it is. Nothing is loaded: a picture is a link to it.

const OPTIONS = { gfm: true, breaks: true };

/** Characters that turn the order of what follows around, so that code reads as what it is not. They are shown. */
const OVERRIDES = /[\u202a-\u202e\u2066-\u2069]/g;

export function plain(text: string): string {
  return text.replace(OVERRIDES, (character) => `[U+${character.charCodeAt(0).toString(16).toUpperCase()}]`);
}

/** Addresses that a click may open; undefined for all others, `javascript:` among them. */
function safe(href: string): string | undefined {
  try {
    return /^(https?|mailto):$/.test(new URL(href).protocol) ? href : undefined;
  } catch {
    return undefined;
  }
}

/** A text of an agent while it grows: what is complete is not read again. */
export class GrowingMarkdown {
  #text = "";
  #settled: Token[] = [];
  #settledLength = 0;
  #tokens: Token[] = [];

  read(text: string): readonly Token[] {
    if (text === this.#text) return this.#tokens;
    if (!text.startsWith(this.#text)) {
      this.#settled = [];
      this.#settledLength = 0;
    }
    this.#text = text;
    const fresh = lexer(text.slice(this.#settledLength), OPTIONS);
    // The last block may go on, and the one before it with it. Lists and tables are one block.
    while (fresh.length > 3) {
      const token = fresh.shift();
      if (token === undefined) break;
      this.#settled.push(token);
      this.#settledLength += token.raw.length;
    }
    this.#tokens = [...this.#settled, ...fresh];
    return this.#tokens;
  }
}

/** Blocks that stay the same object are not drawn again. */
const Block = memo(({ token }: { token: Token }) => block(token));

export function Markdown({ tokens }: { tokens: readonly Token[] }): JSX.Element {
  return (
    <div class="markdown" dir="auto">
      {tokens.map((token, at) => (
        <Block token={token} key={at} />
      ))}
    </div>
  );
}

function block(token: Token): VNode | null {
  switch (token.type) {
    case "space":
    case "def":
      return null;
    case "heading": {
      // Below the headings of the page.
      const Level = `h${Math.min(6, (token as Tokens.Heading).depth + 2)}` as "h3";
      return <Level>{inline(token)}</Level>;
    }
    case "paragraph":
      return <p>{inline(token)}</p>;
    case "blockquote":
      return <blockquote>{(token.tokens ?? []).map(block)}</blockquote>;
    case "hr":
      return <hr />;
    case "code":
      return <Code token={token as Tokens.Code} />;
    case "list":
      return list(token as Tokens.List);
    case "table":
      return table(token as Tokens.Table);
    case "text":
      return <Fragment>{inline(token)}</Fragment>;
    default:
      // HTML, and whatever else there may be.
      return <p class="raw">{plain(token.raw)}</p>;
  }
}

function Code({ token }: { token: Tokens.Code }): JSX.Element {
  const language = token.lang?.split(/\s/)[0];
  return (
    <figure class="code">
      <figcaption>
        <span>{language ? plain(language) : "code"}</span>
        <CopyButton text={() => token.text} what="code" />
      </figcaption>
      <pre tabIndex={0} role="region" aria-label={language ? `Code in ${plain(language)}` : "Code"}>
        <code dir="ltr">{plain(token.text)}</code>
      </pre>
    </figure>
  );
}

function list({ ordered, start, items }: Tokens.List): VNode {
  const children = items.map((item, at) => (
    <li key={at} class={item.task ? "task" : undefined}>
      {item.task && <input type="checkbox" disabled checked={item.checked ?? false} aria-label={item.checked ? "done" : "to do"} />}
      {item.tokens.filter((inner) => inner.type !== "checkbox").map((inner, index) => (
        <Fragment key={index}>{block(inner)}</Fragment>
      ))}
    </li>
  ));
  return ordered ? <ol start={start === "" ? 1 : start}>{children}</ol> : <ul>{children}</ul>;
}

function table({ header, rows, align }: Tokens.Table): VNode {
  const side = (at: number) => (align[at] ? { class: `to-${align[at]}` } : {});
  return (
    <div class="table" tabIndex={0} role="region" aria-label="Table">
      <table>
        <thead>
          <tr>
            {header.map((cell, at) => (
              <th key={at} {...side(at)}>
                {inline(cell)}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row, at) => (
            <tr key={at}>
              {row.map((cell, column) => (
                <td key={column} {...side(column)}>
                  {inline(cell)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function inline(parent: { tokens?: Token[] | undefined; raw?: string; text?: string }): (VNode | string)[] {
  return parent.tokens === undefined ? [plain(unescape(parent.text ?? parent.raw ?? ""))] : parent.tokens.map(span);
}

function span(token: Token, key: number): VNode | string {
  switch (token.type) {
    case "text":
      return token["tokens"] === undefined ? plain(unescape(token.raw)) : <Fragment key={key}>{inline(token)}</Fragment>;
    case "escape":
      return plain((token as Tokens.Escape).text);
    case "strong":
      return <strong key={key}>{inline(token)}</strong>;
    case "em":
      return <em key={key}>{inline(token)}</em>;
    case "del":
      return <del key={key}>{inline(token)}</del>;
    case "codespan":
      return (
        <code key={key} dir="ltr">
          {plain((token as Tokens.Codespan).text)}
        </code>
      );
    case "br":
      return <br key={key} />;
    case "link": {
      const href = safe((token as Tokens.Link).href);
      if (href === undefined) return <Fragment key={key}>{plain(token.raw)}</Fragment>;
      return (
        <a key={key} href={href} title={href} target="_blank" rel="noopener noreferrer nofollow">
          {inline(token)}
        </a>
      );
    }
    case "image": {
      const { href, text } = token as Tokens.Image;
      const target = safe(href);
      if (target === undefined) return <Fragment key={key}>{plain(token.raw)}</Fragment>;
      return (
        <a key={key} href={target} title={target} target="_blank" rel="noopener noreferrer nofollow">
          {`picture: ${plain(text || target)}`}
        </a>
      );
    }
    default:
      return plain(token.raw);
  }
}

const ENTITIES: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: "\u00a0", hellip: "…", mdash: "—", ndash: "–" };

/** The few entities that models write; Preact makes text of them in any case. */
function unescape(text: string): string {
  return text.replace(/&(#\d{1,7}|#x[0-9a-f]{1,6}|[a-z]{2,8});/gi, (whole, name: string) => {
    if (!name.startsWith("#")) return ENTITIES[name.toLowerCase()] ?? whole;
    const code = /^#x/i.test(name) ? Number.parseInt(name.slice(2), 16) : Number(name.slice(1));
    return code > 0 && code <= 0x10ffff && !(code >= 0xd800 && code < 0xe000) ? String.fromCodePoint(code) : whole;
  });
}
