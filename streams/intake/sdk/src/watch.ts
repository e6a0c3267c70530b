// A video element's events as the playback vocabulary. The phases are those of schemas/phases.py:
//
//     idle ─play→ starting ─playing→ playing ⇄ stalled | seeking | paused ─ended, error, the page goes→ idle
//
// A new session begins with the first `play` after idle, so a title that is played again is another session.

import type { PlaybackEvents } from "../build/contract";
import { timeOf } from "./clock";
import { HAVE_FUTURE_DATA, connectionType, droppedFrames, errorCode, qualityOf, reading } from "./element";
import { type PlayerListener, listen } from "./players";
import type { Sender } from "./sender";
import { type About, Session } from "./session";

const HEARTBEAT_MS = 10_000;
/** A viewer who paused and went away: after this no more signs of life, so that the session may time out. */
const SILENT_AFTER_BEATS = 180;
/** Playback that stands still so long after the player gave up does not come back. */
const GIVEN_UP_MS = 8_000;

type Phase = "idle" | "starting" | "playing" | "stalled" | "seeking" | "paused";
/** What it means that the picture moves, by what was before. */
const PLAYS_AFTER = { starting: "first_frame", stalled: "stall_end", seeking: "stall_end", paused: "resume" } as const;
type Fields = Omit<PlaybackEvents["heartbeat"], "contentId">;

export interface WatchOptions extends Omit<About, "contentId"> {
  /** The title, or how to ask for it when the element loads another source. */
  contentId: string | (() => string);
  /** An hls.js or dash.js instance, for bitrates and errors that the element does not show. */
  player?: unknown;
  /** Playback is wanted from this moment on, without a click. What the element's own attribute says, if not given. */
  autoplay?: boolean | undefined;
}

export class Watch implements PlayerListener {
  private phase: Phase = "idle";
  private session: Session | undefined;
  /** Since when playback is wanted, where `autoplay` asks for it; the element itself says so only once it can play. */
  private wanted: number | undefined;
  /** Since when a session is on whose beginning was missed, while nothing has been said of it. */
  private joined: number | undefined;
  private resuming = false;
  private kbps: number | undefined;
  private quality: string | undefined;
  private rate = 1;
  /** The player's last error, and whether it has given up. */
  private trouble: { code: string; at: number; fatal: boolean } | undefined;
  private heldAt = { position: 0, at: 0 };
  private droppedBefore = 0;
  private beats = 0;
  private readonly timer: ReturnType<typeof setInterval>;
  private readonly undo: (() => void)[] = [];

  constructor(
    private readonly video: HTMLVideoElement,
    private readonly sender: Sender,
    private readonly options: WatchOptions,
    private readonly done: () => void,
  ) {
    const on = (name: string, listener: (at: number, event: Event) => void) => {
      const heard = (event: Event) => listener(timeOf(event), event);
      video.addEventListener(name, heard, true);
      this.undo.push(() => video.removeEventListener(name, heard, true));
    };
    on("emptied", (at) => this.loads(at));
    on("loadstart", (at) => this.loads(at));
    on("play", (at) => this.plays(at));
    on("playing", (at) => this.moves(at));
    on("timeupdate", (at) => this.hasMoved(at));
    on("waiting", (at) => this.waits(at));
    on("pause", (at) => this.pauses(at));
    on("seeking", (at) => this.seeks(at));
    on("seeked", (at) => this.sought(at));
    on("ratechange", (at) => this.changesRate(at));
    on("resize", (at) => this.changesSize(at));
    on("canplaythrough", () => this.couldPlay());
    on("ended", (at) => this.end(at, "ended"));
    on("error", (at, event) => this.fails(at, event));
    this.undo.push(listen(options.player, this));
    this.timer = setInterval(() => this.beat(Date.now()), HEARTBEAT_MS);
    if (!video.paused && video.readyState >= HAVE_FUTURE_DATA) this.joins(Date.now());
    else if (!video.paused || (this.startsByItself() && video.readyState < HAVE_FUTURE_DATA)) this.wanted = Date.now();
  }

  /** End the session, if one is open, and let go of the element. */
  stop(reason = "stopped"): void {
    this.end(Date.now(), reason);
    clearInterval(this.timer);
    for (const undo of this.undo) undo();
    this.done();
  }

