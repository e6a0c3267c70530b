/** Said on top of a page that shows what the server answered last. */

import { fresh } from "../data/store";

export function Down() {
  if (fresh.value.state !== "down") return null;
  return (
    <p class="banner" role="alert" data-testid="down">
      The server does not answer. What is shown is its last answer; the page goes on by itself when it is back.
    </p>
  );
}
