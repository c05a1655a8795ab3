// Parses AsyncAPI documents with the reference parser; any diagnostic, down to a hint, is a failure.
import { readFile } from 'node:fs/promises';
import { Parser } from '@asyncapi/parser';

const IGNORED = new Set([
  'asyncapi-latest-version', // asks for AsyncAPI 3.1, which generators do not read yet
]);

let failed = false;
for (const path of process.argv.slice(2)) {
  const { document, diagnostics } = await new Parser().parse(await readFile(path, 'utf8'));
  const found = diagnostics.filter(({ code }) => !IGNORED.has(code));
  for (const { code, message, path: at } of found) console.error(`${path}#/${at.join('/')}: ${code}: ${message}`);
  if (!document || found.length > 0) {
    failed = true;
    continue;
  }
  const operations = document.operations().all();
  const requests = operations.filter((operation) => operation.reply());
  const messages = document.messages().all();
  // A moved folder must not pass silently.
  if (requests.length < 9 || messages.length < 20) failed = true;
  console.log(`${path}: ${operations.length} operations, ${requests.length} with a reply, ${messages.length} messages`);
}
process.exit(failed ? 1 : 0);
