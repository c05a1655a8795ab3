import { render } from "preact";
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { TopBar } from "../look/top-bar.js";
import "../look/base.css";
import { CloseCodes } from "./close-codes.js";
import { Contents } from "./contents.js";
import { Conversation } from "./conversation.js";
import "./docs.css";
import { Errors } from "./errors.js";
import { Http } from "./http.js";
import { Messages } from "./messages.js";
import { SECTIONS, id, place } from "./route.js";
import { Schemas } from "./schemas.js";

function Docs(): JSX.Element {
  const { section, name } = place.value;
  const main = useRef<HTMLElement>(null);
  const arrived = useRef(false);
  useEffect(() => {
    document.title = `${name ?? SECTIONS[section]} · Agent World`;
    const later = arrived.current;
    arrived.current = true;
    return goTo(main.current, id(section, name), later);
  }, [section, name]);
  return (
    <>
      <a class="skip-link" href="#main" onClick={(event) => (event.preventDefault(), main.current?.focus())}>
        To the text
      </a>
      <TopBar page="docs" />
      <div class="docs">
        <Contents place={place.value} />
        <main id="main" ref={main} tabindex={-1}>
          {section === "start" && <Conversation />}
          {section === "messages" && <Messages name={name} />}
          {section === "http" && <Http name={name} />}
          {section === "schemas" && <Schemas name={name} />}
          {section === "errors" && <Errors />}
          {section === "close-codes" && <CloseCodes />}
        </main>
      </div>
    </>
  );
}

/** Scrolls to the element of that id when it is there, or to the top; what was asked for is also where reading goes on. */
function goTo(main: HTMLElement | null, wanted: string, focus: boolean): (() => void) | undefined {
  if (main === null) return undefined;
  scrollTo(0, 0);
  // Whoever has gone elsewhere meanwhile, into the search, stays there.
  const searching = (): boolean => document.activeElement?.matches("input, textarea") ?? false;
  if (focus && !searching()) main.focus({ preventScroll: true });
  const look = (): boolean => {
    const found = document.getElementById(wanted);
    found?.scrollIntoView({ block: "start" });
    if (!searching()) found?.focus({ preventScroll: true });
    return found !== null;
  };
  if (look()) return undefined;
  const observer = new MutationObserver(() => {
    if (look()) observer.disconnect();
  });
  observer.observe(main, { childList: true, subtree: true });
  return () => observer.disconnect();
}

const root = document.getElementById("app");
if (root) render(<Docs />, root);
