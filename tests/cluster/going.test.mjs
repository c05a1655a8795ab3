// Clients that go from node to node, and nodes and servers of NATS that are stopped, killed and started anew under load:
// nobody misses anything or gets it twice, and nothing is said twice.

import test from 'node:test';
import assert from 'node:assert/strict';
import { Cluster, Follower, eventually, history, lives, long, pause } from './cluster.mjs';

const script = { name: 'short', otherwise: { chunks: [{ text: 'word ', repeat: 4, delayMs: 10 }] } };

const idOf = ({ payload }) => payload.event?.payload.messageId;

/** Sends to any node that answers; also what is left to say once everybody is told to stop. */
const anywhere = (nodes, stop) => async (talker) => {
  for (let at = Math.floor(Math.random() * nodes.length); ; at += 1) {
    if (stop.over) throw new Error('the test is over');
    const there = await talker.go(nodes[at % nodes.length]).then(() => true, () => false);
    if (there) return;
    await pause(100);
  }
};

/** Talks until it is told to stop; the ids of what it said. */
async function talk(talker, next, stop, everyMs) {
  const said = [];
  await next(talker);
  while (!stop.done) {
    said.push(await talker.say(`message ${said.length}`, next));
    await pause(everyMs);
  }
  return said;
}

/** What every node tells of a world, which must be the same. */
async function agreed(cluster, token, world) {
  const [one, ...rest] = await Promise.all(cluster.nodes.map((node) => eventually('a history', () => history(node, token, world), 60)));
  for (const other of rest) assert.deepEqual(other, one, 'all nodes tell the same');
  return one;
}

/** Waits until nothing is left to be said, and every reply has ended. */
async function quiet(cluster, token, world, said) {
  await eventually('the end of every question', async () => {
    const events = await history(cluster.nodes[0], token, world);
    const settled = new Set(events.filter(({ payload }) => payload.event?.payload.action === 'settled').map(({ payload }) => payload.event.payload.rootId));
    return said.every((id) => settled.has(id));
  }, 120);
}

function assertWhole(follower, events) {
  assert.deepEqual(follower.faults, []);
  const last = follower.events.at(-1).seq;
  const known = events.filter(({ seq }) => seq <= last);
  assert.deepEqual(follower.events.map(({ seq, id }) => [seq, id]), known.map(({ seq, id }) => [seq, id]), 'nothing missing, nothing twice');
}

test('a client that goes to another node again and again', { timeout: 240_000 }, async (t) => {
  const cluster = await Cluster.start(t, { nats: long ? 3 : 1, nodes: 3, script });
  const token = await cluster.user();
  const [hopper, talker] = [new Follower(token, 'hops'), new Follower(token, 'hops')];
  const stop = {};
  t.after(() => (stop.done = true));
  const talking = talk(talker, async (one) => one.go(cluster.nodes[one.resumed % 3]), stop, 30);
  const [hops, stay] = long ? [60, 1_000] : [20, 150];
  for (let hop = 0; hop < hops; hop += 1) {
    await hopper.go(cluster.nodes[hop % 3]);
    await pause(stay);
  }
  stop.done = true;
  const said = await talking;
  await quiet(cluster, token, 'hops', said);
  const events = await agreed(cluster, token, 'hops');
  await hopper.go(cluster.nodes[0]);
  assertWhole(hopper, events);
  assertWhole(talker, events);
  assert.equal(hopper.events.length, events.length);
  console.log(`${hops} hops over 3 nodes, ${said.length} messages, ${events.length} events: the same order, none missing, none twice`);
});

