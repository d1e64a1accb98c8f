"""Tables: results as people read them, and as CSV, Markdown and LaTeX.

Frames hold scores in **percent** as plain numbers, a score ``x`` with its 95 % interval in the
columns ``x_low`` and ``x_high``. `display` folds these into one cell for the eye.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from ctl_helpers.report.markup import to_latex, to_markdown
from ctl_helpers.results.naming import (
    DAGGER,
    HEADINGS,
    OURS,
    columns_of,
    label_of,
    method_of,
    name_of,
    named_apart,
    part_of,
    place_of,
)
from ctl_helpers.results.published import published_beside
from ctl_helpers.results.runs import OPTIMISTIC, PLACE
from ctl_helpers.results.statistics import calibration, proportion_interval
from ctl_helpers.results.summaries import pooled_interval, summary
from ctl_helpers.runs.store import write_text

DAGGER_NOTE = (
    f"{DAGGER} optimistic: the epoch was picked by its score on the test part, as in the "
    "released procedure."
)
SHUFFLED, HELD_OUT = "shuffled", "held out"
_HELD_OUT = ("loso", "grouped")  # partitions are read from files: what they hold out varies
# Columns that hold identifiers; elsewhere the same letters are a speaker's, or a word.
_NAMED = ("corpus", "source", "target", "protocol", "method")
_WORDS = [*PLACE, "method", "recipe", "normalisation", "kind", "selection"]


def ours_beside_published(
    runs: pd.DataFrame, predictions: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Put this study's scores beside the published ones of the same places and classes.

    Parameters
    ----------
    runs
        From `runs.load_runs`; inside corpora, across, or both.
    predictions
        From `runs.load_predictions`; they add the pooled UAR with its interval over utterances.

    Returns
    -------
    pandas.DataFrame
        Rows grouped by place (corpus, or source and target; protocol; label set), the published
        first; scores in percent with their intervals; ``optimistic`` rows get a dagger in
        `display`; reported_by, citation and note say where a number comes from.
    """
    theirs = published_beside(runs).assign(optimistic=False, selection="last", order=0)
    ours = summary(runs, predictions)
    percent = [c for c in ours if c.startswith(("uar", "war", "pooled_", "speaker_"))]
    ours[percent] = 100 * ours[percent].astype(float)
    ours = named_apart(ours).assign(reported_by=OURS)
    ours["order"] = 1 + ours["kind"].eq("shallow")
    # An empty frame beside a full one would make pandas guess the columns' types.
    parts = [part for part in (theirs, ours) if len(part)] or [ours]
    table = pd.concat(parts, ignore_index=True)
    scores = ["uar", "war"] if predictions is None else ["uar", "war", "pooled_uar"]
    notes = ["reported_by", "citation", "note"]
    counts = ["utterances", "of_utterances", "folds", "of_folds", "seeds"]
    intervals = [f"{score}{end}" for score in scores for end in ("", "_low", "_high")]
    table = table.sort_values([*PLACE, "order"], kind="stable", ignore_index=True)
    table = table.reindex(columns=[*_WORDS, *intervals, *counts, "optimistic", *notes])
    table = table.astype({count: "Int64" for count in counts} | {i: float for i in intervals})
    texts = [*_WORDS, *notes]
    return table.astype(dict.fromkeys(texts, object)).fillna(dict.fromkeys(texts, ""))


def condition_of(protocol: str) -> str:
    """Say whether a protocol shuffles utterances, holds speakers out, or neither for certain."""
    if protocol in ("kfold", "stratified"):
        return SHUFFLED
    return HELD_OUT if protocol in _HELD_OUT else name_of(protocol)


