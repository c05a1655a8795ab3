// A client that trusts nothing: every frame is held against the schemas that the server itself publishes.

import assert from 'node:assert/strict';
import Ajv from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import WebSocket from 'ws';
import { within } from './server.mjs';

/** Checks frames by the schemas found at `/schema/…` of the server at `http`. */
export class Schemas {
  #ajv;
  #validators = new Map();

  constructor(http) {
    this.#ajv = addFormats(
      new Ajv({
        strict: false,
        allErrors: true,
        // Every schema lies at the path of its `$id`.
        loadSchema: async (uri) => {
          const answer = await fetch(http + new URL(uri).pathname);
          assert.equal(answer.status, 200, uri);
          return answer.json();
        },
      }),
    );
  }

  async #compile(reference) {
    if (!this.#validators.has(reference)) {
      const schema = { $ref: `https://agent-world.example/schema/${reference}` };
      this.#validators.set(reference, await this.#ajv.compileAsync(schema));
    }
    return this.#validators.get(reference);
  }

  async check(frame) {
    const parts = [
      ['envelope.json#/$defs/ServerEnvelope', frame],
      [`server/${frame.type}.json`, frame.payload],
    ];
    for (const [reference, value] of parts) {
      const validate = await this.#compile(reference);
      assert.ok(validate(value), `${reference}: ${this.#ajv.errorsText(validate.errors)}\n${JSON.stringify(frame)}`);
    }
  }
}

/** A WebSocket connection that keeps, and checks, every frame that it receives. */
export class Client {
  frames = [];
  #schemas;
  #socket;
  #checking = Promise.resolve();
  #changed = () => {};
  #fault = null;

  /** `onopen` gets the socket as soon as it is open, as a page's own handler would. */
  constructor({ ws, http }, onopen = () => {}, token = null) {
    this.#schemas = new Schemas(http);
    this.#socket = new WebSocket(ws, token ? ['agent-world.v1', `bearer.${token}`] : []);
    this.#socket.onopen = () => onopen(this.#socket);
    this.#socket.onerror = ({ message }) => this.#fail(new Error(message));
    this.#socket.onclose = ({ code }) => this.#fail(new Error(`closed with ${code}`));
    this.#socket.onmessage = ({ data }) => {
      this.#checking = this.#checking.then(async () => {
        const frame = JSON.parse(data);
        await this.#schemas.check(frame);
        this.frames.push(frame);
        this.#changed();
      }).catch((error) => this.#fail(error));
    };
  }

  #fail(error) {
    this.#fault ??= error;
    this.#changed();
  }

  /** The first frame that satisfies `wanted`, now or later. */
  async first(what, wanted, seconds = 60) {
    const found = (async () => {
      for (;;) {
        if (this.#fault) throw this.#fault;
        const frame = this.frames.find(wanted);
        if (frame) return frame;
        await new Promise((resolve) => (this.#changed = resolve));
      }
    })();
    return within(seconds, what, found).catch((error) => {
      const seen = this.frames.map((frame) => JSON.stringify(frame).slice(0, 200)).join('\n');
      throw new Error(`${error.message}; the frames were:\n${seen}`);
    });
  }

  send(frame) {
    this.#socket.send(JSON.stringify(frame));
  }

  close() {
    this.#socket.onclose = null;
    this.#socket.close();
  }
}

export const isSettled = (rootId) => ({ payload }) =>
  payload.event?.payload.action === 'settled' && payload.event.payload.rootId === rootId;

/**
 * The replies in `frames`, each checked for its shape: a start, deltas that join up, exactly one end that holds the
 * text of the deltas.
 */
export function replies(frames) {
  const found = new Map();
  for (const { seq, payload: piece } of frames.filter(({ type }) => type === 'chat_response')) {
    const reply = found.get(piece.messageId);
    if (!reply) {
      assert.equal(piece.complete, false, 'a reply begins with its start');
      assert.equal(piece.content, '');
      assert.ok(seq, 'a start is durable');
      found.set(piece.messageId, { agentName: piece.agentName, text: '', deltas: 0, end: null });
      continue;
    }
    assert.equal(reply.end, null, 'nothing follows the end');
    assert.equal(piece.agentName, reply.agentName);
    if (piece.complete) {
      assert.ok(seq, 'an end is durable');
      reply.end = piece;
      continue;
    }
    assert.equal(seq, undefined, 'a delta is not durable');
    reply.deltas += 1;
    const before = [...reply.text];
    assert.ok(piece.offset <= before.length, 'deltas leave no gap');
    reply.text = before.slice(0, piece.offset).join('') + piece.content;
  }
  for (const reply of found.values()) {
    assert.ok(reply.end, `the reply of ${reply.agentName} has an end`);
    if (reply.end.finishReason === 'stop' || reply.end.finishReason === 'length') {
      assert.equal(reply.end.content, reply.text, 'the end holds the text of the deltas');
    }
  }
  return [...found.values()];
}

export function assertSeqIncreases(frames) {
  const seqs = frames.map(({ seq }) => seq).filter((seq) => seq !== undefined);
  seqs.reduce((last, seq) => (assert.ok(seq > last, `seq ${seq} follows ${last}`), seq), 0);
}