test('nodes and servers of NATS are replaced under load', { timeout: 600_000 }, async (t) => {
  const cluster = await Cluster.start(t, { nats: 3, nodes: 2, script });
  const token = await cluster.user();
  const worlds = ['one', 'two', 'three', 'four'];
  const stop = {};
  t.after(() => (stop.done = stop.over = true));
  const next = anywhere(cluster.nodes, stop);
  const talkers = worlds.map((world) => new Follower(token, world));
  const talking = talkers.map((talker) => talk(talker, next, stop, 50));
  const rounds = long ? 5 : 1;
  const count = { nodes: 0, stopped: 0, killed: 0 };
  await pause(1_000);
  for (let round = 0; round < rounds; round += 1) {
    for (const node of cluster.nodes) {
      // One is stopped as an operator would, the other is lost.
      await node.end(count.nodes % 2 ? 'SIGKILL' : 'SIGTERM');
      await pause(500);
      await node.launch();
      count.nodes += 1;
      await pause(500);
    }
    for (const server of cluster.servers) {
      // Whichever leads the stream is among them.
      const signal = round % 2 ? 'SIGTERM' : 'SIGKILL';
      count[signal === 'SIGKILL' ? 'killed' : 'stopped'] += 1;
      await server.end(signal);
      await pause(2_000);
      await server.launch();
      // The next one goes only when this one is back.
      await pause(long ? 10_000 : 6_000);
    }
  }
  stop.done = true;
  const said = await Promise.all(talking);
  let [messages, replies] = [0, 0];
  for (const [at, world] of worlds.entries()) {
    await quiet(cluster, token, world, said[at]);
    const events = await agreed(cluster, token, world);
    const ids = events.map(idOf).filter((id) => said[at].includes(id) || id === undefined ? id : null).filter(Boolean);
    const human = events.filter(({ payload }) => payload.event?.sender === 'human').map(idOf);
    assert.deepEqual(human, said[at], `in ${world}: what was said is there, once, in its order`);
    assert.ok(ids.length >= human.length);
    for (const { starts, ends } of lives(events)) assert.deepEqual([starts, ends.length], [1, 1]);
    assertWhole(talkers[at], events);
    messages += human.length;
    replies += lives(events).length;
  }
  assert.ok(messages >= worlds.length * 20, `${messages} messages`);
  const retries = talkers.reduce((sum, { retries }) => sum + retries, 0);
  console.log(`${count.nodes} nodes and ${count.killed + count.stopped} servers of NATS replaced (${count.killed} killed): ${messages} messages ` +
    `acknowledged, ${retries} sent again with their key, none lost, none twice; ${replies} replies, each ended once`);
});

test('a node that is cut off from NATS, and clients that are cut off from a node', { timeout: 300_000 }, async (t) => {
  const slow = { name: 'slow', otherwise: { chunks: [{ text: 'word ', repeat: 100, delayMs: 50 }] } };
  const cluster = await Cluster.start(t, { nats: 1, nodes: 2, script: slow, cables: true });
  const token = await cluster.user();
  const [lonely, other] = cluster.nodes;
  const [here, there] = [new Follower(token, 'cut'), new Follower(token, 'cut')];
  for (const abruptly of [true, false]) {
    await Promise.all([here.go(lonely), there.go(other)]);
    await here.ask('chat_cancel', {});
    const root = await here.say('a question');
    await there.delta();
    const socket = here.socket;
    cluster.cables[0].sever(abruptly);
    const refused = await here.ask('chat_send', { content: 'into the void' }, { idempotencyKey: `void-${abruptly}` });
    assert.equal(refused.type, 'error', JSON.stringify(refused));
    assert.ok(refused.payload.retryable && refused.payload.retryAfterMs > 0, JSON.stringify(refused.payload));
    await eventually('degraded', async () => (await lonely.call('GET', '/health')).body.status === 'degraded', 60);
    assert.equal(await lonely.metric('degraded'), 1);
    // The other node goes on alone: with what it runs, and with what the cut off one ran.
    const beyond = await there.say('beyond the cut');
    await there.first('what was cut off or ran here', ({ payload }) => payload.event?.payload.action === 'settled' && payload.event.payload.rootId === root, 60);
    assert.equal(here.socket, socket, 'the client of the cut off node was not sent away');
    cluster.cables[0].mend();
    await eventually('healthy again', async () => (await lonely.call('GET', '/health')).body.status === 'ok', 60);
    await here.first('what was missed', (event) => idOf(event) === beyond, 60);
    assert.equal(here.socket, socket, 'by itself, on the same connection');
    // What was refused is done now, once, with the same key.
    const again = await here.ask('chat_send', { content: 'into the void' }, { idempotencyKey: `void-${abruptly}` });
    assert.equal(again.type, 'status', JSON.stringify(again));
    // Now the client loses the node: the other one has it all.
    await here.go(other);
    await here.ask('chat_cancel', {});
    await here.first('an end', ({ payload }) => payload.event?.payload.action === 'settled' && payload.event.payload.rootId === beyond, 60);
  }
  const events = await agreed(cluster, token, 'cut');
  for (const follower of [here, there]) assert.deepEqual(follower.faults, []);
  assertWhole(here, events);
  for (const { starts, ends } of lives(events)) assert.deepEqual([starts, ends.length], [1, 1]);
  const human = events.filter(({ payload }) => payload.event?.sender === 'human').map(idOf);
  assert.equal(new Set(human).size, human.length);
  assert.equal(human.length, 6, 'what was sent again with its key is there once');
  console.log(`2 cuts (reset, and silence): ${human.length} messages, ${lives(events).length} replies, each ended once; both clients saw all ${events.length} events`);
});
