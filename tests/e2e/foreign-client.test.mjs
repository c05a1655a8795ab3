// The frames of the first description of this protocol, exactly as written there, sent by a client that is not ours.

import test from 'node:test';
import assert from 'node:assert/strict';
import { startServer } from './server.mjs';
import { Client, assertSeqIncreases, isSettled, replies } from './client.mjs';

test('the documented frames are answered, and the replies come back complete', async (t) => {
  const server = await startServer(t);
  const client = new Client(server, (ws) => {
    // Select a world
    ws.send(JSON.stringify({
      id: 'msg-1',
      type: 'world_select',
      timestamp: new Date().toISOString(),
      payload: {
        templateName: 'default-world',
        worldName: 'my-world',
        persistent: false
      }
    }));

    // Send chat message
    ws.send(JSON.stringify({
      id: 'msg-2',
      type: 'chat_send',
      timestamp: new Date().toISOString(),
      payload: {
        content: 'Hello, agents!',
        sender: 'HUMAN'
      }
    }));
  });
  t.after(() => client.close());

  const accepted = await client.first('the acknowledgement', ({ replyTo }) => replyTo === 'msg-2');
  assert.equal(accepted.payload.type, 'message_accepted', JSON.stringify(accepted));
  const { messageId, answering } = accepted.payload.data;
  await client.first('the end of the question', isSettled(messageId));

  const [first, second] = client.frames;
  assert.equal(first.payload.type, 'connected');
  assert.match(first.payload.data.sessionToken, /^[A-Za-z0-9_-]{43}$/);
  assert.equal(second.type, 'world_selected');
  assert.equal(second.replyTo, 'msg-1');
  assert.equal(second.payload.worldName, 'my-world');
  assert.deepEqual(answering, second.payload.agents.map(({ name }) => name));

  const heard = replies(client.frames);
  for (const name of answering) {
    const own = heard.filter(({ agentName }) => agentName === name);
    assert.ok(own.length >= 1, `${name} answers`);
    for (const { deltas, end } of own) {
      assert.equal(end.finishReason, 'stop', JSON.stringify(end));
      assert.ok(deltas > 1, `${name} streams: ${deltas} deltas`);
    }
  }
  assertSeqIncreases(client.frames);
});

test('a frame with a typo is refused with its place, and the connection lives', async (t) => {
  const server = await startServer(t);
  const client = new Client(server, (ws) => {
    const payload = { templateName: 'default-world', wordlName: 'my-world' };
    ws.send(JSON.stringify({ id: 'typo', type: 'world_select', payload }));
    ws.send(JSON.stringify({ id: 'after', type: 'ping' }));
  });
  t.after(() => client.close());
  const refused = await client.first('the refusal', ({ replyTo }) => replyTo === 'typo');
  assert.equal(refused.payload.code, 'INVALID_MESSAGE');
  assert.deepEqual(refused.payload.details.errors.map(({ keyword }) => keyword).sort(), [
    'additionalProperties',
    'required',
  ]);
  await client.first('the pong', ({ type, replyTo }) => type === 'pong' && replyTo === 'after');
});
