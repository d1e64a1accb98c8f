"""Sections of README and docs that are written by a command, between two markers."""

import re
from pathlib import Path

import pandas as pd

from ctl_helpers.errors import StudyError
from ctl_helpers.report import cells, tables
from ctl_helpers.report.findings import Findings
from ctl_helpers.report.markup import CAPTIONS, escape_markdown
from ctl_helpers.runs.store import write_text

START, END = "<!-- results -->", "<!-- /results -->"
_ROWS = 9  # of each corpus in the README


def rewrite_section(file: str | Path, text: str) -> None:
    """Replace what stands between the two markers of a file.

    Parameters
    ----------
    file
        A Markdown file with the lines ``START`` and ``END``, one of each.
    text
        What is to stand there.

    Raises
    ------
    StudyError
        If the file cannot be read or written, or has not the two markers.
    """
    file = Path(file)
    try:
        before = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(f"{file}: cannot read it ({error})") from error
    parts = re.fullmatch(f"(.*{START}).*({END}.*)", before, re.DOTALL)
    if parts is None or before.count(START) > 1 or before.count(END) > 1:
        raise StudyError(f"{file}: expected the lines {START} and {END}, one of each")
    write_text(file, f"{parts[1]}\n{text.strip()}\n{parts[2]}")


def rewrite_readme(readme: str | Path, out: str | Path, docs: str | Path) -> int:
    """Rewrite the results in the README, and all tables in the docs, from a report's runs.

    Parameters
    ----------
    readme
        The file; it gets one small table and three sentences.
    out
        The report's folder.
    docs
        The file that gets all tables, such as ``docs/results.md``.

    Returns
    -------
    int
        How many runs they are made from.

    Raises
    ------
    StudyError
        If there are no runs, their speech is synthetic, or a file cannot be written.
    """
    found = Findings(out)
    if found.runs.empty:
        raise StudyError(f"results {out}: expected a report with runs, found none")
    if found.synthetic:
        raise StudyError(f"results {out}: expected a report of real speech, got a synthetic one")
    rewrite_section(readme, small_section(found))
    tables_of = [f"## {title}\n\n{one.markdown()}" for title, one in found.questions().items()]
    rewrite_section(docs, "\n".join(tables_of))
    return found.count


def small_section(found: Findings) -> str:
    """Write the sentences and one small table: rows methods, columns corpora and conditions."""
    parts = ["\n".join(f"- {escape_markdown(sentence)}" for sentence in found.sentences())]
    inside = found.inside[~found.inside["optimistic"].eq(True)]
    networks = inside[inside["kind"].eq("network") & inside["protocol"].eq("kfold")]
    shown = pd.concat([tables.first_look(found.scores, _ROWS), networks])
    if len(inside):
        table, picked = map(tables.at_a_glance, (inside, shown))
        table = table[table["method"].isin(picked["method"])]
        parts.append(cells.as_table(table).markdown())
        parts.append(CAPTIONS["notes"]["readme"].format(**CAPTIONS["notes"]))
    return "\n\n".join(filter(None, parts))
