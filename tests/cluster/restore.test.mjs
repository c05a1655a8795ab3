// The streams of NATS come back from a backup that is older than what clients have seen. `renew-epochs` keeps them from
// resuming in a history that went another way.

import test from 'node:test';
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { binary, plainEnvironment } from '../e2e/server.mjs';
import { Cluster, Follower } from './cluster.mjs';

const said = ({ events }) =>
  events.filter(({ payload }) => payload.eventType === 'message').map(({ payload }) => payload.event.payload.content);

test('a restored backup resumes nobody', { timeout: 120_000 }, async (t) => {
  const script = { name: 'quiet', otherwise: { chunks: [{ text: 'yes' }] } };
  const cluster = await Cluster.start(t, { nodes: 1, script });
  const [[node], [nats]] = [cluster.nodes, cluster.servers];
  const [store, backup] = ['n0', 'backup'].map((name) => join(cluster.directory, name));
  const stop = async () => {
    await node.end('SIGTERM');
    await nats.end('SIGTERM');
  };
  const token = await cluster.user();
  const follower = new Follower(token, 'w');
  await follower.go(node);
  const key = { idempotencyKey: randomUUID() };
  const first = await follower.ask('chat_send', { content: '@human one' }, key);
  await stop();
  await cp(store, backup, { recursive: true });
  await nats.launch();
  await node.launch();
  await follower.go(node);
  await follower.say('@human lost');
  await follower.first('what will be lost', () => said(follower).includes('@human lost'));

  await stop();
  await rm(store, { recursive: true });
  await cp(backup, store, { recursive: true });
  await nats.launch();
  const { stdout } = await promisify(execFile)(binary, ['renew-epochs', ...cluster.storage()], { env: plainEnvironment() });
  assert.equal(stdout, '1 worlds have new epochs\n');
  await node.launch();
  const another = new Follower(token, 'w');
  await another.go(node);
  for (let at = 0; at < 5; at += 1) await another.say(`@human other ${at}`);
  await assert.rejects(follower.go(node), /"UNRESUMABLE".*"epoch"/);
  // The key counted within the old epoch: now it stands for another message.
  const again = await another.ask('chat_send', { content: '@human again' }, key);
  assert.notEqual(again.payload.data.messageId, first.payload.data.messageId);
  await another.first('all of it', () => said(another).includes('@human again'));
  assert.deepEqual(said(another), ['@human one', ...[0, 1, 2, 3, 4].map((at) => `@human other ${at}`), '@human again']);
});
