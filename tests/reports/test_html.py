from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sepbench.harness.errors import UsageError, WorkspaceError
from sepbench.reports import html
from sepbench.reports.contract import Leaderboard
from sepbench.reports.page_data import write_script
from sepbench.reports.page_media import MOST_SECONDS, chosen_targets, excerpt_start

LINK = r"https?://[^\"'`\s)]+"


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_same_board_gives_the_same_folder(board: Leaderboard, tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()

    html.REPORT.write(board, tmp_path)
    html.REPORT.write(board, tmp_path / "again")

    assert digests(tmp_path / "html") == digests(tmp_path / "again" / "html")


def test_everything_the_page_names_lies_beside_it(written_page: Path) -> None:
    text = written_page.read_text("utf-8")

    named = re.findall(r'(?:src|href)="([^"#]+)"', text)
    here = [name for name in named if not name.startswith("data:,")]
    assert len(here) == 12
    assert all((written_page.parent / name).is_file() for name in here)


def test_nothing_in_the_page_leads_to_the_net(written_page: Path) -> None:
    sources = {
        path.name: path.read_text("utf-8")
        for path in written_page.parent.iterdir()
        if path.suffix in {".js", ".css", ".html"}
    }

    links = {name: set(re.findall(LINK, text)) for name, text in sources.items()}
    library = links.pop("vega.js")
    assert set().union(*links.values()) <= {"http://www.w3.org/2000/svg"}
    # Names of formats, a remark, and the editor of a menu that the page leaves out.
    assert {link for link in library if "www.w3.org" not in link} == {
        "https://github.com/vega/vega-lite/issues/2415",
        "https://vega.github.io/editor/",
        "https://vega.github.io/schema/vega/v6.json",
    }
    assert "actions: false" in sources["chart.js"]
    assert "connect-src" not in sources["index.html"]
    assert "default-src 'none'" in sources["index.html"]


def test_the_chart_library_is_a_plain_script_with_its_licences_beside_it(
    written_page: Path,
) -> None:
    script = (written_page.parent / "vega.js").read_text("utf-8")
    licences = (written_page.parent / "vega-licence.md").read_text("utf-8")

    head, opening, *_ = script.split("\n")
    assert re.fullmatch(
        r"/\*! Vega [\d.]+, Vega-Lite [\d.]+, Vega-Embed [\d.]+; licences: \S+ \*/", head
    )
    assert opening == '(() => { "use strict";'
    assert not re.search(r"\bimport[ {(\"]|\bexport[ {]", script)
    assert "University of Washington Interactive Data Lab" in licences
    assert "Redistributions in binary form must reproduce" in licences


def test_a_page_is_replaced_and_a_strangers_folder_is_not(
    board: Leaderboard, tmp_path: Path
) -> None:
    html.REPORT.write(board, tmp_path)
    (tmp_path / "html" / "data" / "old.js").write_text("")

    html.REPORT.write(board, tmp_path)

    assert not (tmp_path / "html" / "data" / "old.js").exists()
    (tmp_path / "html" / html.MARK).unlink()
    with pytest.raises(WorkspaceError, match="no page of ours; it is not replaced"):
        html.REPORT.write(board, tmp_path)


def test_data_cannot_end_its_script(tmp_path: Path) -> None:
    path = tmp_path / "a.js"

    write_script(path, "a", {"text": "</script><!--\u2028é"})

    written = path.read_text("ascii")
    assert "<" not in written
    value = re.fullmatch(r'sepbench\.receive\("a",(.*)\);\n', written)
    assert value is not None
    assert json.loads(value[1]) == {"text": "</script><!--\u2028é"}


def test_sounds_are_equally_loud_and_say_what_was_done_to_them(written_page: Path) -> None:
    text = (written_page.parent / "data" / "p0-media.js").read_text("ascii")
    media = json.loads(text[text.index(",") + 1 : -3])

    sources = {each["file"]: each for each in media["targets"]["0"]["sources"]}

    assert list(sources) == [
        *("mixture", "reference", "estimate-2-0", "estimate-3-0", "estimate-4-0"),
        *("residual-2-0", "residual-3-0", "residual-4-0"),
    ]
    soft, loud = sources["estimate-3-0"], sources["reference"]
    assert soft["gain"] - loud["gain"] == pytest.approx(13.98, abs=0.02)
    assert soft["loudness"] + soft["gain"] == pytest.approx(-23.0, abs=0.02)
    sound = soundfile.info(written_page.parent / "media" / "p0" / "0" / "mixture.flac")
    assert (sound.samplerate, sound.subtype, sound.frames) == (16000, "PCM_16", 24000)


def test_only_so_many_targets_are_drawn_half_of_them_where_models_differ(
    board: Leaderboard,
) -> None:
    assert board.items is not None
    items = board.items(board.tables[0])

    places, remarks = chosen_targets(board, board.tables[0], items)

    differences = [abs((2.0 + k % 5) - (4.5 + k % 4)) for k in range(8)]
    assert len(places) == 6
    assert {0, 2, 5} <= set(places)
    assert max(range(8), key=lambda k: differences[k]) in places
    assert remarks[0].startswith(
        "6 of 8 targets with kept estimates can be heard: 3 evenly spread over the list, 3 on which"
    )


@pytest.mark.parametrize(("most", "count"), [(0, 1), (1, 2), (6, 7), (100, 8)])
def test_a_target_asked_for_by_name_is_drawn_on_top(
    board: Leaderboard, most: int, count: int
) -> None:
    assert board.items is not None
    items = board.items(board.tables[0])
    asking = dataclasses.replace(board, most_heard=most, asked_for=("scene-00004~t0",))

    places, _ = chosen_targets(asking, board.tables[0], items)

    assert 4 in places
    assert len(places) == count
    assert places == sorted(places)


def test_a_target_that_cannot_be_drawn_is_refused_before_the_page_is_touched(
    board: Leaderboard, tmp_path: Path
) -> None:
    asking = dataclasses.replace(board, asked_for=("scene-00009~t1",))

    with pytest.raises(UsageError, match="No item 'scene-00009~t1' with a kept estimate"):
        html.REPORT.write(asking, tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_examples_are_written_once_for_all_targets(written_page: Path) -> None:
    text = (written_page.parent / "data" / "p0-media.js").read_text("ascii")
    media = json.loads(text[text.index(",") + 1 : -3])

    folder = written_page.parent / media["folder"]
    assert list(media["examples"]) == ["clip-a", "clip-b"]
    assert media["targets"]["0"]["examples"] == ["clip-a", "clip-b"]
    assert sorted(p.name for p in (folder / "examples").iterdir()) == ["0.flac", "1.flac"]
    loud, soft = media["examples"]["clip-a"], media["examples"]["clip-b"]
    assert loud["loudness"] + loud["gain"] == pytest.approx(-23.0, abs=0.02)
    assert soft["gain"] - loud["gain"] > 15
    assert media["kept"] == list(range(8))


def test_a_board_without_items_is_a_page_with_its_tables(
    board: Leaderboard, tmp_path: Path
) -> None:
    bare = dataclasses.replace(board, items=None, audio=None)

    (page,) = html.REPORT.write(bare, tmp_path)

    assert "net_a" in (page.parent / "data" / "board.js").read_text("ascii")
    assert [path.name for path in (page.parent / "data").iterdir()] == ["board.js"]


def test_a_thousand_items_without_audio_stay_small(many_items_page: Path) -> None:
    size = sum(p.stat().st_size for p in many_items_page.parent.rglob("*") if p.is_file())

    assert size < 15_000_000  # ten thousand of them, in fact


@pytest.mark.parametrize(("loud_at", "start"), [(100, 71), (5, 0), (117, 88)])
def test_of_a_long_track_the_part_is_played_in_which_the_target_sounds(
    loud_at: int, start: int
) -> None:
    rate = 100
    reference = np.zeros((2, 120 * rate - 50), np.float32)
    reference[:, loud_at * rate : (loud_at + 1) * rate] = 0.5

    assert excerpt_start(reference, rate) == start * rate
    assert excerpt_start(reference[:, : MOST_SECONDS * rate], rate) == 0
