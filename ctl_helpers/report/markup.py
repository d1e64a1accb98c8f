"""Frames of strings as Markdown and LaTeX."""

import re

import pandas as pd

DAGGER = "†"
_NUMBER = re.compile(r"[<–-]?\d+(\.\d+)?( \[.*\]| / \d.*| of \d.*| × \d+)?")


def to_markdown(shown: pd.DataFrame, caption: str = "", note: str = "") -> str:
    """Write a frame of strings as a Markdown table, numbers to the right."""
    numeric = [_is_numeric(shown[column]) for column in shown]
    lines = [
        "| " + " | ".join(map(_escape_markdown, shown.columns)) + " |",
        "|" + "|".join("---:" if right else "---" for right in numeric) + "|",
    ]
    for row in shown.to_numpy(str):
        lines.append("| " + " | ".join(map(_escape_markdown, row)) + " |")
    parts = [f"**{caption}**" if caption else "", "\n".join(lines), f"*{note}*" if note else ""]
    return "\n\n".join(filter(None, parts)) + "\n"


def to_latex(shown: pd.DataFrame, label: str, caption: str = "", note: str = "") -> str:
    """Write a frame of strings as a LaTeX table that needs the package booktabs."""
    columns = "".join("r" if _is_numeric(shown[column]) else "l" for column in shown)
    rows = [" & ".join(map(_escape_latex, row)) + r" \\" for row in shown.to_numpy(str)]
    lines = [
        *(r"\begin{table}", r"\centering"),
        *([rf"\caption{{{_escape_latex(caption)}}}"] if caption else []),
        *(rf"\label{{tab:{label}}}", rf"\begin{{tabular}}{{{columns}}}", r"\toprule"),
        *(" & ".join(map(_escape_latex, shown.columns)) + r" \\", r"\midrule", *rows),
        *(r"\bottomrule", r"\end{tabular}"),
        *([rf"\par\smallskip\footnotesize {_escape_latex(note)}"] if note else []),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _escape_markdown(text: str) -> str:
    return str(text).replace("|", "\\|").replace("\n", " ")


def _escape_latex(text: str) -> str:
    special = {c: f"\\{c}" for c in "&%$#_{}"} | {
        "\\": r"\textbackslash{}",
        **{"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", DAGGER: r"\textdagger{}"},
        **{"→": r"$\rightarrow$", "–": "--", "<": r"\textless{}", ">": r"\textgreater{}"},
    }
    return "".join(special.get(character, character) for character in str(text))


def _is_numeric(cells: pd.Series) -> bool:
    filled = [cell for cell in cells if cell]
    return bool(filled) and all(_NUMBER.fullmatch(cell) for cell in filled)
