import { type ProxyOptions, defineConfig } from "vite";

/** Of this folder. `URL` alone would do, if rolldown took more than paths. */
const here = (path: string): string => decodeURIComponent(new URL(path, import.meta.url).pathname);

/** The server that pages of `npm run dev` and `vite preview` talk to, as if they were its own. */
const server = process.env["AGENT_WORLD_URL"] ?? "http://localhost:3001";
const proxied = (ws = false): ProxyOptions => ({ target: server, changeOrigin: true, ws, rewriteWsOrigin: true, headers: { origin: server } });
const proxy = {
  ...Object.fromEntries(["/worlds", "/session", "/health", "/schema", "/openapi", "/asyncapi", "/catalogue"].map((path) => [path, proxied()])),
  "/ws": proxied(true),
};

export default defineConfig({
  resolve: {
    alias: [
      // The SDK is taken from its sources, so that there is no second build to keep in step.
      { find: /^agent-world-client$/, replacement: here("../typescript/src/index.ts") },
      { find: /^agent-world-client\/http$/, replacement: here("../typescript/src/http.ts") },
      { find: /^agent-world-client\/schemas$/, replacement: here("../typescript/src/schemas.ts") },
      { find: /^react\/jsx-runtime$/, replacement: "preact/jsx-runtime" },
      { find: /^react(-dom)?$/, replacement: "preact/compat" },
      // The AsyncAPI component without the parser, which compiles code and is most of its size.
      { find: /^@asyncapi\/parser(\/cjs\/document)?$/, replacement: here("src/docs/asyncapi/parser.ts") },
      { find: /^@asyncapi\/(openapi|avro|protobuf)-schema-parser$/, replacement: here("src/docs/asyncapi/absent.ts") },
      { find: /^@stoplight\/(spectral-core|types)$/, replacement: here("src/docs/asyncapi/absent.ts") },
      { find: /^@asyncapi\/specs$/, replacement: here("src/docs/asyncapi/specs.ts") },
    ],
  },
  server: { proxy },
  build: {
    target: "es2022",
    // Nothing is inlined as a data: address; the server's Content-Security-Policy knows `'self'` only.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rolldownOptions: {
      input: { console: here("index.html"), docs: here("docs.html") },
      output: {
        // What is large and not ours is apart, so that its files, which are committed, change with its versions only.
        codeSplitting: {
          groups: [
            { name: "preact", test: /node_modules\/(preact|@preact)\// },
            { name: "swagger-ui-dist", test: /node_modules\/swagger-ui-dist\/.*js$/ },
            { name: "asyncapi-component", test: /node_modules\/(@asyncapi|highlight[.]js|dompurify|isomorphic-dompurify|openapi-sampler|fast-xml-builder)\/.*js$/ },
            { name: "editor", test: /node_modules\/(@codemirror|@lezer|style-mod|w3c-keyname|crelt|@marijn)\// },
          ],
        },
      },
    },
  },
});
