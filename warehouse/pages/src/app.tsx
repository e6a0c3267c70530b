/** The frame around every page: header above, the page that the address names below. */

import { render } from "preact";
import { start } from "./data/store";
import { Header } from "./parts/header";
import { later } from "./parts/later";
import { Now } from "./pages/now";
import { Parity } from "./pages/parity";
import { Quality } from "./pages/quality";
import { Reference } from "./pages/reference";
import { Session } from "./pages/session";
import { Titles } from "./pages/titles";
import { followSystemTheme } from "./theme";

export interface Page {
  readonly path: string;
  readonly title: string;
  /** Whether the header offers a time range. */
  readonly hasRange: boolean;
  readonly view: () => preact.JSX.Element;
}

/** A new page is a file in pages/, a line here, and its address in warehouse/dashboard/router.py. */
const PAGES: readonly [Page, ...Page[]] = [
  { path: "/", title: "Now", hasRange: true, view: Now },
  { path: "/cohorts", title: "Quality", hasRange: false, view: Quality },
  { path: "/titles", title: "Titles", hasRange: false, view: Titles },
  { path: "/session", title: "Session", hasRange: false, view: Session },
  { path: "/sql", title: "SQL", hasRange: false, view: later(() => import("./pages/sql").then(({ Sql }) => Sql)) },
  { path: "/parity", title: "Parity", hasRange: false, view: Parity },
  { path: "/reference", title: "Reference", hasRange: false, view: Reference },
];

function App() {
  const page = PAGES.find(({ path }) => path === location.pathname) ?? PAGES[0];
  return (
    <>
      <Header pages={PAGES} current={page} />
      <page.view />
    </>
  );
}

const root = document.getElementById("app");
if (root) {
  followSystemTheme();
  start();
  render(<App />, root);
}
