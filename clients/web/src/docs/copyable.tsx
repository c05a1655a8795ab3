import type { JSX } from "preact";
import { useRef, useState } from "preact/hooks";

/** A block of code with a button that copies it. */
export function Copyable({ text, label }: { text: string; label: string }): JSX.Element {
  const [copied, setCopied] = useState(false);
  const code = useRef<HTMLPreElement>(null);
  const copy = async (): Promise<void> => {
    try {
      await navigator.clipboard.writeText(text);
      setCopied(true);
      setTimeout(() => setCopied(false), 2000);
    } catch {
      // Without permission, or without TLS on another host: selected, it is one key away.
      if (code.current) getSelection()?.selectAllChildren(code.current);
    }
  };
  return (
    <figure class="copyable">
      <pre ref={code} tabindex={0} aria-label={label}>
        <code>{text}</code>
      </pre>
      <button type="button" class="button small" onClick={() => void copy()} aria-label={`Copy: ${label}`}>
        <span aria-live="polite">{copied ? "Copied" : "Copy"}</span>
      </button>
    </figure>
  );
}

export const pretty = (value: unknown): string => JSON.stringify(value, null, 2);
