/**
 * Whether a wait of so many milliseconds has an end: 0 has none, and timers count in 31 bits, so that `Infinity` and
 * what is longer than 24 days would be over at once.
 */
export function ends(ms: number): boolean {
  return ms > 0 && ms < 2 ** 31;
}
