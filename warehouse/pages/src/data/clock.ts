/** The server's clock as seen from here. A message can only arrive late, so the largest difference seen is the truest. */

const KEPT = 60;

export class ServerClock {
  #differences: number[] = [];

  /** A message stamped `serverAt` by the server arrived at `arrivedAt` of this machine's clock. */
  observe(serverAt: number, arrivedAt: number): void {
    this.#differences.push(serverAt - arrivedAt);
    if (this.#differences.length > KEPT) this.#differences.shift();
  }

  /** What the server's clock shows when this machine's shows `at`. */
  read(at: number): number {
    return this.#differences.length === 0 ? at : at + Math.max(...this.#differences);
  }
}
