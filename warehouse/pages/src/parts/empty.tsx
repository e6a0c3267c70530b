/** Nothing has arrived yet: how to send the first event. */

import type { Links } from "../data/protocol";
import { now } from "../data/store";
import { Command } from "./command";

export function Empty({ links }: { readonly links: Links }) {
  const minute = Math.floor(now.value / 60_000) * 60_000;
  const event = {
    userId: "user123",
    contentId: "title456",
    eventType: "play",
    timestamp: new Date(minute).toISOString().replace(".000Z", "Z"),
    deviceType: "smart_tv",
    quality: "4K",
  };
  const curl = `curl -s ${links.collector}/v1/events \\\n  -H 'content-type: application/json' \\\n  -d '[${JSON.stringify(event)}]'`;
  return (
    <main class="first-event" data-testid="empty">
      <h1>No events yet</h1>
      <p>Everything is up and waiting. Send the first event, and this page shows it within two seconds:</p>
      <Command text={curl} />
      <p>or let simulated viewers come in:</p>
      <Command text="playlake simulate --viewers 200 --minutes 10" />
    </main>
  );
}
