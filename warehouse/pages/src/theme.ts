/** Dark or light: the system's wish, or what the viewer chose. Colours live in styles/palette.css alone. */

import { computed, signal } from "@preact/signals";

export type Theme = "dark" | "light";

export const theme = signal<Theme>(document.documentElement.dataset.theme === "light" ? "light" : "dark");

export function toggleTheme(): void {
  set(theme.value === "dark" ? "light" : "dark");
  localStorage.setItem("theme", theme.value);
}

export function followSystemTheme(): void {
  matchMedia("(prefers-color-scheme: light)").addEventListener("change", (event) => {
    if (localStorage.getItem("theme") === null) set(event.matches ? "light" : "dark");
  });
}

function set(chosen: Theme): void {
  document.documentElement.dataset.theme = chosen;
  theme.value = chosen;
}

/** Pixels of one rem: canvases know no rem. */
export const rem = (): number => parseFloat(getComputedStyle(document.documentElement).fontSize);

/** Pixels of a desk's screen as those of this one: on a wall, which is read from afar, they grow with the rem. */
export const onWall = (pixels: number): number => pixels * Math.max(1, rem() / 16);

/** Looks a colour of the palette up, for canvases, which know no CSS variables. */
export const palette = computed(() => {
  void theme.value;
  const style = getComputedStyle(document.documentElement);
  return (name: string): string => style.getPropertyValue(`--${name}`).trim();
});
