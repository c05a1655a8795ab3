import type { JSX } from "preact";
import { Suspense, lazy } from "preact/compat";
import { SECTIONS } from "./route.js";

// The renderer is large, and only wanted here.
const SwaggerUi = lazy(() => import("./swagger/swagger-ui.js"));

export function Http({ name }: { name: string | undefined }): JSX.Element {
  return (
    <>
      <h1>{SECTIONS.http}</h1>
      <p class="lead">
        The same worlds over HTTP, each route to be tried against this server. <code>POST /session</code> gives a token; <b>Authorize</b> keeps it for what you
        try on this page. The same as <a href="/openapi.json">OpenAPI</a>.
      </p>
      <Suspense fallback={<p class="waiting" role="status">Loading…</p>}>
        <SwaggerUi operation={name} />
      </Suspense>
    </>
  );
}
