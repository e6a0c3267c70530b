/** Live messages for this tab: through the shared worker, or by a connection of its own where there is none. */

import { type Arrival, Feed } from "./feed";

export function follow(onArrival: (arrival: Arrival) => void): void {
  const url = document.body.dataset.stream;
  if (typeof SharedWorker === "undefined" || !url) {
    new Feed("/v1/live", onArrival).open();
    return;
  }
  let port: MessagePort | null = null;
  const connect = () => {
    const worker = new SharedWorker(url, { type: "module", name: "playlake" });
    port = worker.port;
    port.onmessage = (event: MessageEvent<Arrival>) => onArrival(event.data);
  };
  connect();
  addEventListener("pagehide", () => port?.postMessage("bye"));
  addEventListener("pageshow", (event) => {
    if (event.persisted) connect(); // back from the browser's page cache
  });
}
