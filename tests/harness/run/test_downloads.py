"""The hub's real client against a server of the test's own, killed on the way."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import pytest

CONTENTS = bytes(range(256)) * 100_000  # 26 MB: the client writes pieces of 10 MiB
HALF = len(CONTENTS) // 2
SCRIPT = """
import sys
from pathlib import Path
from sepbench.harness.run.downloads import hub_download

folder = Path(sys.argv[1])
print(hub_download("us/net", "sub/net.bin", space=True, revision="abc", folder=folder))
"""


class Server(ThreadingHTTPServer):
    """Serves one file as the hub does; sends half of it and waits while `stalls`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.stalls, self.leave, self.etag = True, Event(), "first"
        self.ranges: list[str | None] = []


class Handler(BaseHTTPRequestHandler):
    server: Server

    path_of_file = "/spaces/us/net/resolve/abc/sub/net.bin"

    def do_HEAD(self) -> None:
        self.send_response(200 if self.path == self.path_of_file else 404)
        self.send_header("ETag", f'"{self.server.etag}"')
        self.send_header("X-Repo-Commit", "abc")
        self.send_header("Content-Length", str(len(CONTENTS)))
        self.end_headers()

    def do_GET(self) -> None:
        if self.path != self.path_of_file:  # the client asks about itself, too
            self.send_error(404)
            return
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
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.leave.set()
    server.shutdown()
    server.server_close()


def start(server: Server, folder: Path) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
        "HF_HUB_OFFLINE": "0",
        "HF_HOME": str(folder / "home"),
        "NO_PROXY": "*",
    }
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(folder)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def kill_when_something_came(process: subprocess.Popen[str], folder: Path) -> int:
    """SIGKILL once a part lies in the folder; its size."""
    until = time.monotonic() + 30
    while time.monotonic() < until and process.poll() is None:
        sizes = [part.stat().st_size for part in folder.glob("*.part")]
        if sizes and sizes[0] > 0:
            break
        time.sleep(0.05)
    process.kill()
    process.communicate()
    (part,) = folder.glob("*.part")
    return part.stat().st_size


def test_a_killed_download_is_gone_on_with(server: Server, tmp_path: Path) -> None:
    came = kill_when_something_came(start(server, tmp_path), tmp_path)
    server.stalls = False

    out, err = start(server, tmp_path).communicate(timeout=60)

    assert out.strip() == str(tmp_path / "net.bin"), err
    assert 0 < came <= HALF
    assert server.ranges == [None, f"bytes={came}-"]
    assert (tmp_path / "net.bin").read_bytes() == CONTENTS
    assert list(tmp_path.glob("*.part")) == []


def test_the_beginning_of_another_file_is_not_gone_on_with(server: Server, tmp_path: Path) -> None:
    kill_when_something_came(start(server, tmp_path), tmp_path)
    server.stalls, server.etag = False, "second"

    start(server, tmp_path).communicate(timeout=60)

    assert server.ranges == [None, None]
    assert (tmp_path / "net.bin").read_bytes() == CONTENTS
