// kill -9 in the middle of replies. After each start, every message that was acknowledged is there, and every reply that
// began has exactly one end. KILLS says how often.

import test from 'node:test';
import assert from 'node:assert/strict';
import { launch, temporary, within } from './server.mjs';
import { Client } from './client.mjs';

const KILLS = Number(process.env.KILLS ?? 3);

const select = (after) => ({
  id: 'select',
  type: 'world_select',
  payload: { templateName: 'default-world', worldName: 'crash', persistent: true, ...(after && { after }) },
});

/** The whole history, up to the moment when it is complete. */
async function history(server, token, epoch) {
  const client = new Client(server, (ws) => ws.send(JSON.stringify(select(`${epoch}:0`))), token);
  await client.first('the end of the replay', ({ payload }) => payload.type === 'caught_up');
  client.close();
  return client.frames;
}

test(`nothing acknowledged is lost in ${KILLS} crashes`, { timeout: KILLS * 30_000 + 60_000 }, async (t) => {
  const directory = await temporary(t);
  const acknowledged = new Set();
  let server;
  t.after(() => server.child.kill('SIGKILL'));
  let token = null;
  let epoch;
  let running = 0;
  for (let round = 0; round <= KILLS; round += 1) {
    server = await launch(directory);
    if (round > 0) {
      const frames = await history(server, token, epoch);
      const messages = frames.map(({ payload }) => payload.event?.payload.messageId).filter(Boolean);
      for (const id of acknowledged) assert.ok(messages.includes(id), `message ${id} after crash ${round}`);
      assert.equal(new Set(messages).size, messages.length, 'no message is there twice');
    }
    const client = new Client(server, (ws) => ws.send(JSON.stringify(select())), token);
    const greeting = await client.first('the greeting', ({ payload }) => payload.type === 'connected');
    const selected = await client.first('the world', ({ type }) => type === 'world_selected');
    token ??= greeting.payload.data.sessionToken;
    epoch = selected.payload.cursor.split(':')[0];
    if (round === KILLS) {
      // The last start is not followed by a crash: what was left over is finished, and nothing runs any more.
      await assertEnded(server, token, epoch);
      client.close();
      break;
    }
    // What still waits from earlier rounds would add up until the queue is full.
    client.send({ id: 'clear', type: 'chat_cancel', payload: {} });
    for (const id of ['one', 'two', 'three']) {
      client.send({ id, type: 'chat_send', payload: { content: `Message ${id} of round ${round}` } });
    }
    // Somewhere between the first acknowledgement and the middle of the replies.
    const moments = [
      ['an acknowledgement', ({ replyTo }) => replyTo === 'one'],
      ['all acknowledgements', ({ replyTo }) => replyTo === 'three'],
      ['a start', ({ type }) => type === 'chat_response'],
      ['a delta', ({ type, seq }) => type === 'chat_response' && seq === undefined],
      ['an end', ({ type, payload }) => type === 'chat_response' && payload.complete],
    ];
    await client.first(...moments[round % moments.length]);
    server.child.kill('SIGKILL');
    await within(10, 'the crash', server.exited);
    for (const { replyTo, payload } of client.frames) {
      if (replyTo && payload.type === 'message_accepted') acknowledged.add(payload.data.messageId);
    }
    running += client.frames.some(({ type }) => type === 'chat_response') ? 1 : 0;
  }
  assert.ok(acknowledged.size >= KILLS, 'every round acknowledged something');
  assert.ok(running >= Math.floor(KILLS / 2), 'replies were running');
  console.log(`${acknowledged.size} acknowledged messages, ${KILLS} crashes, none lost`);
  server.child.kill('SIGTERM');
  assert.equal((await within(30, 'stopping', server.exited))[0], 0);
});

/** Waits until every question is finished, then counts starts and ends. */
async function assertEnded(server, token, epoch) {
  const client = new Client(server, (ws) => ws.send(JSON.stringify(select(`${epoch}:0`))), token);
  const open = () => {
    const roots = new Set();
    for (const { payload } of client.frames) {
      const event = payload.event?.payload;
      if (event?.messageId === event?.rootId && event?.messageId) roots.add(event.rootId);
      if (event?.action === 'settled') roots.delete(event.rootId);
    }
    return roots.size;
  };
  await client.first('the end of the replay', ({ payload }) => payload.type === 'caught_up');
  await client.first('the end of every question', () => open() === 0, 120);
  client.close();
  const pieces = client.frames.filter(({ type, seq }) => type === 'chat_response' && seq !== undefined);
  const starts = pieces.filter(({ payload }) => !payload.complete).map(({ payload }) => payload.messageId);
  const ends = pieces.filter(({ payload }) => payload.complete).map(({ payload }) => payload.messageId);
  assert.deepEqual(ends.toSorted(), starts.toSorted(), 'every start has exactly one end');
}
