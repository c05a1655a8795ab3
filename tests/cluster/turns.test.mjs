// A node that runs a turn is killed, or stands still beyond its lease, at each stage of the turn. Each turn ends once, and
// nobody who was paused writes anything afterwards. And who has many turns does not keep others from theirs.

import test from 'node:test';
import assert from 'node:assert/strict';
import { Cluster, Connection, Follower, eventually, history, lives, long, pause } from './cluster.mjs';

const TURNS = long ? 100 : 8;
const STAGES = ['before the claim', 'after the claim', 'between deltas', 'after the end'];
const HARM = ['SIGKILL', 'SIGSTOP'];
/** Longer than the lease of the nodes, which is 2 s. */
const STILL = 3_500;

const isStart = ({ type, payload }) => type === 'chat_response' && !payload.complete;
const isEnd = ({ type, payload }) => type === 'chat_response' && payload.complete;
const isSettled = (root) => ({ payload }) => payload.event?.payload.action === 'settled' && payload.event.payload.rootId === root;

/** The node on which a turn runs, among those that answer. */
async function runner(nodes) {
  const running = await Promise.all(nodes.map(async (node) => [node, await node.metric('turns_running').catch(() => 0)]));
  return running.find(([, turns]) => turns > 0)?.[0] ?? null;
}

test(`${TURNS} turns whose node is killed or stopped`, { timeout: TURNS * 40_000 }, async (t) => {
  const cluster = await Cluster.start(t, {
    nats: long ? 3 : 1, nodes: 3, script: { name: 'slow', otherwise: { chunks: [{ text: 'word ', repeat: 30, delayMs: 25 }] } },
  });
  const token = await cluster.user();
  const follower = new Follower(token, 'turns');
  const count = { killed: 0, stopped: 0 };
  for (let turn = 0; turn < TURNS; turn += 1) {
    const stage = STAGES[turn % STAGES.length];
    const harm = HARM[Math.floor(turn / STAGES.length) % 2];
    const home = cluster.nodes[turn % 3];
    const others = cluster.nodes.filter((node) => node !== home);
    await follower.go(home);
    const from = follower.events.length;
    const later = (wanted) => (event) => follower.events.indexOf(event) >= from && wanted(event);
    let victims;
    let root;
    if (stage === 'before the claim') {
      // Two of the three that wait for turns hear of this one, and can do nothing about it.
      victims = others;
      for (const node of victims) node.child.kill('SIGSTOP');
      root = await follower.say(`turn ${turn}`);
      await pause(200);
    } else {
      root = await follower.say(`turn ${turn}`);
      await follower.first('a start', later(isStart));
      const node = await eventually('the node that runs the turn', () => runner(cluster.nodes), 5);
      if (stage === 'between deltas') await follower.delta();
      if (stage === 'after the end') await follower.first('an end', later(isEnd));
      victims = [node];
      node.child.kill('SIGSTOP');
    }
    if (harm === 'SIGKILL') for (const node of victims) await node.end('SIGKILL');
    count[harm === 'SIGKILL' ? 'killed' : 'stopped'] += victims.length;
    if (victims.includes(home)) await follower.go(others[0]);
    await follower.first(`the end of turn ${turn} (${stage}, ${harm})`, isSettled(root), 30);
    if (harm === 'SIGKILL') await Promise.all(victims.map((node) => node.launch()));
    else {
      await pause(STILL);
      for (const node of victims) node.child.kill('SIGCONT');
    }
  }
  // Whoever was stopped last has had time to write what it should not.
  await pause(1_000);
  assert.deepEqual(follower.faults, []);
  const [one, ...rest] = await Promise.all(cluster.nodes.map((node) => history(node, token, 'turns')));
  for (const other of rest) assert.deepEqual(other, one, 'all nodes tell the same');
  const seen = new Set(follower.events.map(({ id }) => id));
  for (const { id, seq } of one) assert.ok(seen.has(id), `event ${seq} was missed`);
  const replies = lives(one);
  assert.ok(replies.length >= TURNS, `${replies.length} replies`);
  for (const { starts, ends } of replies) assert.deepEqual([starts, ends.length], [1, 1], 'a reply starts once and ends once');
  const settled = one.filter(({ payload }) => payload.event?.payload.action === 'settled').length;
  assert.equal(settled, TURNS);
  const interrupted = replies.filter(({ ends }) => ends[0] === 'interrupted').length;
  assert.ok(interrupted >= TURNS / 4, `${interrupted} were interrupted`);
  console.log(`${TURNS} turns, ${count.killed} nodes killed, ${count.stopped} stopped beyond their lease; ${replies.length} replies, ` +
    `${interrupted} interrupted, each started once and ended once`);
});

test('turns that wait for their own user keep nobody else waiting', { timeout: 120_000 }, async (t) => {
  const cluster = await Cluster.start(t, {
    nats: 1, nodes: 1, args: ['--turns', '3', '--turns-per-user', '1'],
    script: {
      name: 'mixed', rules: [{ contains: 'at length', reply: { chunks: [{ text: 'word ', repeat: 25, delayMs: 100 }] } }],
      otherwise: { chunks: [{ text: 'yes' }] },
    },
  });
  const [node] = cluster.nodes;
  const say = async (connection, worldName, content) => {
    await connection.ask('world_select', { templateName: 'default-world', worldName });
    const ended = connection.next(({ type, payload }) => type === 'chat_response' && payload.complete);
    await connection.ask('chat_send', { content });
    return ended;
  };
  // One of these worlds has its turn, and all others wait: more than the node has places.
  const [busy, other] = [await cluster.user(), await cluster.user()];
  const many = await Promise.all(Array.from({ length: 4 }, () => Connection.open(node, busy)));
  const long = many.map((connection, at) => say(connection, `w${at}`, 'Tell me at length.'));
  await eventually('a turn', async () => (await node.metric('turns_running')) === 1 || null);
  await pause(1_000);
  const begun = Date.now();
  await say(await Connection.open(node, other), 'w', 'Well?');
  const took = Date.now() - begun;
  assert.ok(took < 2_000, `answered after ${took} ms`);
  // And those that wait have their turns, one after the other.
  await Promise.all(long);
  t.diagnostic(`answered after ${took} ms`);
});