def at_a_glance(table: pd.DataFrame, metric: str = "uar") -> pd.DataFrame:
    """Turn `ours_beside_published` on its side: a row per method, a column per place.

    Parameters
    ----------
    table
        Inside corpora (columns ``CASIA, shuffled``, ``CASIA, held out``, ...) or across (a column
        per pair).
    metric
        ``"uar"`` or ``"war"``.

    Returns
    -------
    pandas.DataFrame
        Column method, the best first, then strings: the score in percent, with how much of the
        protocol where it is not all of it, and the protocol where a column holds another one.
    """
    rows = table.to_dict("records")
    places = [_column_of(row) for row in rows]
    cells: dict[str, dict[str, str]] = {}
    for row, place in zip(rows, places, strict=True):
        remarks = [part_of(row).replace(" folds", "")]
        if condition_of(row["protocol"]) == HELD_OUT and row["protocol"] != "loso":
            remarks.append(name_of(row["protocol"]))
        remark = ", ".join(filter(None, remarks))
        text = f"{row[metric]:.1f}" + (f" ({remark})" if remark else "")
        cells.setdefault(label_of(row), {}).setdefault(place, text)
    best = table.assign(label=[label_of(row) for row in rows]).groupby("label")[metric].max()
    cells = {label: cells[label] for label in sorted(cells, key=lambda label: -best[label])}
    columns = sorted(dict.fromkeys(places), key=lambda name: (name == "mean", name.split(",")[0]))
    frame = pd.DataFrame([{"method": method} | line for method, line in cells.items()])
    return frame.reindex(columns=["method", *columns]).fillna("")


def _column_of(row: dict) -> str:
    where = condition_of(row["protocol"]) if row["corpus"] else row["protocol"]
    usual = ("transductive", "emotion")
    words = [where, row["labels"]]
    return ", ".join([place_of(row), *(word for word in words if word not in usual)])


def best_of(frame: pd.DataFrame, shown: pd.DataFrame) -> pd.DataFrame:
    """Mark the best score of each group: of each place, or of each column of `at_a_glance`.

    Parameters
    ----------
    frame
        What was shown.
    shown
        As `display` shows it; same rows.

    Returns
    -------
    pandas.DataFrame
        True where a cell is to be bold, the shape of ``shown``. Optimistic rows never are.
    """
    marks = pd.DataFrame(False, shown.index, shown.columns)
    honest = ~shown.get("method", pd.Series("", shown.index)).str.endswith(DAGGER)
    places = [column for column in PLACE if column in frame]
    if len(frame) > 1 and {"uar", "method"} <= set(frame.columns):
        for metric in ("uar", "war"):
            score = frame[metric].where(honest)
            groups = score.groupby([frame[c] for c in places]) if places else score
            marks[HEADINGS[metric]] = score.eq(groups.transform("max") if places else score.max())
    elif "method" in frame and len(frame) > 1 and not places:
        for column in shown.columns.drop("method"):
            score = pd.to_numeric(shown[column].str.extract(r"^(\d+\.\d+)")[0]).where(honest)
            marks[column] = score.eq(score.max())
    return marks


def per_speaker(predictions: pd.DataFrame) -> pd.DataFrame:
    """Score each speaker of one condition.

    Parameters
    ----------
    predictions
        From `runs.load_predictions`, of one condition; it may hold several seeds.

    Returns
    -------
    pandas.DataFrame
        corpus, speaker, sex, utterances, UAR with its bootstrap interval and WAR with Wilson's, in
        percent.
    """
    rows = []
    for (corpus, speaker), part in predictions.groupby(["corpus", "speaker"]):
        row = {"corpus": corpus, "speaker": speaker, "sex": part["sex"].iloc[0]}
        row["utterances"] = part["utterance"].nunique()
        row |= columns_of("uar", pooled_interval(part, "uar"))
        hits = (part["emotion"] == part["predicted"]).sum() / part["seed"].nunique()
        row |= columns_of("war", proportion_interval(hits, len(part) / part["seed"].nunique()))
        rows.append(row)
    return pd.DataFrame(rows)


