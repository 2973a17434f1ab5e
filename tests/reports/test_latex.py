from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from sepbench.reports import latex
from sepbench.reports.contract import Leaderboard

EXPECTED = r"""% Needs \usepackage{booktabs,threeparttable,amssymb}.
% sepbench 0.1.0
% Python 3.11
\begin{table}
\centering
\begin{threeparttable}
\caption{data, protocol kit. Mean over items $\pm$ half the 95 \% bootstrap interval, clustered by target recording.}
\label{tab:kit}
\begin{tabular}{llrrrr}
\toprule
Model & Query & SI-SDR $\uparrow$ & SI-SDRi $\uparrow$ & Scored & RTF \\
 &  & {\footnotesize [dB]} & {\footnotesize [dB]} &  &  \\
\midrule
\multicolumn{6}{l}{\textit{Lower bound}} \\
mixture & -- & $1.00$ {\scriptsize$\pm$1.00} & -- & 12/12 $\checkmark$ & 0.01 \\
\midrule
slow & text & $3.75$ {\scriptsize$\pm$1.00} & $3.75$ {\scriptsize$\pm$1.00} & 12/12 $\checkmark$ & 0.02 \\
net\_a & text & $\mathbf{6.00}$ {\scriptsize$\pm$1.00} & $6.00$ {\scriptsize$\pm$1.00} & 12/12 $\checkmark$ & 0.03 \\
\midrule
\multicolumn{6}{l}{\textit{Upper bound (oracle)}} \\
oracle & -- & $15.50$ {\scriptsize$\pm$1.00} & $15.50$ {\scriptsize$\pm$1.00} & 12/12 $\checkmark$ & 0.04 \\
\midrule
\multicolumn{6}{l}{\textit{Published, not measured here}} \\
Net \& Co\tnote{$\dagger$} & text & \textit{7.25} & -- & -- & -- \\
\bottomrule
\end{tabular}
\begin{tablenotes}\footnotesize
\item SI-SDR = si\_sdr@1.
\item Bold: better than every other model of its table: Holm-corrected paired test, p \textless{} 0.05.
\item[$\dagger$] Net \& Co: Paper, table 1.
\end{tablenotes}
\end{threeparttable}
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
    ],
)
def test_text_of_strangers_prints_and_does_nothing_else(given: str, escaped: str) -> None:
    assert latex.escape(given) == escaped


def test_a_provenance_line_cannot_leave_its_comment(board: Leaderboard) -> None:
    nasty = dataclasses.replace(board, provenance=("a\n\\input{x}",))

    assert "\n\\input" not in latex.render(nasty)


def test_footnotes_are_numbered_in_the_row_and_below(board: Leaderboard) -> None:
    row = dataclasses.replace(board.tables[0].rows[1], notes=("partial: 3 of 4 items",))
    table = dataclasses.replace(board.tables[0], rows=(row,))

    rendered = latex.render(Leaderboard(tables=(table,)))

    assert r"slow\tnote{1} &" in rendered
    assert r"\item[1] partial: 3 of 4 items." in rendered
