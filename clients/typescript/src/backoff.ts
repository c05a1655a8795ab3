/** How to come back after a connection was lost. */
export interface ReconnectOptions {
  /** The longest pause before the first attempt, in milliseconds; it doubles with each. Default 250. */
  initialDelayMs?: number | undefined;
  /** The longest pause at all. Default 10,000. */
  maxDelayMs?: number | undefined;
  /** How many attempts may fail in a row. Default: without end. */
  maxAttempts?: number | undefined;
}

/**
 * The pause before an attempt (the first is 1): somewhere between nothing and the exponential bound, so that the
 * clients of a restarted server do not come all at once; never less than the server asked for.
 */
export function backoff(attempt: number, options: ReconnectOptions, retryAfterMs = 0, random = Math.random): number {
  const { initialDelayMs = 250, maxDelayMs = 10_000 } = options;
  const bound = Math.min(maxDelayMs, initialDelayMs * 2 ** Math.min(attempt - 1, 30));
  return Math.round(retryAfterMs + random() * bound);
}
