// What Node does for the same verdict: JSON.parse and ajv, with the schema of the whole frame. Prints nanoseconds for
// each, as JSON by the name of the frame. The first argument is the bundle of schemas.
import { readFileSync } from 'node:fs';
import Ajv from 'ajv/dist/2020.js';
import formats from 'ajv-formats';

const bundle = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const ajv = new Ajv({ allowUnionTypes: true });
formats(ajv);
ajv.addSchema({ ...bundle, $id: 'bundle' });

// The texts of benches/benches/codec.rs.
const frame = (type, payload) =>
  `{"id":"msg-0001","type":"${type}","timestamp":"2026-11-25T12:00:00.000Z","payload":${JSON.stringify(payload)}}`;
const words = [...'What do you think of this, said Zoë, "quoted" and all?\n'];
const chat = (length) => {
  const content = Array.from({ length: length - 150 }, (_, at) => words[at % words.length]).join('');
  return frame('chat_send', { content, sender: 'HUMAN', worldName: 'my-world' });
};
const cases = {
  ping: ['PingMessage', frame('ping', {})],
  'chat of 300 bytes': ['ChatSendMessage', chat(300)],
  'chat of 8 KB': ['ChatSendMessage', chat(8192)],
};

const median = (values) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];
const found = {};
for (const [name, [definition, text]] of Object.entries(cases)) {
  const valid = ajv.compile({ $ref: `bundle#/$defs/${definition}` });
  const rounds = Math.ceil(2e7 / text.length);
  const samples = Array.from({ length: 15 }, () => {
    const started = process.hrtime.bigint();
    for (let at = 0; at < rounds; at++) {
      if (!valid(JSON.parse(text))) throw new Error(`${name}: ${ajv.errorsText(valid.errors)}`);
    }
    return Number(process.hrtime.bigint() - started) / rounds;
  });
  found[`decode ${name}/JSON.parse and ajv in Node`] = median(samples.slice(5));
}
console.log(JSON.stringify(found));
