// Compiles every published schema with ajv in strict mode, and holds every example in every document to its schema.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import Ajv from 'ajv/dist/2020.js';
import formats from 'ajv-formats';

const root = process.argv[2];
const read = (path) => JSON.parse(readFileSync(join(root, path), 'utf8'));
const failures = [];
const counts = {};

const count = (what) => (counts[what] = (counts[what] ?? 0) + 1);

function compiler() {
  const ajv = new Ajv({ strict: true, allowUnionTypes: true, allErrors: true });
  formats(ajv);
  return ajv;
}

/** Compiles; a schema that ajv's strict mode refuses is a failure. */
function compile(ajv, ref, what) {
  try {
    count(what);
    return ajv.compile({ $ref: ref });
  } catch (error) {
    failures.push(`${ref}: ${error.message}`);
    return () => true;
  }
}

function check(validate, value, where, what) {
  count(what);
  if (!validate(value)) failures.push(`${where}: ${JSON.stringify(validate.errors)}`);
}

// The schemas, each at its $id.
const paths = readdirSync(join(root, 'generated/schema'), { recursive: true }).filter((path) => path.endsWith('.json'));
const files = paths.map((path) => [path, read(join('generated/schema', path))]);
const ajv = compiler();
for (const [, schema] of files) ajv.addSchema(schema);
for (const [path, schema] of files) {
  const id = `https://agent-world.example/schema/${path}`;
  if (schema.$id !== id) failures.push(`${path}: its $id is ${schema.$id}`);
  const validate = compile(ajv, id, 'schema files');
  for (const name of Object.keys(schema.$defs ?? {})) compile(ajv, `${id}#/$defs/${name}`, 'definitions');
  (schema.examples ?? []).forEach((example, at) => check(validate, example, `${path} example ${at}`, 'message examples'));
}

// The counter-examples of what clients send and people write. What the server sends is published open.
for (const path of readdirSync(join(root, 'schema'), { recursive: true })) {
  if (!path.endsWith('.invalid.json') || path.startsWith('server/')) continue;
  const id = `https://agent-world.example/schema/${path.replace('.invalid', '')}`;
  const source = read(join('schema', path.replace('.invalid', '')));
  const body = source['x-route']?.request['application/json'].$ref;
  const validate = ajv.compile({ $ref: body ? new URL(body, id).href : id });
  for (const { why, payload, request } of read(join('schema', path))) {
    count('counter-examples');
    if (validate(payload ?? request)) failures.push(`${path}: ajv accepts what must be refused: ${why}`);
  }
}

// The definition of the history's page stands for frames, which no file holds.
const page = read('schema/http/listEvents.json')['x-examples'].example.response.body;
check(ajv.compile({ $ref: 'https://agent-world.example/schema/http/listEvents.json#/$defs/EventPage' }), page, 'EventPage', 'message examples');

// The bundle, and the frames of AsyncAPI by it.
const bundle = compiler();
const bundled = read('generated/schema-bundle.json');
bundle.addSchema(bundled, 'bundle');
const definition = {};
for (const name of Object.keys(bundled.$defs)) definition[name] = compile(bundle, `bundle#/$defs/${name}`, 'bundle definitions');
for (const name of ['asyncapi.json', 'asyncapi-client.json']) {
  const document = read(`generated/${name}`);
  const own = compiler();
  own.addSchema({ $defs: components(document) }, 'components');
  for (const [key, message] of Object.entries(document.components.messages)) {
    const validate = compile(own, `components#/$defs/${key}`, 'AsyncAPI frames');
    const any = definition[message.tags[0].name === 'request' ? 'ClientMessage' : 'ServerMessage'];
    message.examples.forEach(({ payload }, at) => {
      check(validate, payload, `${name} ${key} example ${at}`, 'AsyncAPI examples');
      check(any, payload, `${name} ${key} example ${at}, as any frame`, 'AsyncAPI examples');
    });
  }
}

// The examples of OpenAPI.
const openapi = read('generated/openapi.json');
const api = compiler();
api.addSchema({ $defs: components(openapi) }, 'components');
const compiled = new Map();
function schemaOf(schema) {
  const key = JSON.stringify(moved(schema));
  if (!compiled.has(key)) compiled.set(key, api.compile(rebased(schema)));
  return compiled.get(key);
}
for (const [path, item] of Object.entries(openapi.paths)) {
  for (const [method, operation] of Object.entries(item)) {
    const where = `${method} ${path}`;
    const contents = [operation.requestBody, ...Object.values(operation.responses)].flatMap((body) => Object.entries(body?.content ?? {}));
    const holders = [...(operation.parameters ?? []), ...contents.map(([, content]) => content)];
    for (const { schema, examples } of holders) {
      for (const [name, { value }] of Object.entries(examples ?? {})) check(schemaOf(schema), value, `${where} ${name}`, 'OpenAPI examples');
    }
    for (const { examples } of contents.filter(([media]) => media === 'text/event-stream').map(([, content]) => content)) {
      for (const [name, { value }] of Object.entries(examples ?? {})) {
        for (const line of value.split('\n').filter((line) => line.startsWith('data: '))) {
          check(definition.ServerMessage, JSON.parse(line.slice(6)), `${where} ${name}`, 'frames in streams');
        }
      }
    }
  }
}

/** The components of a document as definitions: without what is not JSON Schema. */
function components(document) {
  return moved(document.components.schemas);
}

function moved(value) {
  const text = JSON.stringify(value, (key, inner) => (key === 'discriminator' ? undefined : inner));
  return JSON.parse(text.replaceAll('#/components/schemas/', '#/$defs/'));
}

/** A schema outside the components: its references lead there. */
function rebased(schema) {
  return JSON.parse(JSON.stringify(moved(schema)).replaceAll('"#/$defs/', '"components#/$defs/'));
}

// A moved folder must not pass silently.
const floors = {
  'schema files': 55,
  definitions: 100,
  'message examples': 60,
  'bundle definitions': 150,
  'AsyncAPI frames': 40,
  'AsyncAPI examples': 200,
  'OpenAPI examples': 190,
  'counter-examples': 100,
  'frames in streams': 4,
};
for (const [what, floor] of Object.entries(floors)) {
  if ((counts[what] ?? 0) < floor) failures.push(`only ${counts[what] ?? 0} ${what}, expected at least ${floor}`);
}
for (const failure of failures) console.error(failure);
console.log(Object.entries(counts).map(([what, count]) => `${count} ${what}`).join(', '));
process.exit(failures.length > 0 ? 1 : 0);
