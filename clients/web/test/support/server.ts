// The real server, as it serves the console: the built binary, on a free port, with a data directory of its own.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { TestContext } from "node:test";

/** The folder of the package. Tests run from its `build`. */
export const home = fileURLToPath(new URL("../../", import.meta.url));
const fixtures = join(home, "test/fixtures");
export const binary = process.env["AGENT_WORLD_BIN"] ?? join(home, "../../target/debug/agent-world");

export class Server {
  readonly #directory: string;
  #child: ChildProcess | undefined;
  #exited: Promise<unknown[]> = Promise.resolve([]);
  #port = 0;
  url = "";
  readonly log: string[] = [];
  /** What has to leave before the server does. */
  readonly guests: (() => Promise<void>)[] = [];

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Starts it; the second time on the same port, with the same data. */
  async start(): Promise<void> {
    if (!existsSync(binary)) throw new Error(`${binary} is missing: build the server, or set AGENT_WORLD_BIN`);
    const kept = Object.entries(process.env).filter(([name]) => !/^(AGENT_WORLD_|OPENAI_|ANTHROPIC_|GEMINI_|GOOGLE_API|XAI_)/.test(name));
    const args = ["serve", "--listen", `127.0.0.1:${this.#port}`, "--data-dir", join(this.#directory, "data")];
    args.push("--templates", join(fixtures, "templates"), "--script", join(fixtures, "script.json"), "--log-format", "json");
    // Nothing listens on port 9, so that no Ollama is found.
    const env = { ...Object.fromEntries(kept), OLLAMA_HOST: "127.0.0.1:9" };
    const child = spawn(binary, args, { cwd: this.#directory, env, stdio: ["ignore", "ignore", "pipe"] });
    this.#child = child;
    this.#exited = once(child, "exit");
    const listening = new Promise<string>((resolve, reject) => {
      createInterface({ input: child.stderr! }).on("line", (line) => {
        this.log.push(line);
        if (line.includes('"listening"')) resolve((JSON.parse(line) as { address: string }).address);
      });
      this.#exited.then(([code]) => reject(new Error(`the server exited with ${code}:\n${this.log.join("\n")}`)), reject);
    });
    const address = await listening;
    this.#port = Number(address.split(":").pop());
    this.url = `http://127.0.0.1:${this.#port}`;
  }

  /** Without a goodbye, if not told otherwise. */
  async stop(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    this.#child?.kill(signal);
    await this.#exited;
  }
}

/** A server that is gone when the test is over. */
export async function startServer(t: TestContext): Promise<Server> {
  const directory = await mkdtemp(join(tmpdir(), "agent-world-web-"));
  const server = new Server(directory);
  t.after(async () => {
    try {
      for (const leave of server.guests) await leave();
    } finally {
      await server.stop();
      await rm(directory, { recursive: true, force: true });
    }
  });
  await server.start();
  return server;
}
