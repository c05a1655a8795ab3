// What one node does, the others know: tokens that are revoked, worlds that are deleted or that nobody uses any more, agents
// that are changed, replies that are cancelled.

import test from 'node:test';
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Cluster, Connection, Follower, eventually, history, lives, pause } from './cluster.mjs';

const script = { name: 'slow', otherwise: { chunks: [{ text: 'word ', repeat: 60, delayMs: 30 }] } };
const GRACE = 2_000;

test('what one node does, the others know', { timeout: 120_000 }, async (t) => {
  const cluster = await Cluster.start(t, { nats: 1, nodes: 2, script, args: ['--grace', `${GRACE}ms`] });
  const [one, two] = cluster.nodes;
  const select = (connection, worldName, more = {}) =>
    connection.ask('world_select', { templateName: 'default-world', worldName, ...more });

  await t.test('a revoked token ends its connections everywhere', async () => {
    const token = await cluster.user();
    const connection = await Connection.open(two, token);
    await select(connection, 'w');
    const closed = once(connection.socket, 'close');
    assert.equal((await one.call('DELETE', '/session', { token })).status, 204);
    const [code] = await closed;
    assert.ok(code >= 4000, `closed with ${code}`);
    assert.equal((await two.call('GET', '/session/worlds', { token })).status, 401);
  });

  await t.test('a revoked token ends its streams everywhere', async () => {
    const token = await cluster.user();
    assert.equal((await one.call('PUT', '/worlds/w', { token, body: { templateName: 'default-world' } })).status, 201);
    const headers = { authorization: `Bearer ${token}`, accept: 'text/event-stream' };
    const stream = await fetch(`http://${two.address}/worlds/w/events`, { headers, signal: AbortSignal.timeout(30_000) });
    assert.equal((await one.call('DELETE', '/session', { token })).status, 204);
    assert.match(await stream.text(), /"code":"UNAUTHENTICATED"/);
  });

  await t.test('who sends without a pause gets the past all the same', async () => {
    const token = await cluster.user();
    const connection = await Connection.open(two, token);
    const { payload } = await select(connection, 'w');
    for (let at = 0; at < 20; at += 1) await connection.ask('chat_send', { content: `@human ${at}` });
    const after = payload.cursor.replace(/:\d+$/, ':0');
    const past = connection.next(({ payload: { type } }) => type === 'caught_up');
    await select(connection, 'w', { after });
    // All of them at once, so that there is always one more to be read.
    const flood = 10_000;
    let pongs = 0;
    const all = new Promise((resolve) => {
      connection.socket.on('message', (data) => {
        if (JSON.parse(data).type === 'pong' && (pongs += 1) === flood) resolve();
      });
    });
    for (let at = 0; at < flood; at += 1) connection.socket.send(JSON.stringify({ id: `p-${at}`, type: 'ping', payload: {} }));
    await past;
    const before = pongs;
    await all;
    t.diagnostic(`caught up behind ${before} of ${flood} pongs`);
    assert.ok(before < flood / 2, `only behind ${before} of ${flood} pongs`);
    connection.close();
  });

  await t.test('a cursor that one node gave is good on the other at once', async () => {
    const token = await cluster.user();
    const [here, there] = [await Connection.open(one, token), await Connection.open(two, token)];
    const { payload } = await select(here, 'w');
    await select(there, 'w');
    for (let at = 0; at < 50; at += 1) {
      const accepted = await there.ask('chat_send', { content: `@human ${at}` });
      const after = payload.cursor.replace(/:\d+$/, `:${accepted.payload.data.seq}`);
      await here.ask('event_subscribe', { after });
    }
    here.close();
    there.close();
  });

  await t.test('what is too much for one append together is stored all the same', async () => {
    const token = await cluster.user();
    const talkers = await Promise.all(Array.from({ length: 40 }, () => Connection.open(one, token)));
    for (const talker of talkers) await select(talker, 'w');
    // While NATS stands still the first is on its way, and all others wait for it, together.
    const [nats] = cluster.servers;
    nats.child.kill('SIGSTOP');
    const said = talkers.map((talker, at) => talker.ask('chat_send', { content: `@human ${at} ${'x'.repeat(32_000)}` }));
    await pause(300);
    nats.child.kill('SIGCONT');
    const ids = (await Promise.all(said)).map(({ payload }) => payload.data.messageId);
    const there = new Set((await history(two, token, 'w')).map(({ payload }) => payload.event?.payload.messageId));
    assert.ok(ids.every((id) => there.has(id)), 'every message is there');
    for (const talker of talkers) talker.close();
  });

  await t.test('a token that one node gave a connection is good for writing through another', async () => {
    const connection = await Connection.open(one, null);
    const { payload } = await connection.greeting;
    const token = payload.data.sessionToken;
    const made = await two.call('PUT', '/worlds/w', { token, body: { templateName: 'default-world' } });
    assert.equal(made.status, 201, JSON.stringify(made.body));
    await select(connection, 'w');
    const wrong = await two.call('PUT', '/worlds/w', { token: 'A'.repeat(43), body: { templateName: 'default-world' } });
    assert.equal(wrong.status, 401);
    connection.close();
  });

  await t.test('a deleted world is gone everywhere', async () => {
    const token = await cluster.user();
    const connection = await Connection.open(two, token);
    await select(connection, 'w', { persistent: true });
    const closed = once(connection.socket, 'close');
    assert.equal((await one.call('DELETE', '/worlds/w', { token })).status, 204);
    // Who follows a world that is deleted is told by the close code.
    assert.ok((await closed)[0] >= 4000);
    assert.equal((await two.call('GET', '/worlds/w', { token })).status, 404);
    const { body } = await two.call('GET', '/session/worlds', { token });
    assert.deepEqual(body, []);
  });

  await t.test('an ephemeral world stays while somebody is in it anywhere, and goes when nobody is', async () => {
    const token = await cluster.user();
    // Both know it; only on the second somebody stays.
    const [passing, staying] = [await Connection.open(one, token), await Connection.open(two, token)];
    await select(passing, 'w');
    await select(staying, 'w');
    passing.close();
    await pause(3 * GRACE);
    assert.equal((await one.call('GET', '/worlds/w', { token })).status, 200);
    staying.close();
    await eventually('the world is gone', async () => {
      const { body } = await one.call('GET', '/session/worlds', { token });
      return body.length === 0;
    }, 30);
    assert.equal((await two.call('GET', '/worlds/w', { token })).status, 404);
  });

  await t.test('an agent that is changed on one node is changed on the other', async () => {
    const token = await cluster.user();
    const connection = await Connection.open(two, token);
    await select(connection, 'w');
    const changed = await one.call('PATCH', '/worlds/w/agents/guide', { token, body: { config: { apiKey: 'sk-secret', systemPrompt: 'Be brief.' } } });
    assert.equal(changed.status, 200, JSON.stringify(changed.body));
    const { body } = await two.call('GET', '/worlds/w/agents/guide', { token });
    assert.deepEqual([body.config.systemPrompt, body.config.hasApiKey], ['Be brief.', true]);
    connection.close();
  });

  await t.test('a reply can be cancelled from any node, and ends once', async () => {
    const token = await cluster.user();
    const followers = [new Follower(token, 'cancel'), new Follower(token, 'cancel')];
    for (const [at, follower] of followers.entries()) await follower.go(cluster.nodes[at]);
    const rounds = 6;
    for (let round = 0; round < rounds; round += 1) {
      const [asker, canceller] = round % 2 ? followers : followers.toReversed();
      const root = await asker.say(`question ${round}`);
      await canceller.delta();
      const cancelled = await canceller.ask('chat_cancel', { messageId: root });
      assert.equal(cancelled.payload.type, 'cancelled', JSON.stringify(cancelled));
      const settled = ({ payload }) => payload.event?.payload.action === 'settled' && payload.event.payload.rootId === root;
      for (const follower of followers) await follower.first('the end', settled);
    }
    for (const follower of followers) assert.deepEqual(follower.faults, []);
    const replies = lives(await history(one, token, 'cancel'));
    for (const { starts, ends } of replies) assert.deepEqual([starts, ends.length], [1, 1]);
    assert.ok(replies.filter(({ ends }) => ends[0] === 'cancelled').length >= rounds);
    for (const follower of followers) follower.leave();
  });
});
