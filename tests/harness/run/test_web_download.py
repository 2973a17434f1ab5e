"""Published files of the web: gone on with after a kill, thrown away when they are not right."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import pytest

from sepbench.harness.api import RemoteFile
from sepbench.harness.errors import UnsafePathError
from sepbench.harness.run.downloads import web_download

CONTENTS = bytes(range(256)) * 100_000  # 26 MB: the client writes pieces of 10 MiB
HALF = len(CONTENTS) // 2
SCRIPT = """
import sys
from pathlib import Path
from sepbench.harness.api import RemoteFile
from sepbench.harness.errors import BenchError
from sepbench.harness.run.downloads import web_download

url, size, sha256, root = sys.argv[1:]
try:
    remote = RemoteFile(name="lists/a.csv", url=url, size=int(size), sha256=sha256)
    print(web_download(remote, Path(root)))
except BenchError as error:
    print("refused:", error)
"""


class Server(ThreadingHTTPServer):
    """Serves one file; sends half of it and waits while `stalls`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.stalls, self.leave = False, Event()
        self.ranges: list[str | None] = []


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = self.headers["Range"]
        self.server.ranges.append(asked)
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(CONTENTS) - start))
        if asked:
            span = f"bytes {start}-{len(CONTENTS) - 1}/{len(CONTENTS)}"
            self.send_header("Content-Range", span)
        self.end_headers()
        if self.server.stalls:
            self.wfile.write(CONTENTS[start:HALF])
            self.wfile.flush()
            self.server.leave.wait(60)
        else:
            self.wfile.write(CONTENTS[start:])

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing: pytest's output is enough."""


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.leave.set()
    server.shutdown()
    server.server_close()


def start(server: Server, root: Path, sha256: str) -> subprocess.Popen[str]:
    url = f"http://127.0.0.1:{server.server_port}/a.csv"
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, url, str(len(CONTENTS)), sha256, str(root)],
        env={**os.environ, "HF_HUB_OFFLINE": "0", "HF_HOME": str(root / "home"), "NO_PROXY": "*"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def parts(root: Path) -> list[Path]:
    return list((root / "lists").glob(".*.part"))


def kill_when_something_came(process: subprocess.Popen[str], root: Path) -> int:
    until = time.monotonic() + 30
    while time.monotonic() < until and process.poll() is None:
        sizes = [part.stat().st_size for part in parts(root)]
        if sizes and sizes[0] > 0:
            break
        time.sleep(0.05)
    process.kill()
    process.communicate()
    (part,) = parts(root)
    return part.stat().st_size


def test_a_killed_download_shows_nothing_and_is_gone_on_with(
    server: Server, tmp_path: Path
) -> None:
    sha256 = hashlib.sha256(CONTENTS).hexdigest()
    server.stalls = True
    came = kill_when_something_came(start(server, tmp_path, sha256), tmp_path)
    shown = (tmp_path / "lists" / "a.csv").exists()
    server.stalls = False

    out, err = start(server, tmp_path, sha256).communicate(timeout=60)

    assert not shown
    assert out.strip() == str(tmp_path / "lists" / "a.csv"), err
    assert 0 < came <= HALF
    assert server.ranges == [None, f"bytes={came}-"]
    assert (tmp_path / "lists" / "a.csv").read_bytes() == CONTENTS
    assert parts(tmp_path) == []


def test_another_file_than_the_published_one_is_thrown_away(server: Server, tmp_path: Path) -> None:
    out, err = start(server, tmp_path, "0" * 64).communicate(timeout=60)

    assert "is not the published file (sha256 " in out, err
    assert list((tmp_path / "lists").iterdir()) == []


def test_nothing_is_fetched_to_a_place_outside_the_root(tmp_path: Path) -> None:
    remote = RemoteFile(name="../a.csv", url="http://127.0.0.1:9/", size=1, sha256="0" * 64)

    with pytest.raises(UnsafePathError, match="lies outside"):
        web_download(remote, tmp_path / "root")