def per_emotion(predictions: pd.DataFrame) -> pd.DataFrame:
    """Score each emotion of one condition.

    Parameters
    ----------
    predictions
        From `runs.load_predictions`, of one condition; it may hold several seeds.

    Returns
    -------
    pandas.DataFrame
        corpus, emotion, utterances, recall with Wilson's interval, precision and F1 in percent.
    """
    rows = []
    for corpus, part in predictions.groupby("corpus"):
        seeds = part["seed"].nunique()
        for emotion in sorted(part["emotion"].unique()):
            true, called = part["emotion"] == emotion, part["predicted"] == emotion
            hits = (true & called).sum()
            row = {"corpus": corpus, "emotion": emotion, "utterances": int(true.sum() / seeds)}
            row |= columns_of("recall", proportion_interval(hits / seeds, true.sum() / seeds))
            row["precision"] = 100 * hits / called.sum() if called.any() else np.nan
            row["f1"] = 100 * 2 * hits / (true.sum() + called.sum())
            rows.append(row)
    return pd.DataFrame(rows)


def recalls(runs: pd.DataFrame, predictions: pd.DataFrame, by: str = "emotion") -> pd.DataFrame:
    """Lay the recall of every emotion, or the UAR of every speaker, of all methods side by side.

    Parameters
    ----------
    runs
        From `runs.load_runs`, of one corpus; optimistic rows are left out.
    predictions
        From `runs.load_predictions`.
    by
        ``"emotion"`` or ``"speaker"``.

    Returns
    -------
    pandas.DataFrame
        A row per condition, a column per emotion or speaker, in percent.
    """
    make, score = (per_emotion, "recall") if by == "emotion" else (per_speaker, "uar")
    rows = [
        row | make(mine).set_index(by)[score].to_dict()
        for row, mine in _conditions(runs, predictions)
    ]
    return pd.DataFrame(rows)


