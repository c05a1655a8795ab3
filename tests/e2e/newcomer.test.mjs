// What the README promises, done as it stands there: its blocks are read from it and run.

import test from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import vm from 'node:vm';
import WebSocket from 'ws';
import { binary, plainEnvironment, root, startServer, temporary, within } from './server.mjs';

const readme = await readFile(join(root, 'README.md'), 'utf8');
const blocks = [...readme.matchAll(/^```(\w+)\n(.*?)^```$/gms)].map(([, language, text]) => ({ language, text }));

/** The blocks of a language that hold `part`; the README must have `count` of them. */
function found(language, part, count) {
  const matching = blocks.filter((block) => block.language === language && block.text.includes(part));
  assert.equal(matching.length, count, `blocks of ${language} with ${part} in the README`);
  return matching.map(({ text }) => text);
}

/** Runs a command to its end and returns what it printed. */
async function run(command, args, { input = '', ...options } = {}) {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'], ...options });
  const printed = { out: '', err: '' };
  child.stdout.on('data', (data) => (printed.out += data));
  child.stderr.on('data', (data) => (printed.err += data));
  child.stdin.end(input);
  try {
    const [code] = await within(60, args.at(-1), once(child, 'close'));
    assert.equal(code, 0, `${args.at(-1)}\n${printed.out}\n${printed.err}`);
  } finally {
    child.kill('SIGKILL');
  }
  return printed.out;
}

/** Runs a block of the README's shell commands against `server`. */
function shell(server, text) {
  assert.ok(text.includes('localhost:3001'));
  return run('bash', ['-euo', 'pipefail', '-c', text.replaceAll('localhost:3001', server.address)]);
}

test('the JavaScript example', async (t) => {
  const server = await startServer(t);
  const [example] = found('js', 'ws.onopen', 1);
  const printed = [];
  let settled;
  const done = new Promise((resolve) => (settled = resolve));
  const console = {
    log: (...words) => {
      printed.push(words.join(' '));
      if (printed.at(-1).includes('"settled"')) settled();
    },
  };
  let socket;
  // The page's own, but for the address.
  const Page = class extends WebSocket {
    constructor(url) {
      super(url.replace('localhost:3001', server.address));
      socket = this;
    }
  };
  vm.runInNewContext(example, { WebSocket: Page, console, Date, JSON });
  await within(60, 'the conversation', done);
  socket.close();
  const all = printed.join('\n');
  for (const part of ['"connected"', '"world_selected"', '"message_accepted"', '"complete":true']) {
    assert.ok(all.includes(part), `${part} in\n${all}`);
  }
});

test('the curl examples', async (t) => {
  const server = await startServer(t);
  const [first, own] = found('sh', 'curl', 2);
  const templates = await shell(server, first);
  assert.ok(templates.includes('"default-world"'), templates);
  assert.ok(templates.includes('"complete":true') && templates.includes('"settled"'), templates);
  const world = await shell(server, own);
  assert.ok(world.includes('"my-debate"') && world.includes('"settled"'), world);
  assert.ok(world.trimEnd().endsWith('}'), 'the page of history comes last');
});

test('the terminal client', async (t) => {
  const server = await startServer(t);
  found('sh', 'cargo run -- chat', 1);
  const options = { input: 'Hello!\n/agents\n/quit\n', env: plainEnvironment() };
  const said = await run(binary, ['chat', '--url', server.ws], options);
  assert.match(said, /^guide: Hello/m);
  assert.match(said, /^critic: Hello/m);
  assert.match(said, /^ {2}guide \(active\)/m);
});

test('a world of one’s own', async (t) => {
  const [template] = found('json', '"agents"', 1);
  const server = await startServer(t, ['--templates', await written(t, template)]);
  const { name, description, agents } = JSON.parse(template);
  const listed = await (await fetch(`${server.http}/worlds`)).json();
  assert.deepEqual(listed.find((summary) => summary.name === name), { name, description, agentCount: agents.length });
});

/** A directory that holds the README's template as the README says. */
async function written(t, template) {
  const [, file] = readme.match(/`(my-templates\/[\w-]+\.json)`/);
  const path = join(await temporary(t), file);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, template);
  return dirname(path);
}

test('without a server, the terminal client says what to do', async () => {
  const options = { env: plainEnvironment(), stdio: ['ignore', 'ignore', 'pipe'] };
  const child = spawn(binary, ['chat', '--url', 'ws://127.0.0.1:9/ws'], options);
  let text = '';
  child.stderr.on('data', (data) => (text += data));
  const [code] = await within(30, 'the terminal client', once(child, 'close'));
  assert.equal(code, 1);
  assert.match(text, /^agent-world: no server answers at .* start one with `agent-world`.*\n$/);
});

test('a second server on the same port, or in the same directory, says so and leaves', async (t) => {
  const server = await startServer(t);
  const refused = async (args) => {
    const child = spawn(binary, args, { cwd: server.directory, env: plainEnvironment(), stdio: ['ignore', 'ignore', 'pipe'] });
    let text = '';
    child.stderr.on('data', (data) => (text += data));
    const [code] = await within(30, args.join(' '), once(child, 'close'));
    assert.equal(code, 1);
    assert.equal(text.trimEnd().split('\n').length, 1, text);
    return text;
  };
  assert.match(await refused(['--listen', server.address, '--data-dir', 'other']), /port is taken/);
  assert.match(await refused(['--listen', '127.0.0.1:0', '--data-dir', 'data']), /in use by another process/);
  assert.match(await refused(['--turns', '0']), /--turns: `0` is not between/);
});