  /** The bitrate on screen, from a player that is not recognised. */
  bitrate(kbps: number): void {
    if (kbps === this.kbps) return;
    this.kbps = kbps;
    if (this.phase !== "idle" && this.phase !== "starting") this.say("quality_change", Date.now());
  }

  /** An error of the player, `fatal` when it has given up; from a player that is not recognised. */
  error(code: string, fatal: boolean): void {
    const at = Date.now();
    const known = this.trouble;
    // Players report the same trouble at every try.
    if (known && known.code === code && known.fatal === fatal && at - known.at < HEARTBEAT_MS) return;
    this.insist();
    this.say("error", at, { errorCode: code, fatal: false });
    // What it complains about after it has given up changes nothing.
    if (fatal || !known?.fatal) this.trouble = { code, at, fatal };
    if (this.phase !== "playing") this.mayBeOver();
  }

  /** The page is hidden or shown. */
  show(visible: boolean): void {
    this.say(visible ? "foreground" : "background", Date.now());
  }

  /** The page goes, and with it the session. */
  leave(at: number): void {
    this.insist();
    this.end(at, "page_closed");
  }

  /** Another source. It is the same title, anew or in recovery, unless the page says otherwise. */
  private loads(at: number): void {
    const { contentId } = this.options;
    // What was on was the title before: this one was announced while that still played.
    const wasBefore = this.joined !== undefined;
    if (wasBefore) this.close();
    const isNext = this.session && typeof contentId === "function" && contentId() !== this.session.about.contentId;
    if (isNext) this.end(at, "replaced");
    if (this.phase === "idle" && (this.startsByItself() || ((wasBefore || isNext) && !this.video.paused))) this.wanted ??= at;
  }

  private plays(at: number): void {
    if (this.phase === "idle") this.begin(this.wanted ?? at);
    else if (this.phase === "paused" && this.video.seeking) this.resuming = true;
    else if (this.phase === "paused") {
      this.go(at, "playing");
      this.say("resume", at);
    }
  }

  private moves(at: number): void {
    if (this.video.paused) return;
    if (this.phase === "idle" && this.wanted === undefined) this.joins(at);
    this.insist();
    const phase = this.phase;
    if (phase === "playing" || phase === "idle" || (phase === "paused" && !this.resuming)) return;
    this.resuming = false;
    this.trouble = undefined;
    this.go(at, "playing");
    this.say(PLAYS_AFTER[phase], at);
  }

  /** Some browsers forget to say `playing`: a playhead that moves tells the same. */
  private hasMoved(at: number): void {
    const { video } = this;
    if ((this.phase !== "stalled" && this.phase !== "seeking") || video.seeking || video.paused) return;
    const moved = video.currentTime - this.heldAt.position;
    if (moved < 0 || moved > 1) this.heldAt = { position: video.currentTime, at };
    else if (moved > 0.1 && video.readyState >= HAVE_FUTURE_DATA) this.moves(at);
  }

  private waits(at: number): void {
    if (this.video.ended || this.phase !== "playing") return;
    if (this.video.seeking) this.seeks(at);
    else this.stalls(at);
  }

  private stalls(at: number): void {
    this.go(at, "stalled");
    this.say("stall_start", at);
    this.mayBeOver();
  }

  private pauses(at: number): void {
    this.resuming = false;
    // An element pauses before it says that it has ended.
    if (this.video.ended || !["playing", "stalled", "seeking"].includes(this.phase)) return;
    this.go(at, "paused");
    this.say("pause", at);
  }

  private seeks(at: number): void {
    // Before the first frame the player chooses where to begin.
    if (this.phase === "idle" || this.phase === "starting" || this.phase === "seeking") return;
    const wasPlaying = this.phase === "playing";
    this.say("seek", at);
    if (this.phase === "paused") return;
    this.go(at, "seeking");
    // Right behind the seek, so that the wait for the new place counts as neither playing nor a stall.
    if (wasPlaying) this.say("stall_start", at, { reason: "seek" });
  }

  private sought(at: number): void {
    if (this.phase === "seeking" && this.video.readyState >= HAVE_FUTURE_DATA) this.moves(at);
  }

