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
# `bench data prepare` as the entry point would run it, Clotho's list being the server's file.
PREPARE = """
import sys
from dataclasses import replace
from sepbench.datasets.clotho import Clotho
from sepbench.harness.api import RemoteFile
from sepbench.harness.cli import main

url, size, sha256, *arguments = sys.argv[1:]
file = RemoteFile(name="lists/a.csv", url=url, size=int(size), sha256=sha256, licence="CC0")
Clotho.card = replace(Clotho.card, remote=(file,))
sys.argv = ["bench", "data", *arguments]
main()
"""


class Server(ThreadingHTTPServer):
    """Serves one file; sends half of it and waits while `stalls`, or ends there while `cuts`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.stalls, self.leave = False, Event()
        self.cuts, self.knows_ranges = False, True
        self.ranges: list[str | None] = []


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = self.headers["Range"]
        self.server.ranges.append(asked)
        if not self.server.knows_ranges:
            asked = None
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
        elif self.server.cuts:
            self.wfile.write(CONTENTS[start:HALF])
            self.close_connection = True
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


# --- through the command --------------------------------------------------------------------


def bench_data(server: Server, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    url = f"http://127.0.0.1:{server.server_port}/a.csv"
    sha256 = hashlib.sha256(CONTENTS).hexdigest()
    options = ("-w", str(folder / "ws"), "--root", f"clotho={folder / 'clotho'}")
    return subprocess.run(
        [sys.executable, "-c", PREPARE, url, str(len(CONTENTS)), sha256, *arguments, *options],
        env={
            **os.environ,
            "HF_HUB_OFFLINE": "0",
            "HF_HOME": str(folder / "home"),
            "HF_HUB_DOWNLOAD_TIMEOUT": "2",
            "NO_PROXY": "*",
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_prepare_asks_first_and_fetches_checks_and_records_after_yes(
    server: Server, tmp_path: Path
) -> None:
    (tmp_path / "clotho").mkdir()

    asked = bench_data(server, tmp_path, "prepare", "clotho")
    ranges = list(server.ranges)
    fetched = bench_data(server, tmp_path, "prepare", "clotho", "--yes")
    verified = bench_data(server, tmp_path, "verify", "clotho")

    assert "to fetch   lists/a.csv (25.6 MB; CC0) from http://127.0.0.1" in asked.stdout
    assert ranges == []
    assert fetched.returncode == 0, fetched.stdout + fetched.stderr
    assert "fetched" in fetched.stdout
    assert (tmp_path / "clotho" / "lists" / "a.csv").read_bytes() == CONTENTS
    assert verified.returncode == 0
    assert "1 files as in" in verified.stdout


def test_prepare_goes_on_with_what_a_broken_connection_left(server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "clotho"
    server.cuts = True
    broken = bench_data(server, tmp_path, "prepare", "clotho", "--yes")
    (part,) = parts(folder)
    came = part.stat().st_size
    server.cuts = False
    server.ranges.clear()

    mended = bench_data(server, tmp_path, "prepare", "clotho", "--yes")

    assert broken.returncode == 1
    assert "lists/a.csv could not be fetched: " in broken.stdout
    assert "By hand: http://127.0.0.1" in broken.stdout
    assert 0 < came <= HALF
    assert mended.returncode == 0, mended.stdout + mended.stderr
    assert server.ranges == [f"bytes={came}-"]
    assert (folder / "lists" / "a.csv").read_bytes() == CONTENTS
    assert parts(folder) == []


def test_a_server_that_always_begins_anew_spoils_no_file(server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "clotho"
    server.cuts = True
    bench_data(server, tmp_path, "prepare", "clotho", "--yes")
    server.cuts, server.knows_ranges = False, False

    tries = [bench_data(server, tmp_path, "prepare", "clotho", "--yes") for _ in range(2)]

    assert tries[-1].returncode == 0, tries[-1].stdout + tries[-1].stderr
    assert (folder / "lists" / "a.csv").read_bytes() == CONTENTS
