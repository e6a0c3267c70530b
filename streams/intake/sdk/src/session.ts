// One viewing session: its ids, its running number, and the fields that every event of it carries.

import type { PlaybackEvents } from "../build/contract";
import { PLAYBACK_TOPIC } from "../build/contract";
import { iso, randomId } from "./clock";
import type { Sender } from "./sender";

export interface Viewer {
  userId?: string | undefined;
  profileId?: string | undefined;
  deviceType?: "smart_tv" | "mobile" | "web" | undefined;
  country?: string | undefined;
  region?: string | undefined;
  appVersion?: string | undefined;
  experiments?: Record<string, string> | undefined;
}

/** What stays the same while a title plays. */
export interface About extends Viewer {
  contentId: string;
  cdn?: string | undefined;
  playerVersion?: string | undefined;
  isLive?: boolean | undefined;
}

export class Session {
  readonly id = randomId();
  private seq = 0;
  private last = 0;

  constructor(private readonly sender: Sender, readonly about: About) {}

  /** `at` in Unix ms. Within a session time never goes back, whatever the device's clock does. */
  say<T extends keyof PlaybackEvents>(type: T, at: number, fields: Omit<PlaybackEvents[T], "contentId">): void {
    this.last = Math.max(this.last, at);
    this.seq += 1;
    const event = {
      eventType: type,
      timestamp: iso(this.last),
      eventId: `${this.id}-${this.seq}`,
      sessionId: this.id,
      seq: this.seq,
      ...this.about,
      ...fields,
    };
    this.sender.push(PLAYBACK_TOPIC, event, type === "play" || type === "first_frame" || type === "error");
  }
}
