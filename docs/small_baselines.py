"""Scores the small baselines, draws their training curves, and writes the tables of the docs.

    python docs/small_baselines.py [--workspace FOLDER]

Runs what its workspace lacks, then rewrites what stands between the markers of
`docs/small-baselines.md` and of the models' cards (`baselines/small/weights/README.md`), and draws
the curves. `python docs/small_weights.py` takes new trainings into the package before.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from safetensors import safe_open

import sepbench.harness as sb
from sepbench.harness.paired import holm

mpl.use("Agg")
from matplotlib import pyplot as plt  # after the choice of what draws

HERE = Path(__file__).parent
PAGE = HERE / "small-baselines.md"
CARDS = HERE.parent / "baselines" / "small" / "weights" / "README.md"
CURVES = HERE / "curves"
PICTURE = HERE / "pictures" / "small-baselines-curves.png"
SMALL = ("lassnet-small", "unet-tag-small", "audiosep-small", "stsed-small")
RIGHT, OTHER, ABSENT, SILENT = (
    "demo",
    "wrong-query-interference",
    "wrong-query-absent",
    "absent-query",
)
SHOTS = (1, 2, 3)
RUNNING = ("running_mean", "running_var", "num_batches_tracked")  # of normalisations
FIRST = {"audiosep-small": ("contrastive-small",), "stsed-small": ("stsed-sed-small",)}
GOAL_DB = 5.0
LEVEL = 0.05  # of the paired test
NETWORKS = {
    "lassnet-small": "LASS-Net's U-Net, a BERT of two layers over words of its own",
    "unet-tag-small": "the same U-Net, a vector for each class",
    "audiosep-small": "AudioSep's ResUNet under a small pair of text and sound encoders",
    "stsed-small": "ST-SED's separator under the latent of a small CNN14",
}


def main() -> None:
    """Run, draw, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workspace", type=Path, default=Path("bench-results-small"))
    choice = parser.parse_args()
    draw_curves(PICTURE)
    sb.run(
        models=["nmf", *SMALL],
        datasets=[f"demo:{name}" for name in (RIGHT, OTHER, ABSENT, SILENT)],
        workspace=choice.workspace,
        overrides=["query=each", f"query.shots={list(SHOTS)}".replace(" ", "")],
    )
    board = sb.leaderboard_frame(choice.workspace)
    parts = {
        "models": models(),
        "trainings": trainings(),
        "again": again(),
        "goal": goal(choice.workspace, board),
        "scores": scores(board),
        "against-nmf": against(choice.workspace, board),
        "shots": shots(board),
        "text-against-audio": text_against_audio(choice.workspace),
        "wrong-queries": wrong_queries(board),
    }
    rewrite(PAGE, parts)
    rewrite(CARDS, {model: card(model, board) for model in SMALL})
    for name, written in parts.items():
        sys.stdout.write(f"{name}\n\n{written}\n\n")


def draw_curves(picture: Path) -> None:
    """Held-out scores and training losses over the steps, one line a training."""
    figure, (above, below) = plt.subplots(2, 1, figsize=(8, 6.4), layout="constrained")
    other = above.twinx()
    for number, file in enumerate(sorted(CURVES.glob("*.csv"))):
        lines = read_curve(file)
        colour = f"C{number}"
        for name, axes, style in (
            ("sdr_improvement", above, "-"),
            ("hits", other, "--"),
        ):
            points = lines.get(("validation", name), [])
            if points:
                axes.plot(*zip(*points, strict=True), style, color=colour, marker="o", ms=3)
        losses = lines["train", "loss"]
        first = losses[0][1]
        below.plot(
            [step for step, _ in losses],
            [value / first for _, value in losses],
            color=colour,
            label=file.stem,
        )
    above.set(ylabel="SDRi on fold 3, dB (solid)", xlabel="step")
    other.set(ylabel="right answers on fold 3 (dashed)", ylim=(0, 1))
    below.set(ylabel="training loss, share of its start", xlabel="step")
    below.legend(ncols=2, fontsize="small")
    for axes in (above, below):
        axes.grid(alpha=0.3)
    picture.parent.mkdir(exist_ok=True)
    figure.savefig(picture, dpi=110, metadata={"Software": None})
    plt.close(figure)


