// Runs every test file, says how many tests there were, and fails when there are fewer than there should be.

import { spawn } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

const FLOOR = 40;

const here = fileURLToPath(new URL(".", import.meta.url));
const only = process.argv.slice(2);
const files = readdirSync(here).filter((name) => name.endsWith(".test.js") && (only.length === 0 || only.some((part) => name.includes(part))));
const report = `${here}report.tap`;
const child = spawn(
  process.execPath,
  ["--test", "--test-concurrency=1", "--test-reporter=spec", "--test-reporter-destination=stdout", "--test-reporter=tap", `--test-reporter-destination=${report}`, "--test-timeout=400000", ...files],
  { cwd: here, stdio: "inherit" },
);
child.on("exit", (code) => {
  const count = (what: string): number => Number(new RegExp(`^# ${what} (\\d+)$`, "m").exec(readFileSync(report, "utf8"))?.[1] ?? 0);
  const passed = count("pass");
  console.log(`${passed} tests passed, ${count("fail")} failed, ${count("skipped")} skipped, in ${files.length} files; at least ${FLOOR} must pass`);
  process.exit(code !== 0 || count("skipped") > 0 || (only.length === 0 && passed < FLOOR) ? 1 : 0);
});
