import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { draining, reconnectNow, state } from "./connection.js";

/** The state of the connection, always in sight. */
export function ConnectionBadge(): JSX.Element {
  const now = state.value;
  const left = useCountdown(now.status === "reconnecting" ? now.delayMs : 0, now);
  let text = "Connected";
  let kind = "good";
  if (now.status === "connecting") [text, kind] = ["Connecting…", "busy"];
  else if (now.status === "reconnecting") [text, kind] = [left > 0 ? `Reconnecting in ${left} s` : "Reconnecting…", "busy"];
  else if (now.status === "closed" || now.status === "refused") [text, kind] = ["Not connected", "bad"];
  else if (draining.value) [text, kind] = ["Server is restarting", "busy"];
  const why = "cause" in now && now.cause ? now.cause.message : undefined;
  return (
    <div class={`connection ${kind}`} data-status={now.status} title={why}>
      <span class="dot" aria-hidden="true" />
      <span class="words">{text}</span>
      {now.status === "reconnecting" && now.delayMs > 0 && (
        <button type="button" onClick={reconnectNow} aria-label="Reconnect now">
          Now
        </button>
      )}
    </div>
  );
}

/** Seconds that are left of `ms`, from when `key` changed. */
function useCountdown(ms: number, key: unknown): number {
  const left = useSignal(0);
  useEffect(() => {
    const end = performance.now() + ms;
    const tick = (): void => void (left.value = Math.ceil(Math.max(0, end - performance.now()) / 1000));
    tick();
    if (ms <= 0) return;
    const timer = setInterval(tick, 250);
    return () => clearInterval(timer);
  }, [key]);
  return left.value;
}