def read_curve(file: Path) -> dict[tuple[str, str], list[tuple[int, float]]]:
    """(part, name) -> its values over the steps."""
    found: dict[tuple[str, str], list[tuple[int, float]]] = defaultdict(list)
    with file.open(encoding="utf-8", newline="") as opened:
        for row in csv.DictReader(opened):
            found[row["part"], row["name"]].append((int(row["step"]), float(row["value"])))
    return found


def models() -> str:
    """What ships: sizes as the adapters see them, and the files."""
    rows = []
    for model in SMALL:
        made = sb.load_baseline(model)
        file = Path(made.checkpoint)
        with safe_open(file, framework="np") as opened:
            held = [key for key in opened.keys() if not key.endswith(RUNNING)]
            count = sum(int(np.prod(opened.get_slice(key).get_shape())) for key in held)
        rows.append(
            (
                f"`{model}`",
                NETWORKS[model],
                ", ".join(made.card.query_kinds),
                f"{count / 1e6:.2f} M parameters, {file.stat().st_size / 2**20:.2f} MB float16",
            )
        )
    return table(("Model", "Network", "Asked with", "Weights"), rows)


def trainings() -> str:
    """How long each training took, and what it came to on fold 3."""
    rows = []
    for file in sorted(CURVES.glob("*.json")):
        made = json.loads(file.read_text("utf-8"))
        rows.append(
            (
                f"`{made['recipe']}`",
                str(made["seed"]),
                str(made["steps"]),
                minutes(made),
                f"{made['best']['step']:.0f}",
                reached(made),
                code(made),
            )
        )
    head = ("Recipe", "Seed", "Steps", "Time", "Best at step", "There, on fold 3", "Code")
    return table(head, rows)


def code(made: Mapping[str, Any]) -> str:
    """The commit that a training was made with, and whether it was all."""
    by = made["made_with"]
    return by["commit"][:7] + (" and changes" if by["dirty"] else "")


def made_by(made: Mapping[str, Any]) -> str:
    """Command, seed, length, choice and time of a training."""
    return (
        f"`bench train {made['recipe']}`, seed {made['seed']}, {made['steps']} steps, the best of "
        f"fold 3 at step {made['best']['step']:.0f}; {minutes(made)}"
    )


def again() -> str:
    """Trainings done once more: with the same seed the same curve, with others the noise."""
    rows = []
    for file in sorted((CURVES / "again").glob("*.json")):
        made = json.loads(file.read_text("utf-8"))
        shipped = json.loads((CURVES / f"{made['recipe']}.json").read_text("utf-8"))
        same = (
            file.with_suffix(".csv").read_bytes() == (CURVES / f"{made['recipe']}.csv").read_bytes()
        )
        curve = "equal in every digit" if same else "another"
        row = (f"`{made['recipe']}`", str(made["seed"]), reached(shipped), reached(made), curve)
        rows.append(row)
    return table(("Recipe", "Seed", "Shipped, on fold 3", "Again", "Curve"), rows)


def goal(workspace: Path, board: pd.DataFrame) -> str:
    """Which rows beat NMF with as many examples, and which reach the SDRi that was aimed at.

    The p-values of all rows are corrected together, as those of a leaderboard are.
    """
    asked = {key: of for key, of in rows_of(board, RIGHT) if key[0] in SMALL}
    verdicts: list[list[str]] = []
    for metric in ("sdr", "si_sdr"):
        tests = [tested(workspace, *key, metric) for key in asked]
        corrected = holm([test.permutation for test in tests])
        verdicts.append([verdict(*each) for each in zip(tests, corrected, strict=True)])
    rows = []
    for key, of, *found in zip(asked, asked.values(), *verdicts, strict=True):
        sdri: Any = of.loc["sdri"]
        reaches = "yes" if sdri["value"] >= GOAL_DB else f"no, {sdri['value']:.2f} dB"
        rows.append((*key, reaches, *found))
    head = ("Model", "Query", "SDRi of 5 dB", "beats NMF in SDR", "in SI-SDR")
    return table(head, rows)