def confidences(runs: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    """Say how well the networks' probabilities are calibrated.

    Parameters
    ----------
    runs
        From `runs.load_runs`; optimistic rows and shallow methods, whose probabilities are not
        meant as such, are left out.
    predictions
        From `runs.load_predictions`.

    Returns
    -------
    pandas.DataFrame
        Per condition: WAR, mean confidence and expected calibration error, in percent.
    """
    rows = []
    for row, mine in _conditions(runs[runs["kind"] != "shallow"], predictions):
        row["war"] = 100 * (mine["emotion"] == mine["predicted"]).mean()
        row["confidence"] = 100 * mine.filter(regex="^p_").max(axis=1).mean()
        row["ece"] = 100 * calibration(mine)[0]
        rows.append(row | {"utterances": mine["utterance"].nunique()})
    return pd.DataFrame(rows)


def _conditions(
    runs: pd.DataFrame, predictions: pd.DataFrame
) -> Iterator[tuple[dict, pd.DataFrame]]:
    """Each condition that is no optimistic one, in words, and its predictions."""
    runs = named_apart(runs[runs["selection"] != OPTIMISTIC])
    runs = runs.sort_values(["corpus", "protocol", "kind"], kind="stable")
    keys = [*PLACE, "method", "recipe", "normalisation", "selection"]
    for key, group in runs.groupby(keys, sort=False):
        mine = predictions.merge(group[["run", "selection"]])
        if len(mine):
            yield dict(zip(keys, key, strict=True)), mine


def display(frame: pd.DataFrame, digits: int = 1) -> pd.DataFrame:
    """Turn a table into text for the eye.

    Parameters
    ----------
    frame
        Any table of this module or of `results`.
    digits
        Decimals of scores.

    Returns
    -------
    pandas.DataFrame
        Strings: intervals folded into their score as "86.9 [85.1, 88.7]", or "86.9 [–]" where
        there is too little for one, what is but a part as "1 of 10", recipe and condition into
        the method, a dagger at that of optimistic rows, names as they are written; citations,
        notes, usual labels and empty columns dropped.
    """
    frame = frame.copy()
    if {"method", "recipe", "normalisation"} <= set(frame.columns):
        frame["method"] = [method_of(row) for row in frame.to_dict("records")]
        frame = frame.drop(columns=["recipe", "normalisation"])
    intervals = [c for c in frame if {f"{c}_low", f"{c}_high"} <= set(frame.columns)]
    hidden = {"optimistic", "citation", "note", "kind", "classes"}
    hidden |= {f"{c}{end}" for c in intervals for end in ("_low", "_high")}
    hidden |= {f"of_{c}" for c in frame}
    marked = ["last", OPTIMISTIC] if "optimistic" in frame else ["last"]
    for usual, values in (("labels", ["emotion"]), ("selection", marked)):
        if usual in frame and frame[usual].isin(["", *values]).all():
            hidden.add(usual)
    ours = frame.get("reported_by", pd.Series(OURS, frame.index)).eq(OURS)
    shown = pd.DataFrame(index=frame.index)
    for name in frame.columns.difference(hidden, sort=False):
        values = frame[name]
        if name in intervals:
            ends = zip(values, frame[f"{name}_low"], frame[f"{name}_high"], ours, strict=True)
            cells = [_with_interval(*end, digits=digits) for end in ends]
        else:
            small = 3 if name in ("p", "mcnemar_p", "pooled_p") else digits
            cells = [_cell(value, small, name in _NAMED) for value in values]
        if f"of_{name}" in frame:
            wholes = zip(cells, values, frame[f"of_{name}"], strict=True)
            cells = [_with_whole(*whole) for whole in wholes]
        if any(cells) or frame.empty:
            shown[HEADINGS.get(str(name), str(name).replace("_", " "))] = cells
    if "optimistic" in frame and "method" in shown:
        marks = frame["optimistic"].eq(True).map({True: f" {DAGGER}", False: ""})
        shown["method"] = shown["method"] + marks
    return shown


def _cell(value: object, digits: int, named: bool) -> str:
    if pd.isna(value):
        return ""
    if isinstance(value, float | np.floating):
        if digits == 3 and value < 0.001:
            return "<0.001"
        return f"{value:.{digits}f}"
    return name_of(str(value)) if named else str(value)


def _with_interval(value: float, low: float, high: float, ours: bool, digits: int) -> str:
    if np.isnan(value):
        return ""
    if np.isnan(low):
        return f"{value:.{digits}f}" + (" [–]" if ours else "")
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def _with_whole(cell: str, value: float, whole: float) -> str:
    if pd.isna(value) or pd.isna(whole) or value >= whole:
        return cell
    return f"{cell} of {whole:.0f}"


def notes_of(frame: pd.DataFrame) -> list[str]:
    """List what has to be said under a table: what the dagger means, and whom it cites."""
    notes = [DAGGER_NOTE] if frame.get("optimistic", pd.Series(dtype=bool)).eq(True).any() else []
    if "citation" in frame and "note" in frame:
        cited = frame[frame["citation"] != ""].drop_duplicates(["citation", "note"])
        notes += [f"{row.reported_by}: {row.citation}; {row.note}." for row in cited.itertuples()]
    elif "best_test" in frame:
        notes = [DAGGER_NOTE]
    return notes


def write_table(
    frame: pd.DataFrame,
    folder: str | Path,
    name: str,
    caption: str = "",
    note: str = "",
    digits: int = 1,
) -> list[Path]:
    """Write a table as CSV (plain numbers), Markdown and LaTeX (as `display` shows it).

    Parameters
    ----------
    frame
        Any table of this module or of `results`, or another frame.
    folder
        Where to; made if it is not there.
    name
        Of the files without their endings, and of LaTeX's label.
    caption, note
        Above and below the table; `notes_of` it are added. The best scores are bold.
    digits
        Decimals of scores.

    Returns
    -------
    list of pathlib.Path
        The three files.

    Raises
    ------
    StudyError
        If the folder cannot be written.
    """
    shown = display(frame, digits)
    bold, note = best_of(frame, shown), " ".join(filter(None, [note, *notes_of(frame)]))
    texts = {
        "csv": frame.to_csv(index=False, float_format="%.4f", lineterminator="\n"),
        "md": to_markdown(shown, caption, note, bold),
        "tex": to_latex(shown, name, caption, note, bold),
    }
    return [write_text(Path(folder) / f"{name}.{end}", text) for end, text in texts.items()]
