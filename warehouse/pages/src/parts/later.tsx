/** A page in a bundle of its own, so that the others need not wait for it. */

import { useEffect, useState } from "preact/hooks";

export function later(load: () => Promise<() => preact.JSX.Element>): () => preact.JSX.Element {
  return function Later() {
    const [page, setPage] = useState<{ readonly View: () => preact.JSX.Element } | null>(null);
    const [problem, setProblem] = useState("");
    useEffect(() => {
      load().then(
        (View) => setPage({ View }),
        (error: Error) => setProblem(error.message),
      );
    }, []);
    if (page) return <page.View />;
    return <main class="waiting">{problem && <p role="alert">The page cannot be loaded ({problem}). Load it again.</p>}</main>;
  };
}
