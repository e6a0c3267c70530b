// What can be read off a video element at a moment.

import type { PlaybackEvents } from "../build/contract";

type Reading = Partial<Omit<PlaybackEvents["heartbeat"], "contentId">>;

export const HAVE_FUTURE_DATA = 3;

/** The fields of an event that the element knows now. What it does not know is left out. */
export function reading(video: HTMLVideoElement): Reading {
  const read: Reading = { positionMs: Math.round(video.currentTime * 1000) };
  if (Number.isFinite(video.duration)) read.durationMs = Math.round(video.duration * 1000);
  else if (video.duration === Infinity) read.isLive = true;
  const quality = qualityOf(video);
  if (quality) read.quality = quality;
  return read;
}

/** The rendition as the viewer sees it, by its lines; upright pictures by their width. */
export function qualityOf({ videoWidth, videoHeight }: HTMLVideoElement): "4K" | "1080p" | "720p" | undefined {
  const lines = Math.min(videoWidth, videoHeight);
  return lines >= 2160 ? "4K" : lines >= 1080 ? "1080p" : lines >= 720 ? "720p" : undefined;
}

export function droppedFrames(video: HTMLVideoElement): number {
  return video.getVideoPlaybackQuality?.().droppedVideoFrames ?? 0;
}

/** What the device says of its line; most browsers say nothing, and nothing is guessed. */
export function connectionType(): string | undefined {
  const { connection } = navigator as { connection?: { type?: string } };
  return connection?.type && connection.type !== "unknown" ? connection.type : undefined;
}

const ERRORS = ["", "MEDIA_ERR_ABORTED", "MEDIA_ERR_NETWORK", "MEDIA_ERR_DECODE", "MEDIA_ERR_SRC_NOT_SUPPORTED"];

export const errorCode = ({ error }: HTMLVideoElement): string => ERRORS[error?.code ?? 4] || `MEDIA_ERR_${error?.code}`;
