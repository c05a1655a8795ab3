// The real server: the built binary, on a free port, with a data directory and a script of its own.

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
const binary = process.env["AGENT_WORLD_BIN"] ?? join(home, "../../target/debug/agent-world");

export class Server {
  readonly #directory: string;
  readonly #args: string[];
  #child: ChildProcess | undefined;
  #exited: Promise<unknown[]> = Promise.resolve([]);
  port = 0;
  url = "";
  readonly log: string[] = [];

  constructor(directory: string, args: string[]) {
    this.#directory = directory;
    this.#args = args;
  }

  /** Starts it; the second time on the same port, with the same data. */
  async start(): Promise<void> {
    if (!existsSync(binary)) throw new Error(`${binary} is missing: build the server, or set AGENT_WORLD_BIN`);
    const kept = Object.entries(process.env).filter(([name]) => !/^(AGENT_WORLD_|OPENAI_|ANTHROPIC_|GEMINI_|GOOGLE_API|XAI_)/.test(name));
    const args = ["serve", "--listen", `127.0.0.1:${this.port}`, "--data-dir", join(this.#directory, "data")];
    args.push("--templates", join(fixtures, "templates"), "--script", join(fixtures, "script.json"));
    args.push("--log-format", "json", ...this.#args);
    const child = spawn(binary, args, {
      cwd: this.#directory,
      // Nothing listens on port 9, so that no Ollama is found.
      env: { ...Object.fromEntries(kept), OLLAMA_HOST: "127.0.0.1:9" },
      stdio: ["ignore", "ignore", "pipe"],
    });
    this.#child = child;
    this.#exited = once(child, "exit");
    const listening = new Promise<string>((resolve, reject) => {
      createInterface({ input: child.stderr! }).on("line", (line) => {
        this.log.push(line);
        if (line.includes('"listening"')) resolve((JSON.parse(line) as { address: string }).address);
      });
      this.#exited.then(([code]) => reject(new Error(`the server exited with ${code}:\n${this.log.join("\n")}`)), reject);
    });
    const address = await within(30, "starting the server", listening);
    this.port = Number(address.split(":").pop());
    this.url = `http://${address}`;
  }

  async stop(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    this.#child?.kill(signal);
    await within(30, "stopping the server", this.#exited);
  }
}

/** A server that is gone when the test is over. */
export async function startServer(t: TestContext, ...args: string[]): Promise<Server> {
  const directory = await mkdtemp(join(tmpdir(), "agent-world-client-"));
  const server = new Server(directory, args);
  t.after(async () => {
    await server.stop();
    await rm(directory, { recursive: true, force: true });
  });
  await server.start();
  return server;
}

/** Rejects when `promise` takes longer than `seconds`. */
export async function within<T>(seconds: number, what: string, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing within ${seconds} s`)), seconds * 1000);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
