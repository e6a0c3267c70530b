// Events that could not be sent, kept in localStorage until they can: on this page, or on a later one of the same site.

export interface Item {
  topic: string;
  event: Record<string, unknown>;
}

const PREFIX = "playlake:";
const MAX_CHARS = 400_000;
/** A page that has something stored writes it anew at every try; one that has not for so long is gone. */
const ALIVE_MS = 120_000;

export class Store {
  private readonly key: string;
  private written = false;

  constructor(url: string, page: string) {
    this.key = `${PREFIX}${url}:${page}`;
  }

  /** Keep these and nothing else of this page; of too many the oldest go. `last`: the page goes, the next may have them. */
  save(items: Item[], last = false): void {
    if (!items.length && !this.written) return;
    const at = last ? 0 : Date.now();
    try {
      let text = JSON.stringify({ at, items });
      while (text.length > MAX_CHARS) {
        items = items.slice(Math.ceil(items.length / 10));
        text = JSON.stringify({ at, items });
      }
      if (items.length) localStorage.setItem(this.key, text);
      else localStorage.removeItem(this.key);
      this.written = items.length > 0;
    } catch {
      // Storage is full, or forbidden in this context: the events stay in memory alone.
    }
  }

  /** What pages that are gone have left for the same collector. It is theirs no more. */
  adopt(url: string): Item[] {
    const found: Item[] = [];
    try {
      for (const key of Object.keys(localStorage)) {
        if (!key.startsWith(`${PREFIX}${url}:`) || key === this.key) continue;
        const { at, items } = JSON.parse(localStorage.getItem(key) ?? "{}") as { at?: number; items?: Item[] };
        if (Date.now() - (at ?? 0) < ALIVE_MS) continue;
        localStorage.removeItem(key);
        found.push(...(items ?? []));
      }
    } catch {
      // Forbidden, or written by somebody else: nothing to take over.
    }
    return found;
  }
}
