// What the renderer leaves without a name or out of reach of the keyboard, for those who need either.

const NAMES: readonly [selector: string, name: string][] = [
  ["select.examples-select-element", "Example"],
  ["textarea.body-param__text", "Request body"],
  [".body-param select, .opblock-section-request-body select", "Media type of the request"],
  [".response-controls select, .responses-wrapper select", "Media type of the answer"],
  [".parameters select", "Value"],
  [".parameters input", "Value"],
  ["select", "Choice"],
];

function name(within: HTMLElement): void {
  for (const [selector, name] of NAMES) {
    for (const element of within.querySelectorAll<HTMLElement>(selector)) {
      const named = element.ariaLabel !== null || (element as HTMLInputElement).labels?.length;
      if (!named) element.ariaLabel = name;
    }
  }
  for (const block of within.querySelectorAll<HTMLElement>("pre")) if (block.tabIndex < 0) block.tabIndex = 0;
}

/** Names everything in `within`, now and whenever it changes, until what it returns is called. */
export function nameAll(within: HTMLElement): () => void {
  const observer = new MutationObserver(() => name(within));
  observer.observe(within, { childList: true, subtree: true });
  name(within);
  return () => observer.disconnect();
}
