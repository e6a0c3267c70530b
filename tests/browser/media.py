"""Video to play in a test, and a server that can hold it back: stalls, errors and slow lines at known moments.

make_video(folder / "clip.mp4", seconds=12)         one file, for a plain <video>
make_dash(folder / "dash", seconds=20)              manifest.mpd and its segments, three bitrates and sound
with MediaServer(folder) as media:                  files with ranges and CORS, at media.url
    hold = media.hold("/clip.mp4", after_bytes=200_000)
    ...                                             the player stalls when it has played what came before
    hold.release()
"""

from __future__ import annotations

import mimetypes
import re
import shutil
import subprocess
import threading
import time
from dataclasses import dataclass, field
from fnmatch import fnmatch
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import pytest

PIECE = 8192
TYPES = {".mpd": "application/dash+xml", ".m4s": "video/iso.segment", ".m3u8": "application/vnd.apple.mpegurl"}


def _ffmpeg(*arguments: str) -> None:
    program = shutil.which("ffmpeg")
    if program is None:
        pytest.skip("no ffmpeg on this machine: apt-get install ffmpeg")
    done = subprocess.run(
        [program, "-v", "error", "-nostdin", "-y", "-threads", "1", *arguments],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def _pictures(seconds: float) -> list[str]:
    """A test pattern and a tone."""
    size = "size=320x180:rate=25"
    return [
        *("-f", "lavfi", "-t", f"{seconds}", "-i", f"testsrc2={size}"),
        *("-f", "lavfi", "-t", f"{seconds}", "-i", "sine=frequency=440:sample_rate=44100"),
        *("-pix_fmt", "yuv420p", "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac", "-b:a", "32k"),
    ]


def make_video(path: Path, seconds: float = 12, kbps: int = 600) -> Path:
    """An MP4 with its index in front, a key frame a second, at an even bitrate: its bytes tell its time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rate = f"{kbps}k"
    even = ["-b:v", rate, "-minrate", rate, "-maxrate", rate, "-bufsize", rate, "-x264-params", "nal-hrd=cbr"]
    _ffmpeg(*_pictures(seconds), *even, "-g", "25", "-keyint_min", "25", "-movflags", "+faststart", str(path))
    return path


def make_dash(folder: Path, seconds: float = 20, kbps: tuple[int, ...] = (200, 500, 1000)) -> Path:
    """A DASH presentation: 2 s segments, a video representation a bitrate, one of sound. Returns its manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = _pictures(seconds)
    rates = [text for i, rate in enumerate(kbps) for text in ("-map", "0:v", f"-b:v:{i}", f"{rate}k")]
    dash = ["-f", "dash", "-seg_duration", "2", "-use_template", "1", "-use_timeline", "0"]
    sets = ["-adaptation_sets", "id=0,streams=v id=1,streams=a"]
    manifest = folder / "manifest.mpd"
    _ffmpeg(*pictures, *rates, "-map", "1:a", "-g", "50", "-keyint_min", "50", "-sc_threshold", "0", *dash, *sets,
            str(manifest))  # fmt: skip
    return manifest


def make_hls(folder: Path, seconds: float = 20, kbps: int = 500) -> Path:
    """An HLS presentation of one rendition: 2 s segments, sound and picture together. Returns its main playlist."""
    folder.mkdir(parents=True, exist_ok=True)
    hls = ["-f", "hls", "-hls_time", "2", "-hls_playlist_type", "vod", "-master_pl_name", "main.m3u8"]
    segments = ["-hls_segment_filename", str(folder / "segment-%05d.ts")]
    picture = ["-b:v", f"{kbps}k", "-g", "50", "-keyint_min", "50", "-sc_threshold", "0"]
    _ffmpeg(*_pictures(seconds), *picture, *hls, *segments, str(folder / "video.m3u8"))
    return folder / "main.m3u8"


@dataclass
class Hold:
    """What matches stops after `after_bytes` (counted from the file's beginning) until it is released."""

    pattern: str
    after_bytes: int = 0
    reached: threading.Event = field(default_factory=threading.Event)
    """Set when a request waits here."""
    released: threading.Event = field(default_factory=threading.Event)
    is_cut: bool = False

    def release(self) -> None:
        self.released.set()

    def cut(self) -> None:
        """Drop the connections that wait here instead of going on."""
        self.is_cut = True
        self.released.set()


class MediaServer:
    """Files of a folder over HTTP/1.1 on loopback, and pages made by the test. A context manager."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pages: dict[str, tuple[str, bytes]] = {}
        """Path → content type and body, before any file."""
        self.bytes_per_s: float | None = None
        """Speed of each answer from now on; None is as fast as it goes."""
        self.requests: list[tuple[float, str, str]] = []
        """Unix time, method and path of each request."""
        self._holds: list[Hold] = []
        self._failures: list[tuple[str, int]] = []
        self.closed = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.closed.set()
        for hold in self._holds:
            hold.release()
        self._server.shutdown()
        self._server.server_close()

    def page(self, path: str, html: str, content_type: str = "text/html; charset=utf-8") -> str:
        """Serve this text; returns its URL."""
        self.pages[path] = (content_type, html.encode())
        return self.url + path

    def hold(self, pattern: str, after_bytes: int = 0) -> Hold:
        """Hold back what matches a path pattern, e.g. `/dash/chunk-0-00003.m4s`, until `release()`."""
        hold = Hold(pattern, after_bytes)
        self._holds.append(hold)
        return hold

    def fail(self, pattern: str, status: int = 404) -> None:
        """Answer what matches with an error from now on."""
        self._failures.append((pattern, status))

    def heal(self) -> None:
        """No more holds and failures, full speed."""
        for hold in self._holds:
            hold.release()
        self._holds, self._failures, self.bytes_per_s = [], [], None

    def failure_of(self, path: str) -> int | None:
        return next((status for pattern, status in self._failures if fnmatch(path, pattern)), None)

    def room(self, path: str, offset: int, wanted: int) -> int:
        """How many bytes may go from this offset; waits while there are none."""
        for hold in self._holds:
            if hold.released.is_set() or not fnmatch(path, hold.pattern):
                continue
            if offset >= hold.after_bytes:
                hold.reached.set()
                hold.released.wait()
                if hold.is_cut:
                    raise ConnectionAbortedError
            else:
                wanted = min(wanted, hold.after_bytes - offset)
        return wanted


def _handler(media: MediaServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            media.requests.append((time.time(), self.command, self.path))
            if status := media.failure_of(path):
                self._answer(status, "text/plain", b"as the test wants it\n")
            elif path in media.pages:
                self._answer(200, *media.pages[path])
            elif (file := (media.folder / path.lstrip("/")).resolve()).is_relative_to(media.folder.resolve()):
                self._file(path, file)
            else:
                self._answer(404, "text/plain", b"not here\n")

        do_HEAD = do_GET

        def _answer(self, status: int, content_type: str, body: bytes) -> None:
            self._head(status, content_type, len(body), {"Cache-Control": "no-store"})
            if self.command != "HEAD":
                self.wfile.write(body)

        def _file(self, path: str, file: Path) -> None:
            if not file.is_file():
                self._answer(404, "text/plain", b"not here\n")
                return
            size = file.stat().st_size
            asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            first, last = (int(asked[1]), int(asked[2] or size - 1)) if asked else (0, size - 1)
            last = min(last, size - 1)
            if first > last:
                self._head(416, "text/plain", 0, {"Content-Range": f"bytes */{size}"})
                return
            extra = {"Accept-Ranges": "bytes", "Cache-Control": "no-store"}
            if asked:
                extra["Content-Range"] = f"bytes {first}-{last}/{size}"
            kind = TYPES.get(file.suffix) or mimetypes.guess_type(file.name)[0] or "application/octet-stream"
            self._head(206 if asked else 200, kind, last - first + 1, extra)
            if self.command != "HEAD":
                self._send(path, file, first, last + 1)

        def _send(self, path: str, file: Path, offset: int, end: int) -> None:
            with file.open("rb") as content:
                content.seek(offset)
                while offset < end and not media.closed.is_set():
                    try:
                        piece = content.read(media.room(path, offset, min(PIECE, end - offset)))
                        self.wfile.write(piece)
                    except OSError:  # cut, or the player has turned to another place of the file
                        self.close_connection = True
                        return
                    offset += len(piece)
                    if media.bytes_per_s:
                        media.closed.wait(len(piece) / media.bytes_per_s)

        def _head(self, status: int, content_type: str, length: int, extra: dict[str, str]) -> None:
            self.send_response(HTTPStatus(status))
            for name, value in {
                "Content-Type": content_type,
                "Content-Length": str(length),
                "Access-Control-Allow-Origin": "*",
                "Access-Control-Allow-Headers": "*",
                "Access-Control-Expose-Headers": "*",
                **extra,
            }.items():
                self.send_header(name, value)
            self.end_headers()

        def do_OPTIONS(self) -> None:
            self._head(204, "text/plain", 0, {"Access-Control-Allow-Methods": "GET, HEAD, POST"})

        def log_message(self, *args: object) -> None:
            pass

    return Handler