def verdict(test: Any, corrected: float) -> str:
    """What a test says of a row, by its own p-value and by the corrected one."""
    if test.mean <= 0:
        return "no"
    if corrected < LEVEL:
        return "yes"
    return "alone only" if test.permutation < LEVEL else "not by the test"


def minutes(made: Mapping[str, Any]) -> str:
    """How long a training took, and on what."""
    where = "one core" if made["device"] == "cpu" else made["device"]
    return f"{60 * made['hours']:.0f} min on {where}"


def reached(made: Mapping[str, Any]) -> str:
    """What the best checkpoint of a training came to on fold 3."""
    best = made["best"]
    if "hits" in best:
        return f"right answers {100 * best['hits']:.0f} %"
    return f"SDRi {best['sdr_improvement']:.2f} dB, SI-SDRi {best['si_sdr_improvement']:.2f} dB"


def card(model: str, board: pd.DataFrame) -> str:
    """What a file holds, how it was made, and what it came to."""
    made, *first = (
        json.loads((CURVES / f"{name}.json").read_text("utf-8"))
        for name in (model, *FIRST.get(model, ()))
    )
    file = Path(sb.load_baseline(model).checkpoint)
    rows = [
        ("File", f"`{file.name}`, {file.stat().st_size / 2**20:.2f} MB, float16"),
        ("Network", NETWORKS[model]),
        ("Asked with", ", ".join(sb.load_baseline(model).card.query_kinds)),
        ("Recipe", made_by(made)),
        *(("Before it", made_by(before)) for before in first),
        (
            "Learned from",
            f"{made['train_clips']} clips of ESC-10 (folds 1 and 2), chosen with "
            f"{made['validation_clips']} of fold 3",
        ),
        ("On fold 3", "; before it, ".join(reached(each) for each in (made, *first))),
        *(
            (
                f"On the demo, by {query}",
                f"SDRi {with_interval(of, 'sdri')} dB, SI-SDRi {with_interval(of, 'si_sdri')} dB",
            )
            for (name, query), of in rows_of(board, RIGHT)
            if name == model
        ),
    ]
    return table(("", ""), rows)


def scores(board: pd.DataFrame) -> str:
    """Every row of the demo, with its improvements."""
    rows = [
        (model, query, with_interval(of, "sdri"), with_interval(of, "si_sdri"), counted(of))
        for (model, query), of in rows_of(board, RIGHT)
        if model != "mixture"
    ]
    return table(("Model", "Query", "SDRi", "SI-SDRi", "Scored"), rows)


def against(workspace: Path, board: pd.DataFrame) -> str:
    """Each learned row against NMF with as many examples, or with three."""
    rows = []
    for (model, query), _ in rows_of(board, RIGHT):
        if model in SMALL:
            found = [told(tested(workspace, model, query, metric)) for metric in ("sdr", "si_sdr")]
            rows.append((model, query, f"audio ×{shots_of_nmf(query)}", *found))
    return table(("Model", "Query", "NMF's query", "SDR", "SI-SDR"), rows)


def shots(board: pd.DataFrame) -> str:
    """Improvements over the number of examples."""
    rows = []
    for model in ("nmf", "audiosep-small", "stsed-small"):
        for column, title in (("sdri", "SDRi"), ("si_sdri", "SI-SDRi")):
            cells = dict(rows_of(board, RIGHT))
            values = [with_interval(cells[model, f"audio ×{count}"], column) for count in SHOTS]
            rows.append((model, title, *values))
    return table(("Model", "dB", *(f"{count} shot{'s' * (count > 1)}" for count in SHOTS)), rows)


