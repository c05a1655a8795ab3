// A cluster under test: servers of NATS and nodes, as processes on loopback ports, and a client that goes from node to
// node.

import { spawn } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { createRequire } from 'node:module';
import { binary, plainEnvironment, root, within } from '../e2e/server.mjs';

// The packages of the end-to-end tests.
const WebSocket = createRequire(join(root, 'tests/e2e/'))('ws');

export const long = process.env.AW_LONG === '1';
const natsServer = process.env.NATS_SERVER;
const certificate = process.env.NATS_CERTIFICATE;
if (!natsServer || !certificate) throw new Error('NATS_SERVER or NATS_CERTIFICATE is not set: start these tests with tests/cluster/run.sh');

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Tries until `attempt` answers something, for at most `seconds`. */
export async function eventually(what, attempt, seconds = 60) {
  const deadline = Date.now() + seconds * 1000;
  for (;;) {
    const found = await attempt().catch(() => null);
    if (found) return found;
    if (Date.now() > deadline) throw new Error(`${what}: not within ${seconds} s`);
    await pause(20);
  }
}

export async function freePort() {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  probe.close();
  await once(probe, 'close');
  return port;
}

/** A process that is ended when the test is. */
class Process {
  start(program, args, options = {}) {
    this.child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'], ...options });
    this.exited = once(this.child, 'exit');
    this.log ??= [];
    createInterface({ input: this.child.stderr }).on('line', (line) => {
      this.log.push(line);
      if (line.includes('panicked')) this.panic ??= line;
    });
  }

  get running() {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  async end(signal) {
    if (!this.running) return;
    this.child.kill(signal);
    // One that stands still hears nothing.
    if (signal !== 'SIGKILL') this.child.kill('SIGCONT');
    await within(60, `ending after ${signal}`, this.exited);
  }
}

export class Nats extends Process {
  constructor(cluster, at) {
    super();
    Object.assign(this, { cluster, at, name: `n${at}` });
  }

  async launch() {
    const { ports, routes, directory, sync, secured } = this.cluster;
    const routed = routes.length > 1
      ? `cluster { name: c, host: "127.0.0.1", port: ${routes[this.at]}, routes: [${routes.map((port) => `"nats://127.0.0.1:${port}"`)}] }`
      : '';
    const guarded = secured
      ? `tls { cert_file: "${certificate}", key_file: "${process.env.NATS_KEY}" }\nauthorization { user: agents, password: "p@ss/word" }`
      : '';
    const config = join(directory, `${this.name}.conf`);
    await writeFile(config, `server_name: ${this.name}\nhost: "127.0.0.1"\nport: ${ports[this.at]}\n${routed}\n${guarded}
      jetstream { store_dir: "${join(directory, this.name)}"${sync ? ', sync_interval: always' : ''} }\n`);
    this.start(natsServer, ['-c', config]);
    // A node that finds nobody does not start.
    await eventually('a server of NATS that listens', async () => {
      const probe = connect(ports[this.at], '127.0.0.1');
      await once(probe, 'connect').finally(() => probe.destroy());
      return true;
    }, 30);
  }
}

/** A way to NATS that can be cut. */
export class Cable {
  static async to(port) {
    const cable = new Cable();
    cable.ends = new Set();
    cable.cut = false;
    cable.server = createServer((near) => {
      if (cable.cut) return near.destroy();
      const far = connect(port, '127.0.0.1');
      for (const [end, other] of [[near, far], [far, near]]) {
        cable.ends.add(end);
        end.on('data', (bytes) => cable.cut || other.write(bytes));
        end.on('error', () => {});
        end.on('close', () => { cable.ends.delete(end); other.destroy(); });
      }
    }).listen(0, '127.0.0.1');
    await once(cable.server, 'listening');
    cable.port = cable.server.address().port;
    return cable;
  }

