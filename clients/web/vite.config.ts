import { defineConfig } from "vite";

/** Of this folder. `URL` alone would do, if rolldown took more than paths. */
const here = (path: string): string => decodeURIComponent(new URL(path, import.meta.url).pathname);

export default defineConfig({
  resolve: {
    alias: [
      // The SDK is taken from its sources, so that there is no second build to keep in step.
      { find: /^agent-world-client$/, replacement: here("../typescript/src/index.ts") },
      { find: /^agent-world-client\/http$/, replacement: here("../typescript/src/http.ts") },
      { find: /^agent-world-client\/schemas$/, replacement: here("../typescript/src/schemas.ts") },
      { find: /^react\/jsx-runtime$/, replacement: "preact/jsx-runtime" },
      { find: /^react(-dom)?$/, replacement: "preact/compat" },
    ],
  },
  server: {
    // `npm run dev` beside a `cargo run` that was told `--allow-origin http://localhost:5173`.
    port: 5173,
    strictPort: true,
  },
  build: {
    target: "es2022",
    // Nothing is inlined as a data: address; the server's Content-Security-Policy knows `'self'` only.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rolldownOptions: {
      input: { console: here("index.html"), docs: here("docs.html") },
    },
  },
});
