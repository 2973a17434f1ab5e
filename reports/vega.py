"""Vega-Lite for the page: the maintained library that draws its charts, as one script beside it.

The package vl-convert-python carries Vega, Vega-Lite and Vega-Embed; nothing is fetched.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

SCRIPT = "vega.js"
LICENCE = "vega-licence.md"


def write_vega(folder: Path) -> None:
    """Write the script and its licences into `folder`; seconds the first time in a process."""
    (folder / SCRIPT).write_text(vega_script(), encoding="utf-8")
    notes = files("sepbench.reports.page").joinpath(LICENCE).read_bytes()
    (folder / LICENCE).write_bytes(notes)


def vega_script() -> str:
    """`vegaEmbed`, `vegaLite` and `vega` on the window, by a script of about 900 kB.

    The bundle is a module, and browsers refuse modules from disk. It imports and exports
    nothing, so that a strict function around it makes a plain script of it.
    """
    import vl_convert

    lite = vl_convert.get_vegalite_versions()[-1]
    head = (
        f"/*! Vega {vl_convert.get_vega_version()}, Vega-Lite {lite}, Vega-Embed "
        f"{vl_convert.get_vega_embed_version()}; licences: {LICENCE} */"
    )
    # Its types ask for a snippet, its code does not; without one the bundle is kept in memory.
    bundle = vl_convert.javascript_bundle(vl_version=lite)  # type: ignore[call-arg]
    return f'{head}\n(() => {{ "use strict";\n{bundle}\n}})();\n'
