import type { JSX } from "preact";

/** Drawn on 24 × 24, with strokes. */
const PATHS = {
  agents: "M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7M2.5 20c.6-3.4 3.2-5.5 6.5-5.5s5.9 2.1 6.5 5.5M16 4.5a3.3 3.3 0 0 1 0 6.3M18.3 14.9c1.7.8 2.8 2.5 3.2 5.1",
  frames: "M7 4v13m0 0-3.5-3.5M7 17l3.5-3.5M17 20V7m0 0-3.5 3.5M17 7l3.5 3.5",
  compose: "M8 4H6.5A2.5 2.5 0 0 0 4 6.5v3L2.5 12 4 14.5v3A2.5 2.5 0 0 0 6.5 20H8M16 4h1.5A2.5 2.5 0 0 1 20 6.5v3l1.5 2.5-1.5 2.5v3a2.5 2.5 0 0 1-2.5 2.5H16M12 9v6m-3-3h6",
  chat: "M4 5.5h16v11H9.5L5 20v-3.5H4z",
  worlds: "M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17M3.5 12h17M12 3.5c2.5 2.6 3.7 5.4 3.7 8.5s-1.2 5.9-3.7 8.5c-2.5-2.6-3.7-5.4-3.7-8.5s1.2-5.9 3.7-8.5",
  close: "m6 6 12 12M18 6 6 18",
  send: "M4.5 12h14m0 0-6-6m6 6-6 6",
  stop: "M7 7h10v10H7z",
  retry: "M19.5 12a7.5 7.5 0 1 1-2.2-5.3L19.5 9m0-5v5h-5",
  copy: "M9 9h10.5v10.5H9zM5.5 15H4.5V4.5H15v1",
  download: "M12 4v11m0 0-4.5-4.5M12 15l4.5-4.5M5 20h14",
  pause: "M8.5 5.5v13m7-13v13",
  play: "M8 5.5v13l10-6.5z",
  trash: "M4.5 6.5h15M9.5 6.5V4.5h5v2M6.5 6.5l1 13h9l1-13M10.5 10.5v5m3-5v5",
  plus: "M12 5v14m-7-7h14",
  down: "M12 5v13m0 0-5.5-5.5M12 18l5.5-5.5",
  chevron: "m7 10 5 5 5-5",
  back: "M14.5 6 9 12l5.5 6",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: IconName }): JSX.Element {
  return (
    <svg class="icon" viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.75" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}
