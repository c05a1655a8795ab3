import { type Signal, useSignal } from "@preact/signals";
import type { RefObject } from "preact";
import { useEffect } from "preact/hooks";
import { nextPicture } from "../ui/picture.js";

/** How near to the end counts as at the end, in pixels. */
const NEAR = 40;
/** How long after the hand of a user, and after a change of the content, a scroll is put down to it, in milliseconds. */
const BY_HAND_MS = 600;
const BY_CHANGE_MS = 300;

export interface StickyEnd {
  /** Whether the end is held in sight while the content grows. */
  sticks: Signal<boolean>;
  toEnd(): void;
  /** The content has changed its height. */
  resized(): void;
  scrolled(): void;
}

/**
 * Holds the end of a list in sight until somebody scrolls up. A list that measures its rows as it shows them scrolls by
 * itself, too; so what counts is who moved it.
 */
export function useStickyEnd(scroller: RefObject<HTMLElement | null>): StickyEnd {
  const sticks = useSignal(true);
  const times = useSignal({ hand: -Infinity, change: -Infinity, top: 0 }).peek();

  useEffect(() => {
    const { current } = scroller;
    if (current === null) return;
    const up = (event: Event): void => {
      const isDown = (event instanceof WheelEvent && event.deltaY >= 0) || (event instanceof KeyboardEvent && !/^(Arrow|Page)Up$|^Home$|^ $/.test(event.key));
      if (!isDown) times.hand = performance.now();
    };
    const kinds = ["wheel", "touchmove", "keydown", "pointerdown", "pointermove"] as const;
    const listen = (event: Event): void => {
      // A pointer moves the list only with the scroll bar held.
      if (event.type !== "pointermove" || (event as PointerEvent).buttons > 0) up(event);
    };
    for (const kind of kinds) current.addEventListener(kind, listen, { passive: true });
    return () => kinds.forEach((kind) => current.removeEventListener(kind, listen));
  }, []);

  const toEnd = (): void => {
    const { current } = scroller;
    if (current === null) return;
    sticks.value = true;
    times.change = performance.now();
    current.scrollTop = current.scrollHeight;
    times.top = current.scrollTop;
  };
  const hold = (): void => {
    if (sticks.peek()) toEnd();
  };
  return {
    sticks,
    toEnd,
    resized: () => {
      times.change = performance.now();
      hold();
      // Rows that are measured now may be placed with the next picture.
      nextPicture(hold);
    },
    scrolled: () => {
      const { current } = scroller;
      if (current === null) return;
      const { scrollTop, scrollHeight, clientHeight } = current;
      const now = performance.now();
      if (scrollHeight - scrollTop - clientHeight < NEAR) sticks.value = true;
      else if (scrollTop < times.top && (now - times.hand < BY_HAND_MS || now - times.change > BY_CHANGE_MS)) sticks.value = false;
      times.top = scrollTop;
    },
  };
}
