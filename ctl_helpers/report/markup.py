"""Frames of strings as HTML, Markdown and LaTeX; whatever comes from data is escaped."""

import html
import re
from typing import Any

import jinja2
import numpy as np
import pandas as pd

from ctl_helpers.results.naming import DAGGER

_NUMBER = re.compile(r"[<–-]?\d+(\.\d+)?( \[.*\]| / \d.*| of \d.*| × \d+| \(.*\)| †)*|–")
_LATEX = {c: f"\\{c}" for c in "&%$#_{}"} | {
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{DAGGER: r"\textdagger{}", "→": r"$\rightarrow$", "–": "--", "·": r"$\cdot$"},
    **{"|": r"\textbar{}", "<": r"\textless{}", ">": r"\textgreater{}", "[": "{[}", "]": "{]}"},
}


def pages() -> jinja2.Environment:
    """Return the environment of the package's page templates, which escapes all values."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader("ctl_helpers.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )


def to_html(
    shown: pd.DataFrame, caption: str = "", note: str = "", bold: pd.DataFrame | None = None
) -> str:
    """Write a frame of strings as an HTML table in a box that scrolls by itself."""
    module: Any = pages().get_template("table.html").module
    return str(module.table(rows_of(shown, bold), caption, note))


def rows_of(shown: pd.DataFrame, bold: pd.DataFrame | None = None) -> dict:
    """Return what the template of tables needs: heads and cells, each with its alignment."""
    marks = np.zeros(shown.shape, bool) if bold is None else bold.to_numpy(bool)
    right = [is_numeric(shown[column]) for column in shown]
    rows = [
        [{"text": text, "right": r, "bold": b} for text, r, b in zip(row, right, mark, strict=True)]
        for row, mark in zip(shown.to_numpy(str), marks, strict=True)
    ]
    heads = [{"text": str(c), "right": r} for c, r in zip(shown.columns, right, strict=True)]
    return {"heads": heads, "rows": rows}


def to_markdown(
    shown: pd.DataFrame, caption: str = "", note: str = "", bold: pd.DataFrame | None = None
) -> str:
    """Write a frame of strings as a Markdown table, numbers to the right."""
    cells = shown.map(escape_markdown)
    if bold is not None:
        cells = cells.where(~bold.to_numpy(bool), "**" + cells + "**")
    numeric = [is_numeric(shown[column]) for column in shown]
    lines = [
        "| " + " | ".join(map(escape_markdown, shown.columns)) + " |",
        "|" + "|".join("---:" if right else "---" for right in numeric) + "|",
        *("| " + " | ".join(row) + " |" for row in cells.to_numpy(str)),
    ]
    caption, note = escape_markdown(caption), escape_markdown(note)
    parts = [f"**{caption}**" if caption else "", "\n".join(lines), f"*{note}*" if note else ""]
    return "\n\n".join(filter(None, parts)) + "\n"


def to_latex(
    shown: pd.DataFrame,
    label: str,
    caption: str = "",
    note: str = "",
    bold: pd.DataFrame | None = None,
) -> str:
    """Write a frame of strings as a LaTeX table that needs the package booktabs."""
    columns = "".join("r" if is_numeric(shown[column]) else "l" for column in shown)
    plain = shown.reset_index(drop=True).set_axis(map(escape_latex, shown.columns), axis=1)
    style = plain.style.hide(axis="index").format(escape_latex)
    if bold is not None:
        css = np.where(bold.to_numpy(bool), "font-weight: bold", "")
        style = style.apply(lambda _: css, axis=None)
    text = style.to_latex(
        **{"column_format": columns, "hrules": True, "convert_css": True, "label": f"tab:{label}"},
        **{"caption": escape_latex(caption) or None, "position_float": "centering"},
    )
    if note:
        below = rf"\par\smallskip\footnotesize {escape_latex(note)}"
        text = text.replace(r"\end{table}", f"{below}\n\\end{{table}}")
    return text


def escape_markdown(text: object) -> str:
    r"""Escape what Markdown or the HTML in it would take for markup.

    Examples
    --------
    >>> print(escape_markdown("<b>[x](y) 86.9 [85.1, 88.7]"))
    &lt;b&gt;[x\](y) 86.9 [85.1, 88.7]
    """
    text = re.sub(r"([\\`*_|~$])", r"\\\1", " ".join(str(text).split()))
    return html.escape(re.sub(r"\](?=[(\[:])", r"\\]", text), quote=False)


def escape_latex(text: object) -> str:
    """Escape what LaTeX would take for a command."""
    return "".join(_LATEX.get(character, character) for character in " ".join(str(text).split()))


def is_numeric(cells: pd.Series) -> bool:
    """Whether all cells that hold something hold a number, with or without its interval."""
    filled = [cell for cell in cells if cell]
    return bool(filled) and all(_NUMBER.fullmatch(cell) for cell in filled)
