"""The report's index page."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ctl_helpers.corpora import SYNTHETIC
from ctl_helpers.report import tables
from ctl_helpers.report.findings import Findings
from ctl_helpers.report.markup import CAPTIONS, template
from ctl_helpers.report.notebooks import read_about
from ctl_helpers.results.naming import OURS, label_of, name_of, said_of
from ctl_helpers.results.published import references
from ctl_helpers.runs.store import write_text

_ROWS = 12  # of a corpus in the first figure


def write_index(out: str | Path, problems: Sequence[str] = ()) -> Path:
    """Write a report's index page, which loads nothing from other machines.

    Parameters
    ----------
    out : path
        The report's folder: its runs, figures and executed notebooks are on the page. Where its
        speech is synthetic the first line says so, and published numbers are left out.
    problems : list of str
        What was left out, a line each.

    Returns
    -------
    Path
        ``out/index.html``.
    """
    out = Path(out)
    found = Findings(out)
    written = sorted((out / "notebooks").glob("*.html"))
    if len(found.runs) and not found.synthetic:  # synthetic pages are left from an earlier study
        written = [path for path in written if SYNTHETIC not in path.read_text(encoding="utf-8")]
    pages = [about | {"name": path.stem} for path in written if (about := read_about(path))]
    write_text(out / "references.bib", references(found.runs))
    first = tables.first_look(found.scores, _ROWS)
    panels: list[dict[str, Any]] = []
    for corpus, scores in first.groupby("corpus", sort=False):
        rows = [_row(*row) for row in scores.groupby("label", sort=False)]
        chance = tables.chance_of(scores.iloc[0])
        panels.append({"name": name_of(corpus), "chance": chance, "rows": rows})
    dots = [dot["kind"] for panel in panels for row in panel["rows"] for dot in row["dots"]]
    labels = {label_of(row) for row in found.inside.to_dict("records") if not row["optimistic"]}
    text = template("index.html").render(
        synthetic=SYNTHETIC if found.synthetic else "",
        runs=found.count,
        panels=panels,
        kinds=set(dots),
        cut=_ROWS if len(labels) > _ROWS else 0,
        findings=found.sentences(),
        corpora=_cards(found),
        figures=_figures(out, pages),
        questions=found.questions(),
        notebooks=CAPTIONS["notebooks"],
        pages=pages,
        problems=problems,
        folders={name: text for name, text in CAPTIONS["folders"].items() if (out / name).exists()},
    )
    return write_text(out / "index.html", text.replace(" %", "\u00a0%"))


def _row(label: str, scores: pd.DataFrame) -> dict:
    """Lay out a row of the first figure: its dots, shuffled folds first, and what they say."""
    dots: list[dict[str, Any]] = []
    said = []
    for row in scores.sort_values("condition", ascending=False).to_dict("records"):
        ours, score = row["reported_by"] == OURS, tables.interval_of(row)
        dots.append({"kind": _kind(row) if ours else "theirs", "score": score})
        ends = "" if pd.isna(score.low) else f" [{score.low:.1f}, {score.high:.1f}]"
        said.append(f"{name_of(row['protocol'])} {score.value:.1f} %{ends}")
    values = sorted(dot["score"].value for dot in dots)
    return {"label": label, "dots": dots, "ends": values, "text": f"{label}: {'; '.join(said)}"}


def _kind(row: dict) -> str:
    """Name the class that the style sheet has for a score."""
    if row["condition"] == tables.SHUFFLED:
        return "shuffled"
    return "own" if row["normalisation"] == "speaker" else "out"


def _cards(found: Findings) -> list[dict]:
    """Tell of each corpus what was tested in it and what came out best."""
    cards = []
    inside = found.inside[found.inside["reported_by"] == OURS]
    scores = tables.first_look(inside, most=len(inside)).sort_values("uar", ascending=False)
    for corpus, rows in inside.groupby("corpus", sort=False):
        classes = max(rows["classes"], key=len).split(", ")
        utterances = rows[["utterances", "of_utterances"]].max().max()
        said = f"{utterances} utterances, {len(classes)} classes: {', '.join(classes)}"
        best = scores[scores["corpus"] == corpus]
        own = best["normalisation"].eq("speaker")  # needs speech of the test voices
        best = best[~best.assign(own=own).duplicated(["condition", "own"])]
        lines = [
            {
                "what": ", ".join(filter(None, (row["condition"], said_of(row["normalisation"])))),
                **{"score": f"{row['uar']:.1f} %", "method": row["label"]},
            }
            for row in best.sort_values("condition", ascending=False).to_dict("records")
        ]
        cards.append({"name": name_of(corpus), "said": said, "lines": lines})
    return cards


def _figures(out: Path, pages: Sequence[dict[str, str]]) -> list[dict]:
    """List the page's figures: of each kind the first that is there."""
    files, shown = sorted(path.name for path in (out / "figures").glob("*.png")), []
    for kind, caption in CAPTIONS["figures"].items():
        for page in pages:
            name = re.compile(rf"{re.escape(page['name'])}-{kind}(-.*)?\.png")
            if drawn := next(filter(name.fullmatch, files), None):
                href = f"figures/{drawn}"
                shown.append({"href": href, "title": page["title"], "caption": caption})
                break
    return shown
