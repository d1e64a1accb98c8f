"""The report's index page."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

import pandas as pd

from ctl_helpers.corpora import is_miniature
from ctl_helpers.errors import StudyError
from ctl_helpers.report import tables
from ctl_helpers.report.figures.scores import glance
from ctl_helpers.report.findings import Findings, findings
from ctl_helpers.report.markup import pages as templates
from ctl_helpers.report.markup import rows_of
from ctl_helpers.report.notebooks import SYNTHETIC
from ctl_helpers.results.naming import OURS, label_of, name_of
from ctl_helpers.results.runs import load_runs
from ctl_helpers.runs.store import write_text

KINDS = {
    "1_feature_exploration": ("Features", "What the speech and its features look like."),
    "2_cpac_kfold": ("Inside one corpus", "Curves, confusions, speakers, embeddings."),
    "3_caam_transfer": ("Across corpora", "Source only against adaptation."),
    "4_result_tables": ("All results", "Ours beside the published, with their sources."),
}
# Figures of the page in their order: the last part of their names, and what the caption says.
CAPTIONS = {
    "verdict": "Every published number beside what its own settings gave here.",
    "across": "Across corpora: each panel is a pair, each dot a method with its 95 % interval; "
    "the dotted line is chance.",
    "gains": "What adaptation adds to the same network without it, in points of UAR.",
    "gap": "What is gained by picking the epoch on the test part: the last epoch against the best.",
    "confusion": "Which emotion is taken for which: rows are the true emotion, columns what the "
    "network said; large numbers are percent of the row, small ones utterances.",
    "curves": "Loss and scores by epoch, mean over the runs with a band of one deviation.",
    "speakers": "UAR of each speaker, weakest at the bottom: a mean can hide one for whom the "
    "network is of no use.",
    "spaces": "Source and target before adaptation and after, by corpus and by emotion.",
    "space": "Utterances by emotion and by speaker; below, how often the nearest neighbour shares "
    "either.",
    "utterances": "One utterance per emotion: waveform, spectrogram, and the MFCC that the network "
    "gets.",
}
_ROWS = 12  # of a corpus in the first figure


def read_study(out: str | Path) -> dict:
    """Read what a study wrote down of itself (``study.json``); empty where there was none."""
    try:
        return json.loads((Path(out) / "study.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise StudyError(f"report {out}: study.json is damaged; run the study again") from error


def study_runs(out: str | Path) -> pd.DataFrame:
    """Read the runs of a report's studies; all of its runs where no study says which.

    Parameters
    ----------
    out : path
        The report's folder.

    Returns
    -------
    DataFrame
        See `runs.load_runs`.
    """
    return load_runs(Path(out) / "runs", read_study(out).get("runs"))


def open_report(out: str | Path, root: str | Path | None = None) -> tuple[pd.DataFrame, bool]:
    """Open a report for a notebook: its runs, and whether their speech is synthetic.

    Prints as its first line that it is, if so.

    Parameters
    ----------
    out : path
        The report's folder.
    root : path, optional
        The folder of corpora that its runs read, None for the miniature ones; asked for where no
        study has written down what its speech was.

    Returns
    -------
    runs : DataFrame
        From `study_runs`.
    synthetic : bool
    """
    synthetic = read_study(out).get("synthetic", root is None or is_miniature(root))
    if synthetic:
        print(SYNTHETIC)
    return study_runs(out), synthetic


def write_index(
    out: str | Path,
    pages: Mapping[str, Sequence[str]],
    synthetic: bool,
    problems: Sequence[str] = (),
) -> Path:
    """Write a report's index page, which asks nothing of any other machine.

    Parameters
    ----------
    out : path
        The report's folder.
    pages : dict
        Its notebooks: notebook and title by the name of the executed one; links to those that are
        there.
    synthetic : bool
        Whether the speech is: the first line then says so, and published numbers are left out.
    problems : list of str
        What was left out, a line each.

    Returns
    -------
    Path
        ``out/index.html``.
    """
    out = Path(out)
    found = findings(out / "runs", study_runs(out), synthetic)
    panels = _panels(found.scores)
    labels = {label_of(row) for row in found.inside.to_dict("records") if not row["optimistic"]}
    text = (
        templates()
        .get_template("index.html")
        .render(
            synthetic=SYNTHETIC if synthetic else "",
            runs=found.runs["run"].nunique(),
            headline=_headline(panels),
            panels=panels,
            marked=any(row["theirs"] for panel in panels for row in panel["rows"]),
            cut=_ROWS if len(labels) > _ROWS else 0,
            findings=found.sentences(),
            corpora=_cards(found),
            figures=_figures(out, pages),
            questions=[
                {"title": one.title, "note": one.note, "table": _table(one.frame)}
                for one in found.questions()
            ],
            notebooks=_links(out, pages),
            problems=problems,
            folders=_folders(out),
        )
    )
    return write_text(out / "index.html", text)


def _table(frame: pd.DataFrame) -> dict:
    shown = tables.display(frame)
    return rows_of(shown, tables.best_of(frame, shown))


def _headline(panels: list[dict]) -> str:
    kinds = {dot["kind"] for panel in panels for row in panel["rows"] for dot in row["dots"]}
    if {"shuffled", "out"} <= kinds:
        return "Known voices against new voices"
    return "Inside each corpus"


def _panels(scores: pd.DataFrame) -> list[dict]:
    """Lay out the first figure: of each corpus rows of dots, in percent of the track."""
    panels = []
    for corpus, rows, chance in glance(scores, _ROWS):
        lines = []
        for label, by_condition in rows:
            dots = [_dot(condition, row) for condition, row in by_condition.items()]
            dots.sort(key=lambda dot: dot["kind"] == "out")
            ends = sorted(dot["value"] for dot in dots)
            said = [f"{name_of(row['protocol'])} {_words(row)}" for row in by_condition.values()]
            lines.append(
                {
                    **{"label": label, "dots": dots, "text": f"{label}: {'; '.join(said)}"},
                    "theirs": dots[0]["kind"] == "theirs",
                    "span": (ends[0], round(ends[-1] - ends[0], 2)) if len(ends) > 1 else None,
                }
            )
        panels.append({"name": name_of(corpus), "chance": round(chance, 2), "rows": lines})
    return panels


def _words(row: dict) -> str:
    name = "uar" if pd.notna(row["uar_low"]) else "pooled_uar"
    if pd.isna(row[f"{name}_low"]):
        return f"{row['uar']:.1f} %"
    return f"{row['uar']:.1f} % [{row[f'{name}_low']:.1f}, {row[f'{name}_high']:.1f}]"


def _dot(condition: str, row: dict) -> dict:
    kind = "shuffled" if condition == tables.SHUFFLED else "out"
    name = "uar" if pd.notna(row["uar_low"]) else "pooled_uar"
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return {
        "kind": kind if row["reported_by"] == OURS else "theirs",
        "score": f"{row['uar']:.1f}",
        "value": round(row["uar"], 2),
        "low": 0 if pd.isna(low) else round(low, 2),
        "width": 0 if pd.isna(low) else round(high - low, 2),
    }


def _cards(found: Findings) -> list[dict]:
    """Tell of each corpus what was tested in it and what came out best."""
    cards = []
    inside = found.inside[found.inside["reported_by"] == OURS]
    for corpus, rows in inside.groupby("corpus", sort=False):
        classes = max(rows["classes"], key=len).split(", ")
        utterances = rows[["utterances", "of_utterances"]].max().max()
        said = f"{utterances} utterances, {len(classes)} classes: {', '.join(classes)}"
        lines = []
        honest = rows[~rows["optimistic"].eq(True)].sort_values("uar", ascending=False)
        for condition in (tables.SHUFFLED, tables.HELD_OUT):
            fits = [tables.condition_of(protocol) == condition for protocol in honest["protocol"]]
            if any(fits):
                best = honest[fits].iloc[0].to_dict()
                score = f"{best['uar']:.1f} %"
                lines.append({"what": condition, "score": score, "method": label_of(best)})
        cards.append({"name": name_of(corpus), "said": said, "lines": lines})
    return cards


def _figures(out: Path, pages: Mapping[str, Sequence[str]]) -> list[dict]:
    """List the page's figures: of each kind the first that is there."""
    shown = []
    for kind, caption in CAPTIONS.items():
        for name, (_, title) in pages.items():
            for path in sorted((out / "figures").glob(f"*-{kind}*.png")):
                rest = path.stem.removeprefix(f"{name}-")
                if rest != path.stem and (rest == kind or rest.startswith(f"{kind}-")):
                    title = "" if name.startswith("4_") else title
                    alt = f"{title}: {caption}" if title else caption
                    line = {"title": title, "caption": caption, "alt": alt}
                    shown.append(line | {"href": _href(path, out)})
                    break
            else:
                continue
            break
    return shown


def _links(out: Path, pages: Mapping[str, Sequence[str]]) -> list[dict]:
    kinds = []
    for kind, (title, text) in KINDS.items():
        links = [
            {"href": _href(path, out), "title": called}
            for name, (notebook, called) in pages.items()
            if notebook == kind and (path := out / "notebooks" / f"{name}.html").is_file()
        ]
        if links:
            kinds.append({"title": title, "text": text, "links": links})
    return kinds


def _folders(out: Path) -> list[dict]:
    words = {"tables": "tables (CSV, Markdown, LaTeX)", "figures": "figures (PNG, SVG)"}
    words |= {"runs": "runs"}
    return [{"href": name, "title": text} for name, text in words.items() if (out / name).is_dir()]


def _href(path: Path, out: Path) -> str:
    return quote(path.relative_to(out).as_posix())
