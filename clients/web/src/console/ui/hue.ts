/** The colours of agents: hues that are told apart well, in the order in which agents come into a world. */
const HUES = [165, 285, 55, 235, 20, 120, 330, 200];

const hueOf = new Map<string, number>();

/** Gives the agents of a world their colours. An agent that has left keeps its own. */
export function assignHues(names: readonly string[]): void {
  for (const name of names) {
    if (!hueOf.has(name)) hueOf.set(name, HUES[hueOf.size % HUES.length] ?? 0);
  }
}

export function forgetHues(): void {
  hueOf.clear();
}

/** For `style`: stylesheets make text, lines and grounds of the hue. */
export function hue(name: string): { "--hue": string } {
  assignHues([name]);
  return { "--hue": String(hueOf.get(name)) };
}
