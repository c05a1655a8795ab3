// A server under test: the built binary, on a free port, with a data directory of its own.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import assert from 'node:assert/strict';

export const root = new URL('../../', import.meta.url).pathname;
export const binary = process.env.AGENT_WORLD_BIN ?? join(root, 'target/debug/agent-world');

/** Rejects when `promise` takes longer than `seconds`. */
export function within(seconds, what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing within ${seconds} s`)), seconds * 1000);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** An environment in which no model is configured, so that the scripted demo answers. */
export function plainEnvironment(extra = {}) {
  const kept = Object.entries(process.env).filter(
    ([name]) => !/^(AGENT_WORLD_|OPENAI_|ANTHROPIC_|GEMINI_|GOOGLE_API|XAI_)/.test(name),
  );
  // Nothing listens on port 9, so no Ollama is found even where there is one.
  return { ...Object.fromEntries(kept), OLLAMA_HOST: '127.0.0.1:9', ...extra };
}

/** Starts a server in `directory`, and waits until it listens. */
export async function launch(directory, args = []) {
  const child = spawn(
    binary,
    ['serve', '--listen', '127.0.0.1:0', '--data-dir', join(directory, 'data'), '--log-format', 'json', ...args],
    { cwd: directory, env: plainEnvironment(), stdio: ['ignore', 'inherit', 'pipe'] },
  );
  const exited = once(child, 'exit');
  const log = [];
  const listening = new Promise((resolve, reject) => {
    createInterface({ input: child.stderr }).on('line', (line) => {
      log.push(line);
      if (line.includes('"listening"')) resolve(JSON.parse(line).address);
    });
    child.on('error', reject);
    exited.then(([code]) => reject(new Error(`the server exited with ${code}:\n${log.join('\n')}`)));
  });
  try {
    const address = await within(30, 'starting the server', listening);
    return { address, http: `http://${address}`, ws: `ws://${address}/ws`, directory, log, child, exited };
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  }
}

/** A directory that is gone when the test is over. */
export async function temporary(t) {
  const directory = await mkdtemp(join(tmpdir(), 'agent-world-e2e-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

/** Starts a server, and stops it with SIGTERM when the test is over: it must then exit with 0. */
export async function startServer(t, args = []) {
  const server = await launch(await temporary(t), args);
  const { child, exited, log } = server;
  t.after(async () => {
    child.kill('SIGTERM');
    try {
      const [code, signal] = await within(30, 'stopping the server', exited);
      assert.equal(code, 0, `the server ended with ${code ?? signal}:\n${log.join('\n')}`);
    } finally {
      child.kill('SIGKILL');
    }
  });
  return server;
}