  /** `abruptly`: the connections are reset; otherwise whatever is sent is lost. */
  sever(abruptly) {
    this.cut = true;
    if (abruptly) for (const end of this.ends) end.destroy();
  }

  mend() {
    this.cut = false;
    for (const end of this.ends) end.destroy();
  }

  close() {
    this.sever(true);
    this.server.close();
  }
}

export class Node extends Process {
  constructor(cluster, nats) {
    super();
    Object.assign(this, { cluster, nats });
  }

  async launch() {
    this.port ??= await freePort();
    this.address = `127.0.0.1:${this.port}`;
    const { directory, args } = this.cluster;
    const storage = this.nats
      ? [...this.cluster.storage(this.nats), '--nats-replicas', `${this.cluster.servers.length}`, '--lease', '2s']
      : ['--data-dir', join(directory, 'data')];
    this.start(binary, [
      'serve', '--listen', this.address, ...storage, '--drain-timeout', '10s',
      '--script', join(directory, 'script.json'), ...args,
    ], { cwd: directory, env: plainEnvironment() });
    await eventually('a node that answers', async () => (await fetch(`http://${this.address}/health`)).ok, 60)
      .catch((error) => { throw new Error(`${error.message}:\n${this.log.slice(-20).join('\n')}`); });
  }

  async metric(name) {
    const text = await (await fetch(`http://${this.address}/metrics`)).text();
    return Number(text.match(new RegExp(`^agent_world_${name} (.*)$`, 'm'))[1]);
  }

  async call(method, path, { token, body, key } = {}) {
    const headers = { 'content-type': 'application/json', accept: 'application/json' };
    if (token) headers.authorization = `Bearer ${token}`;
    if (key) headers['idempotency-key'] = key;
    const answer = await fetch(`http://${this.address}${path}`, {
      method, headers, body: body && JSON.stringify(body), signal: AbortSignal.timeout(20_000),
    });
    return { status: answer.status, body: answer.status === 204 ? null : await answer.json() };
  }
}

export class Cluster {
  static directory() {
    return mkdtemp(join(tmpdir(), 'agent-world-cluster-'));
  }

  /** So many servers of NATS, and nodes. What the model says is `script`. `secured`: over TLS, with a password. */
  static async start(t, { nats = 1, nodes = 2, script, args = [], cables = false, directory = null, sync = false, secured = false }) {
    const cluster = new Cluster();
    cluster.directory = directory ?? (await Cluster.directory());
    Object.assign(cluster, { args, sync, secured, nodes: [], cables: [] });
    await writeFile(join(cluster.directory, 'key'), randomBytes(32).toString('base64'));
    await writeFile(join(cluster.directory, 'script.json'), JSON.stringify(script));
    cluster.ports = await Promise.all(Array.from({ length: nats }, freePort));
    cluster.routes = await Promise.all(Array.from({ length: nats }, freePort));
    cluster.servers = cluster.ports.map((_, at) => new Nats(cluster, at));
    t.after(() => cluster.end());
    for (const server of cluster.servers) await server.launch();
    for (let at = 0; at < nodes; at += 1) {
      let { ports } = cluster;
      if (cables) {
        cluster.cables.push(await Cable.to(cluster.ports[at % nats]));
        ports = [cluster.cables.at(-1).port];
      }
      const node = new Node(cluster, cluster.url(ports));
      cluster.nodes.push(node);
      await node.launch();
    }
    return cluster;
  }

  /** What these servers of NATS are called. */
  url(ports = this.ports) {
    const start = this.secured ? 'tls://agents:p%40ss%2Fword@' : 'nats://';
    return ports.map((port) => `${start}127.0.0.1:${port}`).join(',');
  }

  /** The options that lead to them. */
  storage(url = this.url()) {
    const secured = this.secured ? ['--nats-ca', certificate, '--nats-prefix', 'one-of-two'] : [];
    return ['--nats', url, '--cluster-key', join(this.directory, 'key'), ...secured];
  }

