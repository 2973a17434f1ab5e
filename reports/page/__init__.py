"""The page's template, scripts and style: files that `sepbench.reports.html` copies."""