def text_against_audio(workspace: Path) -> str:
    """The one small model that takes both, asked in both ways."""
    rows = [
        (
            f"{a} against {b}",
            *(
                compared(workspace, f"audiosep-small@{a}", f"audiosep-small@{b}", metric)
                for metric in ("sdr", "si_sdr")
            ),
        )
        for a, b in (("text", "audio1"), ("text", "audio3"), ("text", "label"))
    ]
    return table(("audiosep-small", "SDR", "SI-SDR"), rows)


def wrong_queries(board: pd.DataFrame) -> str:
    """SDRi where the query names the target, the other sound, or a class that is not there."""
    right, other, absent, silent = (
        dict(rows_of(board, name)) for name in (RIGHT, OTHER, ABSENT, SILENT)
    )
    rows = [
        (
            *key,
            with_interval(right[key], "sdri"),
            with_interval(other[key], "sdri"),
            with_interval(absent[key], "sdri"),
            with_interval(silent[key], "suppression"),
        )
        for key in right
        if key[0] in (*SMALL, "nmf")
    ]
    return table(
        ("Model", "Query", "right class", "the other sound's", "an absent one's", "suppression"),
        rows,
    )


def rows_of(board: pd.DataFrame, protocol: str) -> Iterable[tuple[tuple[str, str], pd.DataFrame]]:
    """(model, query) -> its columns, by their keys, in the order of the table."""
    of = board[board["protocol"] == protocol]
    for key, rows in of.groupby(["model", "query"], sort=False):
        yield (str(key[0]), str(key[1])), rows.set_index("column")


def with_interval(of: pd.DataFrame, column: str) -> str:
    """A mean in dB with half of its 95 % interval."""
    row: Any = of.loc[column]
    return f"{row['value']:.2f} ±{(row['high'] - row['low']) / 2:.2f}"


def counted(of: pd.DataFrame) -> str:
    """How many of the items that count have a score."""
    row: Any = of.loc["sdr"]
    return f"{row['scored']}/{row['expected']}"


def shots_of_nmf(query: str) -> str:
    """How many examples NMF gets beside a row: as many, or three where the row has none."""
    return query[-1] if query.startswith("audio") else str(SHOTS[-1])


def tested(workspace: Path, model: str, query: str, metric: str) -> Any:
    """A learned row against NMF's."""
    nmf = f"nmf@audio{shots_of_nmf(query)}"
    (found,) = sb.compare(workspace, name(model, query), nmf, metric=metric, protocol=RIGHT)
    return found.test


def compared(workspace: Path, a: str, b: str, metric: str) -> str:
    """How much better a is, and whether the paired test says so."""
    (found,) = sb.compare(workspace, a, b, metric=metric, protocol=RIGHT)
    return told(found.test)


def told(test: Any) -> str:
    """A paired difference with its interval and p."""
    p = "< 0.001" if test.permutation < 0.001 else f"= {test.permutation:.3f}"
    return f"{test.mean:+.2f} [{test.low:.2f}, {test.high:.2f}], p {p}"


def name(model: str, query: str) -> str:
    """A row's name as `bench compare` takes it; a model asked in one way goes by its own."""
    one_way = ("unet-tag-small",)
    return model if model in one_way else f"{model}@{query.replace(' ×', '')}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def rewrite(page: Path, parts: Mapping[str, str]) -> None:
    """Put each part between its markers.

    Raises:
        SystemExit: the page has no such markers.
    """
    text = page.read_text("utf-8")
    for part, written in parts.items():
        begin, end = f"<!-- {part} -->\n", f"<!-- end of {part} -->"
        before, _, rest = text.partition(begin)
        _, found, after = rest.partition(end)
        if not found:
            raise SystemExit(f"{page} has no place for {part}.")
        text = f"{before}{begin}{written}\n{end}{after}"
    page.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
