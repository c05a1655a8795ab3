import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { announce } from "./announce.js";
import { Icon } from "./icon.js";

/** Copies a text. Without a clipboard, which pages without TLS on other hosts than this one have not, a selection does. */
async function copy(text: string): Promise<void> {
  if (navigator.clipboard !== undefined) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

export function CopyButton({ text, what }: { text: () => string; what: string }): JSX.Element {
  const done = useSignal(false);
  const click = (): void => {
    copy(text()).then(
      () => {
        done.value = true;
        announce(`${what} copied`);
        setTimeout(() => (done.value = false), 1500);
      },
      () => announce("The browser does not let this page copy", true),
    );
  };
  return (
    <button type="button" class="quiet small" onClick={click} aria-label={`Copy ${what}`} title={`Copy ${what}`}>
      <Icon name="copy" />
      <span>{done.value ? "Copied" : "Copy"}</span>
    </button>
  );
}
