import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import createSwaggerUi from "swagger-ui-dist/swagger-ui-es-bundle.js";
import "swagger-ui-dist/swagger-ui.css";
import { type OpenApi, openapi } from "../documents.js";
import { theme } from "../../look/theme.js";
import { Loaded } from "../loaded.js";
import { linked, linksReady } from "../prose.js";
import { nameAll } from "./name.js";
import "./swagger-ui.css";

/** OpenAPI's most widely used renderer, on the routes of this server; `operation` is opened and scrolled to. */
export default function SwaggerUi({ operation }: { operation: string | undefined }): JSX.Element {
  return <Loaded load={load}>{(document) => <Mounted document={document} operation={operation} />}</Loaded>;
}

/** The document with links in its descriptions. */
async function load(): Promise<OpenApi> {
  const [document] = await Promise.all([openapi(), linksReady]);
  const copy = structuredClone(document);
  for (const operations of Object.values(copy.paths)) {
    for (const operation of Object.values(operations)) {
      if (operation.description !== undefined) operation.description = linked(operation.description);
      const { responses = {} } = operation as { responses?: Record<string, { description: string }> };
      for (const response of Object.values(responses)) response.description = linked(response.description);
    }
  }
  return copy;
}

/** The renderer's own name for dark colours. */
function useDark(): void {
  const chosen = theme.value;
  useEffect(() => {
    const system = matchMedia("(prefers-color-scheme: dark)");
    const show = (): unknown => window.document.documentElement.classList.toggle("dark-mode", chosen === "dark" || (chosen === "system" && system.matches));
    show();
    system.addEventListener("change", show);
    return () => {
      system.removeEventListener("change", show);
      window.document.documentElement.classList.remove("dark-mode");
    };
  }, [chosen]);
}

function Mounted({ document, operation }: { document: OpenApi; operation: string | undefined }): JSX.Element {
  useDark();
  const element = useRef<HTMLDivElement>(null);
  const ui = useRef<ReturnType<typeof createSwaggerUi>>(null);
  useEffect(() => (element.current ? nameAll(element.current) : undefined), []);
  useEffect(() => {
    ui.current ??= createSwaggerUi({
      domNode: element.current,
      spec: document,
      layout: "BaseLayout",
      // The address after `#` is ours.
      deepLinking: false,
      docExpansion: "list",
      // They are under Schemas.
      defaultModelsExpandDepth: -1,
      displayRequestDuration: true,
      tryItOutEnabled: true,
      // Nothing is asked of another host.
      validatorUrl: null,
    });
  }, [document]);
  useEffect(() => {
    const tag = tagOf(document, operation);
    if (operation === undefined || tag === undefined) return;
    ui.current?.getSystem().layoutActions.show(["operations", tag, operation], true);
    return whenThere(element.current, `#operations-${tag}-${operation}`, (found) => {
      found.scrollIntoView({ block: "start" });
      // Whoever has gone elsewhere meanwhile, into the search, stays there.
      if (!window.document.activeElement?.matches("input, textarea")) found.querySelector<HTMLElement>("button")?.focus({ preventScroll: true });
    });
  }, [document, operation]);
  return <div class="swagger" ref={element} />;
}

function tagOf({ paths }: OpenApi, operationId: string | undefined): string | undefined {
  const operations = Object.values(paths).flatMap((methods) => Object.values(methods)) as { operationId: string; tags?: string[] }[];
  return operations.find((operation) => operation.operationId === operationId)?.tags?.[0];
}

/** Calls `then` with the element, now or when it has been rendered. */
function whenThere(within: HTMLElement | null, selector: string, then: (element: HTMLElement) => void): (() => void) | undefined {
  if (within === null) return undefined;
  const look = (): boolean => {
    const found = within.querySelector<HTMLElement>(selector);
    if (found) then(found);
    return found !== null;
  };
  if (look()) return undefined;
  const observer = new MutationObserver(() => {
    if (look()) observer.disconnect();
  });
  observer.observe(within, { childList: true, subtree: true });
  return () => observer.disconnect();
}
