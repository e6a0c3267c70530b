// The SDK: `playlake.watch(video, {...})` and `playlake.track(type, fields)`, for a page that loads /sdk.js.

import { UI_TOPIC, type UiEvents } from "../build/contract";
import { iso, randomId } from "./clock";
import { Sender } from "./sender";
import type { Viewer } from "./session";
import { Watch, type WatchOptions } from "./watch";

/** Where to send, and who watches. All of it may be given once to `configure`, or each time. */
export interface Settings extends Viewer {
  /** The collector, e.g. `https://events.example.com`. Where the SDK was loaded from, if it is not given. */
  endpoint?: string | undefined;
  /** The write key, where the collector wants one. */
  key?: string | undefined;
}

const script = document.currentScript as HTMLScriptElement | null;
let settings: Settings = {};
const senders = new Map<string, Sender>();
const watches = new Map<HTMLVideoElement, Watch>();
/** A page's visit stands in for the account of somebody who has none. */
const visit = randomId();

function senderOf({ endpoint, key }: Settings): Sender {
  const url = (endpoint ?? (script?.src ? new URL(script.src).origin : location.origin)).replace(/\/+$/, "");
  const name = `${url} ${key ?? ""}`;
  let sender = senders.get(name);
  if (!sender) senders.set(name, (sender = new Sender(url, key)));
  return sender;
}

/** What holds for all that follows. */
export function configure(given: Settings): void {
  settings = { ...settings, ...given };
}

/**
 * Report what a video element plays, until `stop()` or the end of the page. A second call for the same element ends
 * the first: that is how the next title is announced.
 */
export function watch(video: HTMLVideoElement, options: WatchOptions & Settings): Watch {
  watches.get(video)?.stop("replaced");
  const { endpoint, key, ...about } = { ...settings, ...options };
  const watching = new Watch(video, senderOf({ endpoint, key }), about, () => watches.delete(video));
  watches.set(video, watching);
  return watching;
}

/** Report what the viewer does around playback, e.g. `track("click", { target: "play", contentId })`. */
export function track<T extends keyof UiEvents>(type: T, fields: UiEvents[T]): void {
  const { endpoint, key, ...viewer } = settings;
  const event = { ...viewer, ...fields };
  senderOf({ endpoint, key }).push(UI_TOPIC, {
    eventType: type,
    timestamp: iso(Date.now()),
    eventId: randomId(),
    ...(event.userId ? {} : { sessionId: visit }),
    deviceType: "web",
    ...event,
  });
}

/** Send what waits now. */
export function flush(): void {
  for (const sender of senders.values()) sender.flush();
}

addEventListener("visibilitychange", () => {
  const visible = document.visibilityState === "visible";
  for (const watching of watches.values()) watching.show(visible);
  if (!visible) for (const sender of senders.values()) sender.leave(false);
}, true);

addEventListener("pagehide", () => {
  for (const watching of watches.values()) watching.leave(Date.now());
  for (const sender of senders.values()) sender.leave(true);
});

(window as { playlake?: unknown }).playlake = { configure, watch, track, flush };
