#!/usr/bin/env node
// The two storages beside each other: SQLite on one node, and JetStream on one and on three servers, as it is and with
// `sync_interval: always`. Writes a table in Markdown to standard output, for docs/SCALING.md.
//
//   cargo build --release && AGENT_WORLD_BIN=target/release/agent-world NATS_SERVER=… benches/shared.mjs [REPETITIONS]
//
// `tests/cluster/run.sh` installs nats-server under target/cluster/venv/bin and ws under tests/e2e.

import { join } from 'node:path';
import { Cluster, Connection } from '../tests/cluster/cluster.mjs';
import { root } from '../tests/e2e/server.mjs';

const repetitions = Number(process.argv[2] ?? 3);
const [ALONE, TOGETHER, EACH] = [300, 64, 40];

const STORAGES = [
  ['SQLite, one node', {}],
  ['JetStream, 1 server', { nats: 1 }],
  ['JetStream, 1 server, sync always', { nats: 1, sync: true }],
  ['JetStream, 3 servers', { nats: 3 }],
  ['JetStream, 3 servers, sync always', { nats: 3, sync: true }],
];

const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
const since = (start) => Number(process.hrtime.bigint() - start) / 1e6;
const now = () => process.hrtime.bigint();

/** One storage, once: milliseconds, and messages per second. */
async function measure({ nats = 0, sync = false }) {
  const after = [];
  const cluster = await Cluster.start({ after: (end) => after.push(end) }, {
    nats, sync, nodes: nats ? 2 : 1, script: { name: 'none', otherwise: { chunks: [{ text: 'Nobody asks.' }] } },
    args: ['--templates', join(root, 'benches/worlds'), '--log', 'error', '--chat-rate', '1000000', '--chat-burst', '1000000'],
  });
  try {
    const [here, there = here] = cluster.nodes;
    const token = await cluster.user();
    const chat = (connection) => connection.ask('chat_send', { content: 'A message that must not be lost.' });
    const writer = await Connection.open(here, token);
    const { payload: { cursor } } = await writer.ask('world_select', { templateName: 'quiet', worldName: 'w' });
    const reader = await Connection.open(there, token);
    await reader.ask('world_select', { templateName: 'quiet', worldName: 'w' });

    const [append, tail] = [[], []];
    for (let message = 0; message < ALONE; message += 1) {
      const heard = reader.next(({ payload }) => payload.event?.type === 'message');
      const start = now();
      const told = heard.then(() => tail.push(since(start)));
      await chat(writer);
      append.push(since(start));
      await told;
    }

    const writers = await Promise.all(Array.from({ length: TOGETHER }, async (_, at) => {
      const connection = await Connection.open(cluster.nodes[at % cluster.nodes.length], token);
      await connection.ask('world_select', { templateName: 'quiet', worldName: `w${at}` });
      await connection.ask('event_unsubscribe', {});
      return connection;
    }));
    const start = now();
    await Promise.all(writers.map(async (connection) => {
      for (let message = 0; message < EACH; message += 1) await chat(connection);
    }));
    const rate = (TOGETHER * EACH) / (since(start) / 1_000);

    // A client that comes back to a node that has forgotten the world, and was away for a thousand events.
    const resumes = [];
    for (let round = 0; round < 5; round += 1) {
      const connection = await Connection.open(there, token);
      const start = now();
      const caught = connection.next(({ payload }) => payload.type === 'caught_up');
      await connection.ask('world_select', { templateName: 'quiet', worldName: 'w', after: cursor });
      await caught;
      resumes.push(since(start));
      connection.close();
    }
    for (const connection of [writer, reader, ...writers]) connection.close();
    return { append: median(append), tail: median(tail), rate, resume: median(resumes) };
  } finally {
    for (const end of after) await end();
  }
}

const results = STORAGES.map(() => []);
for (let repetition = 0; repetition < repetitions; repetition += 1) {
  for (const [at, [name, options]] of STORAGES.entries()) {
    const figures = await measure(options);
    process.stderr.write(`${name}: ${JSON.stringify(figures)}\n`);
    results[at].push(figures);
  }
}
const spread = (figures, row, digits) => {
  const values = figures.map((one) => one[row]);
  const show = (value) => value.toLocaleString('en', { maximumFractionDigits: digits, minimumFractionDigits: digits });
  return `${show(median(values))} (${show(Math.min(...values))}–${show(Math.max(...values))})`;
};
console.log(`| | message acknowledged, alone, ms | event at a client of the other node, ms | messages per second, ${TOGETHER} worlds | resume over ${3 * ALONE} events, ms |`);
console.log('|---|---|---|---|---|');
for (const [at, [name]] of STORAGES.entries()) {
  const figures = results[at];
  console.log(`| ${name} | ${spread(figures, 'append', 2)} | ${spread(figures, 'tail', 2)} | ${spread(figures, 'rate', 0)} | ${spread(figures, 'resume', 1)} |`);
}
