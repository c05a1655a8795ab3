// Two agents with a real language model, which talk to each other. What a small model says is nobody's to predict:
// only the shape of the conversation is checked.

import test from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { startServer, temporary, within } from './server.mjs';
import { Client, assertSeqIncreases, isSettled, replies } from './client.mjs';

// A Python that has the packages of requirements.txt; `.ci/run` makes one.
const python = process.env.E2E_PYTHON;
const TURNS = 3;

/** Starts the model's server, and ends it with the test. */
async function startModel(t) {
  const script = new URL('model_server.py', import.meta.url).pathname;
  const child = spawn(python, [script], { stdio: ['pipe', 'pipe', 'ignore'] });
  const exited = once(child, 'exit');
  t.after(async () => {
    // It lives as long as its standard input.
    child.stdin.end();
    await within(10, 'stopping the model', exited).catch(() => child.kill('SIGKILL'));
  });
  const address = new Promise((resolve, reject) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      if (line.startsWith('listening ')) resolve(line.slice('listening '.length));
    });
    child.on('error', reject);
    exited.then(([code]) => reject(new Error(`the model's server exited with ${code}`)));
  });
  return within(60, 'starting the model', address);
}

function agent(name, baseUrl) {
  const systemPrompt = `You are ${name}. Answer in one short sentence.`;
  const config = { provider: 'openai-compatible', baseUrl, model: 'smollm2', systemPrompt, maxTokens: 24 };
  return { name, config: { ...config, temperature: 0 } };
}

test('two agents with a real model talk to each other', { skip: !python && !process.env.CI }, async (t) => {
  assert.ok(python, 'E2E_PYTHON names a Python that has the packages of requirements.txt');
  const baseUrl = `${await startModel(t)}/v1`;
  const templates = await temporary(t);
  const template = {
    name: 'two-minds',
    description: 'Two agents that talk to each other.',
    turnLimit: TURNS,
    agents: [agent('ada', baseUrl), agent('ben', baseUrl)],
  };
  await mkdir(join(templates, 'two-minds'));
  await writeFile(join(templates, 'two-minds', 'template.json'), JSON.stringify(template));

  const server = await startServer(t, ['--templates', templates]);
  const client = new Client(server, (ws) => {
    const select = { templateName: 'two-minds', worldName: 'talk' };
    ws.send(JSON.stringify({ id: 'select', type: 'world_select', payload: select }));
    // Said in Ada's name: so Ben's answer goes to her, hers to him, until one of them reaches the turn limit.
    ws.send(JSON.stringify({ id: 'say', type: 'chat_send', payload: {
      content: '@ben What is the capital of France?', sender: 'ada',
    } }));
  });
  t.after(() => client.close());
  const accepted = await client.first('the acknowledgement', ({ replyTo }) => replyTo === 'say');
  assert.deepEqual(accepted.payload.data?.answering, ['ben'], JSON.stringify(accepted));
  await client.first('the end of the conversation', isSettled(accepted.payload.data.messageId), 240);

  const heard = replies(client.frames);
  for (const { agentName, deltas, end } of heard) {
    assert.ok(['stop', 'length'].includes(end.finishReason), `${agentName}: ${JSON.stringify(end)}`);
    assert.ok(deltas >= 1, `${agentName} streams`);
    assert.ok(end.usage?.inputTokens > 0 && end.usage?.outputTokens > 0, `${agentName}: ${JSON.stringify(end.usage)}`);
  }
  const speakers = new Set(heard.map(({ agentName }) => agentName));
  assert.deepEqual([...speakers].sort(), ['ada', 'ben'], 'both agents speak');
  assert.ok(heard.length <= 2 * TURNS, 'the turn limit holds');
  assertSeqIncreases(client.frames);
});