  /** A new user, whose token every node knows. */
  async user() {
    const { body } = await this.nodes[0].call('POST', '/session', { body: {} });
    return body.sessionToken;
  }

  async end() {
    const faults = this.nodes.filter((node) => node.panic).map((node) => node.panic);
    for (const one of [...this.nodes, ...this.servers]) await one.end('SIGKILL');
    for (const cable of this.cables) cable.close();
    // For whoever looks into a failure.
    if (process.env.AW_SHOW) for (const node of this.nodes) console.log(node.log.filter((line) => line.match(process.env.AW_SHOW)).join('\n'));
    await rm(this.directory, { recursive: true, force: true });
    if (faults.length) throw new Error(`a node panicked: ${faults.join('; ')}`);
  }
}

/** A connection that asks and listens. */
export class Connection {
  #asked = 0;
  #waiting = [];

  static async open(node, token) {
    const connection = new Connection();
    connection.socket = new WebSocket(`ws://${node.address}/ws`, ['agent-world.v1', ...(token ? [`bearer.${token}`] : [])]);
    connection.greeting = connection.next(({ payload }) => payload.type === 'connected');
    connection.socket.on('message', (data) => connection.#hear(JSON.parse(data)));
    await once(connection.socket, 'open');
    return connection;
  }

  #hear(frame) {
    const at = this.#waiting.findIndex(({ wanted }) => wanted(frame));
    if (at >= 0) this.#waiting.splice(at, 1)[0].resolve(frame);
  }

  /** The next frame that is `wanted`. */
  next(wanted) {
    return within(60, 'a frame', new Promise((resolve) => this.#waiting.push({ wanted, resolve })));
  }

  async ask(type, payload) {
    const id = `c-${(this.#asked += 1)}`;
    const answer = this.next(({ replyTo }) => replyTo === id);
    this.socket.send(JSON.stringify({ id, type, payload }));
    const frame = await answer;
    if (frame.type === 'error') throw new Error(JSON.stringify(frame.payload));
    return frame;
  }

  close() {
    this.socket.terminate();
  }
}

/**
 * Follows a world through nodes that come and go: after each change it resumes behind the last event that it saw. Keeps
 * what it sees, and refuses what is not in order.
 */
export class Follower {
  events = [];
  deltas = 0;
  resumed = 0;
  faults = [];
  retries = 0;
  #asked = 0;
  #asking = new Map();
  #cursor = null;
  #changed = () => {};

  constructor(token, world) {
    Object.assign(this, { token, world });
  }

  /** Goes to that node. Answers when it has caught up there. */
  async go(node) {
    this.leave();
    const socket = new WebSocket(`ws://${node.address}/ws`, ['agent-world.v1', `bearer.${this.token}`]);
    this.socket = socket;
    let subscribed = false;
    const there = new Promise((resolve, reject) => {
      socket.onopen = () => this.#send('select', 'world_select', {
        templateName: 'default-world', worldName: this.world, persistent: true,
      });
      socket.onerror = ({ message }) => reject(new Error(message));
      socket.onclose = ({ code }) => {
        reject(new Error(`closed with ${code}`));
        if (this.socket === socket) this.leave();
      };
      socket.onmessage = ({ data }) => {
        if (this.socket !== socket) return;
        const frame = JSON.parse(data);
        if (frame.type === 'error' && ['select', 'subscribe'].includes(frame.replyTo)) reject(new Error(JSON.stringify(frame.payload)));
        if (frame.type === 'world_selected') {
          this.#cursor ??= `${frame.payload.cursor.split(':')[0]}:0`;
          this.#send('subscribe', 'event_subscribe', { eventTypes: ['message', 'world', 'sse', 'system'], after: this.#cursor });
        }
        if (frame.replyTo === 'subscribe') subscribed = true;
        // What came before belongs to the subscription that selecting began.
        if (frame.seq !== undefined && !subscribed) return;
        if (frame.payload.type === 'caught_up') resolve();
        this.#take(frame);
      };
    });
    await within(30, 'catching up', there);
    this.resumed += 1;
  }

