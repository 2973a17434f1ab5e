"""The report formats there are. To add one: a module here and a line, or an entry point of the
group `sepbench.reports` that names a `Report`.
"""  # noqa: D205

CATALOG = {
    "md": "sepbench.reports.markdown:REPORT",
    "csv": "sepbench.reports.table:REPORT",
    "latex": "sepbench.reports.latex:REPORT",
    "json": "sepbench.reports.json_report:REPORT",
    "html": "sepbench.reports.html:REPORT",
    "figures": "sepbench.reports.figures:REPORT",
}
