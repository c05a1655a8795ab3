import type { ComponentChildren, JSX } from "preact";
import { nextTheme, theme } from "./theme.js";
import icon from "./icon.svg";
import "./top-bar.css";

const THEME_ICON = {
  system: <path d="M12 3a9 9 0 1 0 0 18zM12 3a9 9 0 0 1 0 18" />,
  light: <path d="M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8M12 2v2m0 16v2M4.9 4.9l1.4 1.4m11.4 11.4 1.4 1.4M2 12h2m16 0h2M4.9 19.1l1.4-1.4M17.7 6.3l1.4-1.4" />,
  dark: <path d="M20 14.5A8.5 8.5 0 0 1 9.5 4 8.5 8.5 0 1 0 20 14.5z" />,
};

/** The bar at the top of both pages. What a page shows of itself stands at the right, before the theme. */
export function TopBar({ page, children }: { page: "console" | "docs"; children?: ComponentChildren }): JSX.Element {
  return (
    <header class="top-bar">
      <a class="brand" href="/" aria-label="Agent World">
        <img src={icon} alt="" width="26" height="26" />
        <span>Agent World</span>
      </a>
      <nav aria-label="Pages">
        <a href="/" aria-current={page === "console" ? "page" : undefined}>
          Console
        </a>
        <a href="/docs" aria-current={page === "docs" ? "page" : undefined}>
          Documents
        </a>
      </nav>
      <div class="aside">
        {children}
        <button type="button" class="icon-button" onClick={nextTheme} aria-label={`Colours: ${theme.value}. Change`} title={`Colours: ${theme.value}`}>
          <svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.75" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">
            {THEME_ICON[theme.value]}
          </svg>
        </button>
      </div>
    </header>
  );
}
