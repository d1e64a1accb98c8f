"""Tables as HTML, Markdown and LaTeX; whatever comes from data is escaped."""

import html
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd

CAPTIONS = tomllib.loads(Path(__file__).with_name("captions.toml").read_text(encoding="utf-8"))
"""Words of the report that are not in the code: titles, captions, notes."""
_NUMBER = re.compile(r"[<–-]?\d+(\.\d+)?( \[.*\]| / \d.*| of \d.*| × \d+| \(.*\)| †)*|–")
_LATEX = {c: f"\\{c}" for c in "&%$#_{}"} | CAPTIONS["latex"]


def template(name: str) -> jinja2.Template:
    """Return one of the package's page templates, which escape all values."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader("ctl_helpers.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    ).get_template(name)


@dataclass(frozen=True, eq=False)
class Table:
    """A table as strings, ready to be shown.

    Parameters
    ----------
    cells : DataFrame
        Strings.
    bold : DataFrame, optional
        Which of them are bold; the shape of ``cells``.
    caption, note : str
        What stands above and below.
    """

    cells: pd.DataFrame
    bold: pd.DataFrame | None = None
    caption: str = ""
    note: str = ""

    @cached_property
    def right(self) -> list[bool]:
        """Which columns stand to the right: those of numbers, with or without an interval."""
        filled = [[cell for cell in self.cells[column] if cell] for column in self.cells]
        return [bool(some) and all(map(_NUMBER.fullmatch, some)) for some in filled]

    @property
    def marks(self) -> np.ndarray:
        """Which cells are bold."""
        return np.zeros(self.cells.shape, bool) if self.bold is None else self.bold.to_numpy(bool)

    @property
    def rows(self) -> Iterator[list[tuple[str, bool, bool]]]:
        """Of each row the cells: text, whether it is bold, whether it stands to the right."""
        for texts, marks in zip(self.cells.to_numpy(str), self.marks, strict=True):
            yield list(zip(texts, marks, self.right, strict=True))

    def html(self) -> str:
        """Write the table as HTML, in a box that scrolls by itself."""
        module: Any = template("table.html").module
        return str(module.table(self))

    def markdown(self) -> str:
        """Write the table as Markdown, numbers to the right."""
        cells = self.cells.map(escape_markdown)
        cells = cells.where(~self.marks, "**" + cells + "**").to_numpy(str).tolist()
        heads = [escape_markdown(name) for name in self.cells.columns]
        rule = "|".join("---:" if right else "---" for right in self.right)
        lines = [f"| {' | '.join(row)} |" for row in [heads, *cells]]
        lines.insert(1, f"|{rule}|")
        caption, note = escape_markdown(self.caption), escape_markdown(self.note)
        parts = [f"**{caption}**" if caption else "", "\n".join(lines), f"*{note}*" if note else ""]
        return "\n\n".join(filter(None, parts)) + "\n"

    def latex(self, label: str) -> str:
        """Write the table as LaTeX that needs the package booktabs; ``label`` is its label.

        What is no letter, digit, ".", "_" or "-" becomes "_" in it.
        """
        label = re.sub(r"[^\w.-]", "_", label, flags=re.ASCII)
        heads = map(escape_latex, self.cells.columns)
        plain = self.cells.reset_index(drop=True).set_axis(heads, axis=1)
        css = np.where(self.marks, "font-weight: bold", "")
        style = plain.style.hide(axis="index").format(escape_latex).apply(lambda _: css, axis=None)
        text = style.to_latex(
            column_format="".join("r" if right else "l" for right in self.right),
            **{"hrules": True, "convert_css": True, "label": f"tab:{label}"},
            **{"caption": escape_latex(self.caption) or None, "position_float": "centering"},
        )
        if self.note:
            below = rf"\par\smallskip\footnotesize {escape_latex(self.note)}"
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
