// A server that had its data directory alone is killed in the middle of a reply, its directory moves into NATS, and
// nodes go on from there. The client keeps its token, its cursor and its idempotency keys.

import test from 'node:test';
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { binary, launch, plainEnvironment, temporary, within } from '../e2e/server.mjs';
import { Cluster, Follower, Node, history, lives } from './cluster.mjs';

const isEnd = ({ type, payload }) => type === 'chat_response' && payload.complete;
const isSettled = (root) => ({ payload }) => payload.event?.payload.action === 'settled' && payload.event.payload.rootId === root;

/** Exit code and what was said. */
function migrate(args) {
  return new Promise((resolve) => {
    execFile(binary, ['migrate', ...args], { env: plainEnvironment() }, (error, stdout, stderr) => {
      resolve({ code: error ? error.code : 0, stdout, stderr });
    });
  });
}

test('one server becomes two nodes', { timeout: 120_000 }, async (t) => {
  const script = { name: 'slow', otherwise: { chunks: [{ text: 'word ', repeat: 30, delayMs: 25 }] } };
  const directory = await temporary(t);
  await writeFile(join(directory, 'script.json'), JSON.stringify(script));
  const alone = await launch(directory, ['--script', join(directory, 'script.json')]);
  t.after(() => alone.child.kill('SIGKILL'));
  const answer = await fetch(`${alone.http}/session`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' });
  const { sessionToken: token } = await answer.json();
  const follower = new Follower(token, 'moving');
  await follower.go(alone);
  const key = { idempotencyKey: randomUUID() };
  const first = (await follower.ask('chat_send', { content: 'one' }, key)).payload.data.messageId;
  await follower.first('the first to settle', isSettled(first));
  const second = await follower.say('two');
  await follower.delta();
  const third = await follower.say('three');

  const cluster = await Cluster.start(t, { nodes: 0, script, secured: true });
  const data = join(directory, 'data');
  const args = ['--data-dir', data, ...cluster.storage()];
  const refused = await migrate(args);
  assert.deepEqual([refused.code, /in use by another process/.test(refused.stderr)], [1, true], refused.stderr);

  follower.leave();
  alone.child.kill('SIGKILL');
  await within(10, 'the end of the server', alone.exited);
  const before = await Promise.all(['log.db', 'log.db-wal'].map((name) => readFile(join(data, name))));
  const moved = await migrate([...args, '--json']);
  assert.equal(moved.code, 0, moved.stderr);
  const report = JSON.parse(moved.stdout);
  assert.deepEqual([report.users, report.sessions, report.worlds, report.problems], [1, 1, 1, []]);
  assert.equal(report.verified, report.records);
  const after = await Promise.all(['log.db', 'log.db-wal'].map((name) => readFile(join(data, name))));
  assert.ok(before.every((bytes, at) => bytes.equals(after[at])), 'the directory stays as it is');
  const again = JSON.parse((await migrate([...args, '--json'])).stdout);
  assert.deepEqual([again.worlds, again.records, again.skipped], [0, 0, 1]);

  for (let at = 0; at < 2; at += 1) {
    const node = new Node(cluster, cluster.url());
    cluster.nodes.push(node);
    await node.launch();
  }
  const seen = follower.events.length;
  await follower.go(cluster.nodes[0]);
  assert.equal(follower.events[seen]?.seq, follower.events[seen - 1].seq + 1, 'the cursor goes on');
  await follower.first('the second to settle', isSettled(second));
  await follower.first('the third to settle', isSettled(third));
  const ends = follower.events.slice(seen).filter(isEnd).map(({ payload }) => payload.finishReason);
  assert.equal(ends[0], 'interrupted');
  assert.equal(ends.at(-1), 'stop');

  await follower.go(cluster.nodes[1]);
  const repeated = await follower.ask('chat_send', { content: 'one' }, key);
  assert.deepEqual([repeated.payload.data?.messageId, repeated.payload.data?.duplicate ?? repeated.payload.duplicate], [first, true], JSON.stringify(repeated));
  const other = await follower.ask('chat_send', { content: 'another' }, key);
  assert.deepEqual([other.type, other.payload.code], ['error', 'CONFLICT'], JSON.stringify(other));
  assert.deepEqual(follower.faults, []);
  const told = await history(cluster.nodes[1], token, 'moving');
  assert.deepEqual(told.map(({ id }) => id), follower.events.map(({ id }) => id), 'nothing is missing');
  for (const { starts, ends } of lives(told)) assert.deepEqual([starts, ends.length], [1, 1], 'each reply starts and ends once');
  console.log(`moved ${report.records} records in ${report.seconds} s; ends afterwards: ${ends}`);
});
