// The conformance kit against two nodes behind nginx, with the configuration that is recommended, and without a word to
// the nodes about which client goes where.

import test from 'node:test';
import assert from 'node:assert/strict';
import { spawn, execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { binary, root } from '../e2e/server.mjs';
import { Cluster, eventually, freePort } from './cluster.mjs';

const run = promisify(execFile);

test('the conformance kit through a proxy', { timeout: 240_000 }, async (t) => {
  const front = await freePort();
  const kit = await Cluster.directory();
  await run(binary, ['conform', '--export', join(kit, 'kit')]);
  const cluster = await Cluster.start(t, {
    nats: 1, nodes: 2, directory: kit, script: JSON.parse(await readFile(join(kit, 'kit/script.json'))),
    args: ['--templates', join(kit, 'kit/templates'), '--trust-proxy'],
  });
  const published = await readFile(join(root, 'examples/cluster/nginx.conf'), 'utf8');
  const config = published
    .replace(/( *server 127\.0\.0\.1:\d+ [^\n]*\n)+/, cluster.nodes.map(({ address }) => `    server ${address} max_fails=1 fail_timeout=5s;\n`).join(''))
    .replace('listen 127.0.0.1:3000', `listen 127.0.0.1:${front}`);
  assert.notEqual(config, published);
  await mkdir(join(cluster.directory, 'tmp'));
  await writeFile(join(cluster.directory, 'nginx.conf'), config);
  const nginx = spawn('nginx', ['-p', cluster.directory, '-c', join(cluster.directory, 'nginx.conf')], {
    stdio: ['ignore', 'ignore', 'inherit'], env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` },
  });
  const ended = once(nginx, 'exit');
  t.after(async () => { nginx.kill('SIGTERM'); await ended; });
  await eventually('the proxy', async () => (await fetch(`http://127.0.0.1:${front}/health`)).ok, 30);

  const kits = run(binary, ['conform', `http://127.0.0.1:${front}`, '--json', '--allow-skips'], { maxBuffer: 1 << 28 });
  const { stdout } = await kits.catch((failed) => failed);
  const { scenarios } = JSON.parse(stdout);
  const failed = scenarios.filter(({ outcome }) => outcome === 'failed').map(({ name, why }) => `${name}: ${why}`);
  assert.deepEqual(failed, []);
  const passed = scenarios.filter(({ outcome }) => outcome === 'passed').length;
  assert.ok(passed >= 110, `${passed} scenarios`);
  // Both had a share, whatever the proxy made of one that was slow for a while.
  const shares = await Promise.all(cluster.nodes.map((node) => node.metric('connections_total')));
  assert.ok(Math.min(...shares) > 10, `the proxy spread the clients: ${shares}`);
  console.log(`${passed} scenarios through nginx to 2 nodes: all passed`);
});
