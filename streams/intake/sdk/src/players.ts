// What only the player library knows: the bitrate that plays, and errors that never reach the element.
// Players are recognised by what they can do, so no version of them is needed here.

export interface PlayerListener {
  /** Another rendition is on screen. */
  bitrate(kbps: number): void;
  /** The player reported an error; it may still play what it has, or recover. */
  error(code: string, fatal: boolean): void;
}

interface Emitter {
  on(name: string, listener: (...args: any[]) => void): void;
  off(name: string, listener: (...args: any[]) => void): void;
}

interface Hls extends Emitter {
  levels: { bitrate?: number }[];
}

interface Dash extends Emitter {
  getCurrentRepresentationForType?(type: string): { bitrateInKbit?: number; bandwidth?: number } | null;
}

/** Listen to an hls.js or dash.js player; the result stops listening. Any other object is left alone. */
export function listen(player: unknown, to: PlayerListener): () => void {
  if (!player || typeof (player as Emitter).on !== "function") return () => undefined;
  const heard = "levels" in (player as object) ? hls(player as Hls, to) : dash(player as Dash, to);
  const emitter = player as Emitter;
  for (const [name, listener] of heard) emitter.on(name, listener);
  return () => {
    for (const [name, listener] of heard) emitter.off(name, listener);
  };
}

type Listeners = [string, (...args: any[]) => void][];

function hls(player: Hls, to: PlayerListener): Listeners {
  return [
    [
      "hlsLevelSwitched",
      (_name: string, data: { level: number }) => {
        const bits = player.levels[data.level]?.bitrate;
        if (bits) to.bitrate(Math.round(bits / 1000));
      },
    ],
    ["hlsError", (_name: string, data: { details?: string; fatal?: boolean }) => to.error(data.details ?? "hls", !!data.fatal)],
  ];
}

function dash(player: Dash, to: PlayerListener): Listeners {
  const current = () => {
    const now = player.getCurrentRepresentationForType?.("video");
    const kbps = now?.bitrateInKbit ?? (now?.bandwidth ?? 0) / 1000;
    if (kbps) to.bitrate(Math.round(kbps));
  };
  return [
    ["qualityChangeRendered", (event: { mediaType?: string }) => event.mediaType === "video" && current()],
    ["playbackPlaying", current],
    // dash.js has given up when it says so, but plays out what it has.
    ["error", (event: { error?: { code?: number | string } }) => to.error(String(event.error?.code ?? "dash"), true)],
  ];
}
