// What is published: its files, its types, what a bundler leaves of it, and what its README promises.

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { lstatSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { build } from "esbuild";
import { home, startServer } from "./support/server.js";

const npm = (...args: string[]): string => execFileSync("npm", args, { cwd: home, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
const tool = (name: string): string => join(home, "node_modules/.bin", name);

/** Runs a program, and fails with all that it said. */
function passes(program: string, args: string[], cwd = home): string {
  const { status, stdout, stderr } = spawnSync(program, args, { cwd, encoding: "utf8" });
  assert.equal(status, 0, `${program} ${args.join(" ")}\n${stdout}${stderr}`);
  return stdout;
}

test("npm packs what it should, and nothing else", () => {
  const [packed] = JSON.parse(npm("pack", "--dry-run", "--json", "--ignore-scripts")) as [{ files: { path: string }[]; size: number }];
  const paths = packed.files.map(({ path }) => path);
  for (const path of ["package.json", "README.md", "LICENSE-MIT", "LICENSE-APACHE"]) assert.ok(paths.includes(path), path);
  const modules = paths.filter((path) => path.startsWith("src/"));
  assert.ok(modules.length >= 20, `${modules.length} modules`);
  for (const module of modules) {
    const built = module.replace(/^src/, "dist").replace(/\.ts$/, "");
    for (const ending of [".js", ".js.map", ".d.ts", ".d.ts.map"]) assert.ok(paths.includes(built + ending), built + ending);
  }
  const stray = paths.filter((path) => !/^(src\/.*\.ts|dist\/.*\.(js|d\.ts)(\.map)?|README\.md|LICENSE-(MIT|APACHE)|package\.json)$/.test(path));
  assert.deepEqual(stray, []);
  assert.ok(packed.size < 250_000, `${packed.size} bytes`);
});

test("there is no runtime dependency, and everything is pinned", () => {
  const manifest = JSON.parse(readFileSync(join(home, "package.json"), "utf8")) as Record<string, unknown>;
  for (const kind of ["dependencies", "peerDependencies", "optionalDependencies"]) assert.equal(manifest[kind], undefined, kind);
  for (const [name, version] of Object.entries(manifest["devDependencies"] as object)) assert.match(version as string, /^\d+\.\d+\.\d+$/, name);
  for (const licence of ["LICENSE-MIT", "LICENSE-APACHE"]) {
    assert.equal(readFileSync(join(home, licence), "utf8"), readFileSync(join(home, "../..", licence), "utf8"), licence);
  }
});

test("publint and arethetypeswrong have nothing to say", () => {
  passes(tool("publint"), ["--strict", "--pack", "npm"]);
  passes(tool("attw"), ["--pack", ".", "--profile", "esm-only"]);
});

test("strict programs can use the types, in the browser's world and in Node's", () => {
  for (const project of ["browser", "node"]) passes(tool("tsc"), ["-p", `test/types/${project}.json`]);
});

test("a bundler leaves out what is not used", async () => {
  const bundle = async (contents: string): Promise<string> => {
    const { outputFiles } = await build({
      stdin: { contents, resolveDir: home, loader: "ts" },
      bundle: true,
      minify: true,
      write: false,
      format: "esm",
      platform: "browser",
      logLevel: "error",
    });
    return outputFiles[0]!.text;
  };
  const whole = await bundle('import { connect } from "agent-world-client"; console.log(connect);');
  assert.ok(whole.length < 25_000, `${whole.length} characters`);
  assert.ok(!whole.includes("/worlds/") && !whole.includes("$defs") && !whole.includes("METHOD_NOT_ALLOWED"));
  const one = await bundle('import { getHealth } from "agent-world-client/http"; console.log(getHealth);');
  assert.ok(one.includes("/health") && !one.includes("/worlds/"));
  assert.ok(one.length < 8_000, `${one.length} characters`);
  const table = await bundle('import { CLOSE_CODES } from "agent-world-client"; console.log(CLOSE_CODES);');
  assert.ok(table.length < 2_000, `${table.length} characters`);
  console.log(`minified: connect ${whole.length}, one route ${one.length}, one table ${table.length} characters`);
});

test("the examples of the README compile, and the first one runs", async (t) => {
  const readme = readFileSync(join(home, "README.md"), "utf8");
  const examples = [...readme.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code]) => code!);
  assert.ok(examples.length >= 6, `${examples.length} examples`);
  const folder = mkdtempSync(join(home, "build/readme-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  examples.forEach((code, index) => {
    const context = index === 0 ? "" : 'declare const client: import("agent-world-client").Client;\ndeclare const world: import("agent-world-client").SelectedWorld;\n';
    writeFileSync(join(folder, `example-${index}.ts`), `${context}${code}\nexport {};\n`);
  });
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ extends: "../../test/tsconfig.json", compilerOptions: { noEmit: true, noUnusedLocals: false, rootDir: ".", lib: ["ES2023", "DOM", "DOM.Iterable"] }, include: ["."], exclude: [] }));
  passes(tool("tsc"), ["-p", folder]);

  const server = await startServer(t);
  const first = examples[0]!.replace(/http:\/\/localhost:3001/, server.url);
  assert.ok(first.includes(server.url));
  const program = join(folder, "first.mjs");
  writeFileSync(program, first);
  const said = await new Promise<string>((resolve, reject) => {
    const { stdout, status, stderr } = spawnSync(process.execPath, [program], { encoding: "utf8", timeout: 60_000 });
    if (status === 0) resolve(stdout);
    else reject(new Error(stderr));
  });
  assert.match(said, /guide: .+\ncritic: .+/s);
});

test("the package works where the README installs it, and stays when more is installed", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "agent-world-client-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const block = /^```sh\n(.*?)^```$/ms.exec(readFileSync(join(home, "README.md"), "utf8"))![1]!;
  const lines = block.trim().split("\n").map((line) => line.replace("../agent-world/clients/typescript", '"$CLIENT"'));
  // What the other tests stand on is there already, and is left as it is.
  const steps = lines.filter((line) => !line.endsWith(" ci"));
  assert.ok(steps.length < lines.length && steps.every((line) => line.startsWith("npm ")), block);
  // The npm that runs the tests tells its scripts about itself, and of a `--prefix`; a reader's shell does not.
  const kept = Object.entries(process.env).filter(([name]) => !/^npm_/i.test(name));
  const env = { ...Object.fromEntries(kept), CLIENT: home, npm_config_ignore_scripts: "true", npm_config_audit: "false", npm_config_fund: "false" };
  writeFileSync(join(folder, "package.json"), "{}");
  execFileSync("sh", ["-ec", [...steps, "npm install"].join("\n")], { cwd: folder, env, stdio: "pipe" });
  assert.ok(!lstatSync(join(folder, "node_modules/agent-world-client")).isSymbolicLink(), "it is a copy");
  writeFileSync(
    join(folder, "main.mjs"),
    'import { connect } from "agent-world-client";\nimport { chat } from "agent-world-client/http";\nimport { frameValidator } from "agent-world-client/schemas";\nimport { WebSocket } from "ws";\nconsole.log([connect, chat, frameValidator, WebSocket].map((one) => typeof one).join());\n',
  );
  assert.equal(passes(process.execPath, ["main.mjs"], folder).trim(), "function,function,function,function");
});
