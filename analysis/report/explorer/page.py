"""The explorer: one self-contained page in which price, code and training can be chosen."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

from analysis.formatting import with_units
from analysis.report.explorer.data import explorer_data
from analysis.study import Study

_SCRIPTS = (
    "numbers.js",
    "critical.js",
    "axes.js",
    "curves.js",
    "sizes.js",
    "downloads.js",
    "cells.js",
    "controls.js",
    "explorer.js",
)


def page(study: Study, subtitle: str, nothing: str = "", article: str = "", answer: str = "") -> str:
    """The page as HTML. It loads nothing from anywhere; `nothing` is what it says where no cell was coded.

    `article`: the report itself as HTML, which stands below what can be chosen. `answer`: what stands above all that.
    """
    data = explorer_data(study) | {"subtitle": subtitle, "nothing": nothing}
    # Inside a script element only "<" can end the data.
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, sort_keys=True).replace("<", "\\u003c")
    pieces = {
        "title": html.escape(f"{study.table.name}: critical model sizes"),
        "style": _template("explorer.css"),
        "script": "\n".join(map(_template, _SCRIPTS)),
        "data": text,
        "article": article,
        "answer": f'<p id="searched">{html.escape(with_units(answer))}</p>' if answer else "",
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda place: pieces[place[1]], _template("explorer.html"))


def _template(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
