import { effect, signal } from "@preact/signals";

/** As the system says, or as somebody chose here. */
export type Theme = "system" | "light" | "dark";

const KEY = "agent-world.theme";
const ORDER: readonly Theme[] = ["system", "light", "dark"];

function stored(): Theme {
  try {
    return ORDER.find((theme) => theme === localStorage.getItem(KEY)) ?? "system";
  } catch {
    return "system";
  }
}

export const theme = signal<Theme>(stored());

effect(() => {
  const { dataset } = document.documentElement;
  if (theme.value === "system") delete dataset["theme"];
  else dataset["theme"] = theme.value;
});

/** Goes on to the next theme, and keeps it for the next visit. */
export function nextTheme(): void {
  theme.value = ORDER[(ORDER.indexOf(theme.value) + 1) % ORDER.length] ?? "system";
  try {
    localStorage.setItem(KEY, theme.value);
  } catch {
    // A browser that keeps nothing shows it until the page is left.
  }
}

// Other tabs follow.
addEventListener("storage", ({ key }) => {
  if (key === KEY) theme.value = stored();
});
