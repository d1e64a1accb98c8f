"""Sections of README and docs that are written by a command, between two markers."""

from pathlib import Path

from ctl_helpers.errors import StudyError
from ctl_helpers.report import tables
from ctl_helpers.report.figures.scores import glance
from ctl_helpers.report.findings import Findings, findings
from ctl_helpers.report.index import read_study, study_runs
from ctl_helpers.report.markup import escape_markdown, to_markdown
from ctl_helpers.report.notebooks import SYNTHETIC
from ctl_helpers.results.naming import label_of
from ctl_helpers.runs.store import write_text

START, END = "<!-- results -->", "<!-- /results -->"
_ROWS = 6  # of each corpus in the README


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
    if [before.count(mark) for mark in (START, END)] != [1, 1] or before.find(START) > before.find(
        END
    ):
        raise StudyError(f"{file}: expected the lines {START} and {END}, one of each")
    head, tail = before.split(START)[0], before.split(END)[1]
    write_text(file, f"{head}{START}\n{text.strip()}\n{END}{tail}")


def rewrite_readme(readme: str | Path, out: str | Path, docs: str | Path | None = None) -> int:
    """Rewrite the results in the README, and all tables in the docs, from a report's runs.

    Parameters
    ----------
    readme
        The file; it gets one small table and three sentences.
    out
        The report's folder; without runs in it the section says that there are none yet.
    docs
        The file that gets all tables, such as ``docs/results.md``.

    Returns
    -------
    int
        How many runs are told of.
    """
    runs, study = study_runs(out), read_study(out)
    synthetic = bool(study.get("synthetic"))
    found = findings(Path(out) / "runs", runs, synthetic)
    notice = f"**{SYNTHETIC}**\n\n" if synthetic else ""
    rewrite_section(readme, notice + (small_section(found) if len(runs) else "None yet."))
    if docs is not None:
        text = full_section(found, study.get("commands", ())) if len(runs) else "None yet."
        rewrite_section(docs, notice + text)
    return runs["run"].nunique()


def small_section(found: Findings) -> str:
    """Write the sentences and one small table: rows methods, columns corpora and conditions."""
    parts = ["\n".join(f"- {escape_markdown(sentence)}" for sentence in found.sentences())]
    picked = {label for _, rows, _ in glance(found.scores, _ROWS) for label, _ in rows}
    inside = found.inside[~found.inside["optimistic"].eq(True)]
    inside = inside[[label_of(row) in picked for row in inside.to_dict("records")]]
    if len(inside):
        table = tables.at_a_glance(inside)
        shown = tables.display(table)
        parts.append(to_markdown(shown, bold=tables.best_of(table, shown)))
        parts.append(
            "UAR in percent, last epoch; shuffled folds have every voice in both parts, held out "
            "have none; in brackets, how much of it ran. Intervals and everything else: "
            "[docs/results.md](docs/results.md)."
        )
    return "\n\n".join(filter(None, parts))


def full_section(found: Findings, commands: tuple[str, ...] = ()) -> str:
    """Write a table for every question, and the commands that run it all again."""
    parts = []
    for question in found.questions():
        shown = tables.display(question.frame)
        bold = tables.best_of(question.frame, shown)
        parts.append(f"## {question.title}\n\n{to_markdown(shown, '', question.note, bold)}")
    if commands:
        parts.append("## The same runs again\n\n```sh\n" + "\n".join(commands) + "\n```\n")
    return "\n".join(parts)
