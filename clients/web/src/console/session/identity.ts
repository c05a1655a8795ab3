// Who this browser is, kept for the next visit. The token of a new user becomes valid with the first world that is
// selected; until then it is not worth keeping, and another tab may have made a better one.

const TOKEN = "agent-world.token";
const LAST = "agent-world.last-world";

function read(key: string): string | undefined {
  try {
    return localStorage.getItem(key) ?? undefined;
  } catch {
    return undefined;
  }
}

function write(key: string, value: string | undefined): void {
  try {
    if (value === undefined) localStorage.removeItem(key);
    else localStorage.setItem(key, value);
  } catch {
    // A browser that keeps nothing has a new user at every visit.
  }
}

export const keptToken = (): string | undefined => read(TOKEN);
export const keepToken = (token: string | undefined): void => write(TOKEN, token);

export const lastWorld = (): string | undefined => read(LAST);
export const rememberWorld = (worldName: string | undefined): void => write(LAST, worldName);

/** Calls `listener` when another tab has kept a token. */
export function onTokenOfAnotherTab(listener: (token: string) => void): void {
  addEventListener("storage", ({ key, newValue }) => {
    if (key === TOKEN && newValue !== null) listener(newValue);
  });
}
