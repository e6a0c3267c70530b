/** Shared by all tabs of a browser, so that they need one connection between them (HTTP/1.1 allows six an origin). */

import { type Arrival, Feed } from "./feed";

const ports = new Set<MessagePort>();
const feed = new Feed("/v1/live", (arrival: Arrival) => {
  for (const port of ports) port.postMessage(arrival);
});

self.addEventListener("connect", (event) => {
  const port = (event as MessageEvent).ports[0];
  if (!port) return;
  port.onmessage = () => ports.delete(port); // the only thing that a tab says is good-bye
  if (ports.size === 0) feed.open();
  ports.add(port);
  if (feed.last) port.postMessage(feed.last);
});