  #send(id, type, payload, more = {}) {
    if (this.socket?.readyState !== WebSocket.OPEN) throw new Error('there is no connection');
    this.socket.send(JSON.stringify({ id, type, payload, ...more }));
  }

  /** Sends a request on this connection; the answer, or the error it was refused with. */
  async ask(type, payload, more) {
    const id = `ask-${(this.#asked += 1)}`;
    this.#send(id, type, payload, more);
    const answer = new Promise((resolve, reject) => this.#asking.set(id, { resolve, reject }));
    // An append whose answer was lost is asked after for 15 seconds, and this one may stand behind it.
    return within(40, type, answer);
  }

  /**
   * Says something, once, however often it takes: with the same key, and on whatever node `next` names. Answers the
   * message's id.
   */
  async say(content, next = async () => {}) {
    const idempotencyKey = randomUUID();
    for (;;) {
      const answer = await this.ask('chat_send', { content }, { idempotencyKey }).catch((error) => ({ error }));
      if (answer.type === 'status') return answer.payload.data.messageId;
      if (answer.type === 'error' && !answer.payload.retryable) throw new Error(JSON.stringify(answer.payload));
      this.retries += 1;
      await pause(answer.payload?.retryAfterMs ?? 100);
      await next(this);
    }
  }

  #take(frame) {
    this.#asking.get(frame.replyTo)?.resolve(frame);
    this.#asking.delete(frame.replyTo);
    if (frame.type === 'chat_response' && frame.seq === undefined) this.deltas += 1;
    if (frame.seq === undefined) return this.#changed();
    const last = this.events.at(-1)?.seq ?? 0;
    if (frame.seq <= last) this.faults.push(`seq ${frame.seq} came after ${last}`);
    this.events.push(frame);
    this.#cursor = `${this.#cursor.split(':')[0]}:${frame.seq}`;
    this.#changed();
  }

  /** The first event that is `wanted`, now or later. */
  async first(what, wanted, seconds = 60) {
    const found = (async () => {
      for (;;) {
        const event = this.events.find(wanted);
        if (event) return event;
        await new Promise((resolve) => (this.#changed = resolve));
      }
    })();
    return within(seconds, what, found);
  }

  async delta() {
    const before = this.deltas;
    const came = (async () => {
      while (this.deltas === before) await new Promise((resolve) => (this.#changed = resolve));
    })();
    return within(30, 'a delta', came);
  }

  leave() {
    for (const { reject } of this.#asking.values()) reject(new Error('the connection is gone'));
    this.#asking.clear();
    if (!this.socket) return;
    this.socket.onclose = this.socket.onerror = this.socket.onmessage = () => {};
    this.socket.terminate();
    this.socket = null;
  }
}

/** Everything that a node knows of a world, from its beginning. */
export async function history(node, token, world) {
  const page = async (after) => {
    const query = new URLSearchParams({ limit: '500', types: 'message,world,sse,system', ...(after && { after }) });
    const { status, body } = await node.call('GET', `/worlds/${world}/events?${query}`, { token });
    if (status !== 200) throw new Error(`${status} ${JSON.stringify(body)}`);
    return body;
  };
  const events = [];
  let after = `${(await page()).cursor.split(':')[0]}:0`;
  while (after) {
    const { events: some, next } = await page(after);
    events.push(...some);
    after = next;
  }
  return events;
}

/** What a history says of replies: for each how often it started and ended. */
export function lives(events) {
  const lives = new Map();
  for (const { seq, type, payload } of events) {
    if (type !== 'chat_response' || seq === undefined) continue;
    const life = lives.get(payload.messageId) ?? { starts: 0, ends: [] };
    if (payload.complete) life.ends.push(payload.finishReason);
    else life.starts += 1;
    lives.set(payload.messageId, life);
  }
  return [...lives.values()];
}
