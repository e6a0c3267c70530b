/** One question of a page to the server: the newest answer, what became of the last try, and asking again. */

import { useEffect, useRef, useState } from "preact/hooks";

const SOON_MS = 3_000;

export interface Answer<T> {
  /** The newest answer, of the question before as long as this one's is under way. */
  readonly value: T | null;
  /** Whether `value` answers what is asked now. */
  readonly isCurrent: boolean;
  readonly problem: string;
}

/**
 * Asks `url` (null: nothing), again whenever `beat` changes, and after a fault by itself. A question that was refused
 * is not repeated.
 */
export function useAnswer<T>(url: string | null, beat: unknown = null): Answer<T> {
  const [found, setFound] = useState<{ readonly url: string; readonly value: T } | null>(null);
  const [fault, setFault] = useState<{ readonly url: string; readonly text: string } | null>(null);
  const [attempt, setAttempt] = useState(0);
  const busy = useRef<AbortController | null>(null);
  useEffect(() => {
    if (url === null) return;
    const asking = new AbortController();
    let retry: ReturnType<typeof setTimeout> | undefined;
    busy.current = asking;
    ask<T>(url, asking.signal).then(
      (value) => (setFound({ url, value }), setFault(null)),
      (error: Error) => {
        if (asking.signal.aborted) return;
        setFault({ url, text: error.message });
        if (!(error instanceof Refused)) retry = setTimeout(() => setAttempt((n) => n + 1), SOON_MS);
      },
    );
    return () => {
      asking.abort();
      clearTimeout(retry);
    };
  }, [url, beat, attempt]);
  return {
    value: url === null ? null : (found?.value ?? null),
    isCurrent: found !== null && found.url === url,
    problem: fault !== null && fault.url === url ? fault.text : "",
  };
}

class Refused extends Error {}

async function ask<T>(url: string, signal: AbortSignal): Promise<T> {
  const answer = await fetch(url, { signal }).catch((error: Error) => {
    throw new Error(signal.aborted ? "given up" : `the server does not answer (${error.message})`);
  });
  if (answer.ok) return (await answer.json()) as T;
  const told = (await answer.json().catch(() => null)) as { detail?: unknown; error?: { message?: string } } | null;
  const text = typeof told?.detail === "string" ? told.detail : (told?.error?.message ?? `the server answered ${answer.status}`);
  throw answer.status >= 400 && answer.status < 500 ? new Refused(text) : new Error(text);
}
