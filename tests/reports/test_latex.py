from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from sepbench.reports import latex
from sepbench.reports.contract import Leaderboard

EXPECTED = r"""% Needs \usepackage[T1]{fontenc} and \usepackage{booktabs,amssymb,graphicx}.
% sepbench 0.1.0
% Python 3.11
\begin{table}
\centering
\caption{data, protocol kit. Mean over items $\pm$ half the 95 \% bootstrap interval, clustered by target recording. In dB.}
\label{tab:kit}
\smallskip
\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%
\begin{tabular}{llrrrr}
\toprule
Model & Query & SI-SDR $\uparrow$ & SI-SDRi $\uparrow$ & Scored & RTF \\
\midrule
\multicolumn{6}{l}{\textit{Lower bound}} \\
mixture & \textendash{} & $1.00$ {\scriptsize$\pm$1.00} & -- & 12/12 $\checkmark$ & 0.01 \\
\midrule
slow & text & $3.75$ {\scriptsize$\pm$1.00} & $3.75$ {\scriptsize$\pm$1.00} & 12/12 $\checkmark$ & 0.02 \\
net\_a & text & $\mathbf{6.00}$ {\scriptsize$\pm$1.00} & $6.00$ {\scriptsize$\pm$1.00} & 12/12 $\checkmark$ & 0.03 \\
\midrule
\multicolumn{6}{l}{\textit{Upper bound (oracle)}} \\
oracle & \textendash{} & $15.50$ {\scriptsize$\pm$1.00} & $15.50$ {\scriptsize$\pm$1.00} & 12/12 $\checkmark$ & 0.04 \\
\midrule
\multicolumn{6}{l}{\textit{Published, not measured here}} \\
Net \& Co\textsuperscript{$\dagger$} & text & \textit{7.25} & -- & -- & -- \\
\bottomrule
\end{tabular}}

\medskip
{\footnotesize\raggedright
SI-SDR = si\_sdr@1.\par
Bold: better than every other model of its table: Holm-corrected paired test, p \textless{} 0.05.\par
$\dagger$ Net \& Co: Paper, table 1.\par
}
\end{table}
"""  # noqa: E501 - a table's line is one line


def test_the_latex_of_a_board(board: Leaderboard, tmp_path: Path) -> None:
    (path,) = latex.REPORT.write(board, tmp_path)

    assert path.name == "leaderboard.tex"
    assert path.read_text("utf-8") == EXPECTED


@pytest.mark.parametrize(
    ("given", "escaped"),
    [
        ("a_b & 5%", r"a\_b \& 5\%"),
        (r"\input{/etc/passwd}", r"\textbackslash{}input\{/etc/passwd\}"),
        ("$x^2$ ~#", r"\$x\textasciicircum{}2\$ \textasciitilde{}\#"),
        ("two\nlines", "two lines"),
        ("[2pt] *", "{[}2pt{]} {*}"),
        ("a--b -- c", "a-{}-b -{}- c"),
        ("na\u00efve e\u0301", "na\u00efve \u00e9"),
        ("\u4e2d\x07", "{[}U+4E2D{]}{[}U+0007{]}"),
    ],
)
def test_text_of_strangers_prints_and_does_nothing_else(given: str, escaped: str) -> None:
    assert latex.escape(given) == escaped


def test_a_provenance_line_cannot_leave_its_comment(board: Leaderboard) -> None:
    nasty = dataclasses.replace(board, provenance=("a\n\\input{x}",))

    assert "\n\\input" not in latex.render(nasty)


SPECIAL = set("\\{}$&#%~^<>|\"'`")
COMMANDS = re.compile(
    r"\\(?:[A-Za-z]+\{\}|[&#%_${}])|\$-\$|\$\\[a-z]+\$|\{[\[\]*]\}|(?<=-)\{\}(?=-)"
)


@pytest.mark.parametrize("code", range(0x20, 0x250))
def test_no_character_of_a_stranger_stays_special(code: int) -> None:
    escaped = latex.escape(f"x{chr(code)}y")

    assert not SPECIAL & set(COMMANDS.sub("", escaped))
    assert all(c.isascii() or c.isalpha() for c in escaped)


def test_metrics_of_one_family_share_a_head(board: Leaderboard) -> None:
    first, second = board.tables[0].columns
    columns = (
        first,
        dataclasses.replace(second, title="SIR (BSS Eval v3)"),
        dataclasses.replace(second, name="sar", title="SAR (BSS Eval v3)", unit="1"),
    )
    table = dataclasses.replace(board.tables[0], columns=columns)

    rendered = latex.render(Leaderboard(tables=(table,)))

    assert r" &  & \multicolumn{1}{c}{} & \multicolumn{2}{c}{BSS Eval v3} &  &  \\" in rendered
    assert r"\cmidrule(lr){4-5}" in rendered
    assert r"& SIR $\uparrow$ & SAR $\uparrow$ &" in rendered
    assert r"{\footnotesize [dB]} & {\footnotesize [dB]} & {\footnotesize [1]}" in rendered


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles_whatever_strangers_called_their_models(
    board: Leaderboard, tmp_path: Path
) -> None:
    names = ["[1em] first", "*", "".join(map(chr, range(0x20, 0x17F))), "中 😀 \x07", r"\par}"]
    row = board.tables[0].rows[1]
    rows = [dataclasses.replace(row, label=name, query=name, notes=(name,)) for name in names]
    table = dataclasses.replace(
        board.tables[0], rows=(*board.tables[0].rows, *rows), dataset=names[2], notes=(names[2],)
    )
    hostile = dataclasses.replace(board, tables=(table, board.tables[0]), provenance=(names[2],))
    latex.REPORT.write(hostile, tmp_path)
    (tmp_path / "main.tex").write_text(
        "\\documentclass{article}\\usepackage[T1]{fontenc}\n"
        "\\usepackage{booktabs,amssymb,graphicx}\n"
        "\\begin{document}\\input{leaderboard}\\end{document}\n",
        "utf-8",
    )

    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "main.tex"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout.decode("latin-1")[-2000:]
    assert (tmp_path / "main.pdf").stat().st_size > 10_000


def test_footnotes_are_numbered_in_the_row_and_below(board: Leaderboard) -> None:
    row = dataclasses.replace(board.tables[0].rows[1], notes=("partial: 3 of 4 items",))
    table = dataclasses.replace(board.tables[0], rows=(row,))

    rendered = latex.render(Leaderboard(tables=(table,)))

    assert r"slow\textsuperscript{1} &" in rendered
    assert r"\textsuperscript{1} partial: 3 of 4 items.\par" in rendered