  private changesRate(at: number): void {
    const { playbackRate } = this.video;
    // A speed of 0 is how some players wait for data.
    if (playbackRate === 0 && this.phase === "playing") this.stalls(at);
    else if (playbackRate && this.phase === "stalled" && this.video.readyState >= HAVE_FUTURE_DATA) this.moves(at);
    if (!playbackRate || playbackRate === this.rate) return;
    this.rate = playbackRate;
    this.say("rate_change", at, { playbackRate });
  }

  private changesSize(at: number): void {
    const quality = qualityOf(this.video);
    const isNews = this.quality !== undefined && quality !== undefined && quality !== this.quality;
    this.quality = quality ?? this.quality;
    // With a player that tells bitrates, the change is told by them.
    if (isNews && this.kbps === undefined && this.phase !== "starting") this.say("quality_change", at);
  }

  /** It could play and does not: the browser has refused `autoplay`, so nobody waits for a picture. */
  private couldPlay(): void {
    setTimeout(() => {
      if (this.phase === "idle" && this.video.paused) this.wanted = undefined;
    });
  }

  private fails(at: number, event: Event): void {
    const { video } = this;
    // An error of a <source>: the element goes on to the next one, if there is one.
    if (event.target !== video && video.networkState !== HTMLMediaElement.NETWORK_NO_SOURCE) return;
    this.insist();
    this.say("error", at, { errorCode: errorCode(video), fatal: true });
    this.close();
  }

  /** A player that has given up plays out what it has. When that stands still it is over, unless it recovers soon. */
  private mayBeOver(): void {
    const { trouble } = this;
    if (!trouble?.fatal) return;
    setTimeout(() => {
      if (trouble === this.trouble && this.phase !== "playing") this.end(Date.now(), trouble.code);
    }, GIVEN_UP_MS);
  }

  private joins(at: number): void {
    // When it was asked for, and how long it took, is past knowing: a session that is simply on.
    this.open();
    this.go(at, "playing");
    this.joined = at;
  }

  private begin(at: number): void {
    this.open();
    this.go(at, "starting");
    this.say("play", at, this.rate === 1 ? {} : { playbackRate: this.rate });
  }

  /** Playback is wanted and nothing has come of it yet: that was an attempt, whatever happens next. */
  private insist(): void {
    if (this.phase === "idle" && this.wanted !== undefined) this.begin(this.wanted);
  }

  private open(): void {
    const { player: _player, autoplay: _autoplay, contentId, ...about } = this.options;
    const line = connectionType();
    this.session = new Session(this.sender, {
      deviceType: "web",
      ...about,
      contentId: typeof contentId === "function" ? contentId() : contentId,
      ...(line ? { connectionType: line } : {}),
    });
    this.wanted = undefined;
    this.beats = 0;
    this.droppedBefore = droppedFrames(this.video);
    this.quality = qualityOf(this.video);
    this.rate = this.video.playbackRate || 1;
  }

  private go(at: number, phase: Phase): void {
    this.phase = phase;
    this.beats = 0;
    this.heldAt = { position: this.video.currentTime, at };
  }

  private beat(at: number): void {
    if (!this.session) return;
    this.beats += 1;
    if (this.phase !== "paused" || this.beats < SILENT_AFTER_BEATS) this.say("heartbeat", at);
  }

  private end(at: number, reason: string): void {
    if (this.trouble?.fatal && this.phase !== "playing") this.say("error", at, { errorCode: this.trouble.code, fatal: true });
    else this.say("stop", at, { reason });
    this.close();
  }

  private startsByItself(): boolean {
    return this.options.autoplay ?? this.video.autoplay;
  }

  private close(): void {
    this.session = undefined;
    this.phase = "idle";
    this.wanted = this.joined = this.trouble = this.kbps = undefined;
    this.sender.flush();
  }

  private say<T extends keyof PlaybackEvents>(type: T, at: number, fields: Partial<Fields> = {}): void {
    if (!this.session) return;
    const since = this.joined;
    this.joined = undefined;
    if (since !== undefined) this.say("heartbeat", since);
    const dropped = droppedFrames(this.video) - this.droppedBefore;
    const common: Fields = { ...reading(this.video), ...(dropped > 0 ? { droppedFrames: dropped } : {}) };
    if (this.kbps !== undefined) common.bitrateKbps = this.kbps;
    this.session.say(type, at, { ...common, ...fields } as Omit<PlaybackEvents[T], "contentId">);
  }
}
