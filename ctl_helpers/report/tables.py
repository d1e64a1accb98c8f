"""Tables: results as people read them, and as CSV, Markdown and LaTeX.

Frames hold scores in **percent** as plain numbers, a score ``x`` with its 95 % interval in the
columns ``x_low`` and ``x_high``. `display` folds these into one cell for the eye.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import precision_recall_fscore_support

from ctl_helpers.report.markup import Table
from ctl_helpers.results.naming import (
    DAGGER,
    HEADINGS,
    OURS,
    label_of,
    method_of,
    name_of,
    named_apart,
    part_of,
    place_of,
)
from ctl_helpers.results.published import published_beside
from ctl_helpers.results.runs import CONDITION, OPTIMISTIC, PLACE, grouped
from ctl_helpers.results.statistics import Interval, calibration, proportion_interval
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
_HIDDEN = {"optimistic", "citation", "note", "kind", "classes"}


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
    percent = [c for c in ours if c.startswith(("uar", "war", "pooled_"))]
    ours[percent] = 100 * ours[percent].astype(float)
    ours = named_apart(ours).assign(reported_by=OURS, order=1 + ours["kind"].eq("shallow"))
    # An empty frame beside a full one would make pandas guess the columns' types.
    parts = [part for part in (theirs, ours) if len(part)] or [ours]
    table = pd.concat(parts, ignore_index=True)
    table = table.sort_values([*PLACE, "order"], kind="stable", ignore_index=True)
    scores = ["uar", "war"] if predictions is None else ["uar", "war", "pooled_uar"]
    numbers = {f"{score}{end}": float for score in scores for end in ("", "_low", "_high")}
    counts = ("utterances", "of_utterances", "folds", "of_folds", "seeds")
    words, said = [*CONDITION, "kind", "selection"], ["reported_by", "citation", "note"]
    types = numbers | dict.fromkeys(counts, "Int64") | dict.fromkeys([*words, *said], object)
    table = table.reindex(columns=[*words, *numbers, *counts, "optimistic", *said]).astype(types)
    return table.fillna(dict.fromkeys([*words, *said], ""))


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
    cells: dict[str, dict[str, str]] = {}
    for row in table.sort_values(metric, ascending=False, kind="stable").to_dict("records"):
        remarks = [part_of(row).replace(" folds", "")]
        if condition_of(row["protocol"]) == HELD_OUT and row["protocol"] != "loso":
            remarks.append(name_of(row["protocol"]))
        remark = ", ".join(filter(None, remarks))
        text = f"{row[metric]:.1f}" + (f" ({remark})" if remark else "")
        cells.setdefault(label_of(row), {}).setdefault(_column_of(row), text)
    columns = dict.fromkeys(_column_of(row) for row in table.to_dict("records"))
    columns = sorted(columns, key=lambda name: (name == "mean", name.split(",")[0]))
    frame = pd.DataFrame([{"method": method} | line for method, line in cells.items()])
    return frame.reindex(columns=["method", *columns]).fillna("")


def _column_of(row: dict) -> str:
    where = condition_of(row["protocol"]) if row["corpus"] else row["protocol"]
    words = [word for word in (where, row["labels"]) if word not in ("transductive", "emotion")]
    return ", ".join([place_of(row), *words])


def chance_of(row: dict) -> float:
    """UAR of a guess among a row's classes, in percent."""
    return 100 / len(row["classes"].split(", "))


def interval_of(row: dict, metric: str = "uar") -> Interval:
    """Return a row's score with its interval over folds or seeds, or else over utterances."""
    name = metric
    if pd.isna(row[f"{metric}_low"]) and f"pooled_{metric}_low" in row:
        name = f"pooled_{metric}"
    return Interval(row[metric], row[f"{name}_low"], row[f"{name}_high"])


def glance(
    table: pd.DataFrame, most: int = 12
) -> list[tuple[str, list[tuple[str, dict[str, dict]]], float]]:
    """Pick what a first look shows of each corpus, the best method first.

    Parameters
    ----------
    table
        From `ours_beside_published`.
    most
        Rows of a corpus: the published methods, the best of ours under either condition, networks
        and fusions by their scores, then the others.

    Returns
    -------
    list of tuple
        Corpus; its rows: label, and by condition (shuffled, held out) the row of the table;
        chance in percent. Optimistic rows, and label sets other than emotions, are left out.
    """
    table = table.assign(condition=table["protocol"].map(condition_of))
    table = table[table["condition"].isin([SHUFFLED, HELD_OUT]) & ~table["optimistic"].eq(True)]
    table = table[(table["corpus"] != "") & table["labels"].eq("emotion")]
    table = table.sort_values("uar", ascending=False, kind="stable")
    found = []
    for corpus, group in sorted(table.groupby("corpus")):
        ours = group[group["reported_by"] == OURS]
        best = ours.groupby("condition")["uar"].transform("max").eq(ours["uar"])
        late = group["kind"].map({"shallow": 2}).fillna(1).where(group["reported_by"] == OURS, 0)
        late[best.index[best]] = 0
        rows: dict[str, dict[str, dict]] = {}
        rank: dict[str, float] = {}
        for row, when in zip(group.to_dict("records"), late, strict=True):
            label = label_of(row)
            rows.setdefault(label, {}).setdefault(row["condition"], row)
            rank[label] = min(when, rank.get(label, when))
        first = sorted(rows, key=lambda label: rank[label])[:most]
        lines = [(label, rows[label]) for label in rows if label in first]
        found.append((corpus, lines, chance_of(group.iloc[0])))
    return found


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
    if "method" not in frame or len(frame) < 2:
        return marks
    honest = ~shown["method"].str.endswith(DAGGER)
    places = [frame[column] for column in PLACE if column in frame]
    if "uar" in frame:
        scores = {HEADINGS[metric]: frame[metric] for metric in ("uar", "war")}
    else:
        wide = {} if places else shown.drop(columns="method")
        scores = {c: pd.to_numeric(wide[c].str.extract(r"^(\d+\.\d+)")[0]) for c in wide}
    for column, score in scores.items():
        score = score.where(honest)
        best = score.groupby(places).transform("max") if places else score.max()
        marks[column] = score.eq(best)
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
    for row, part in grouped(predictions.sort_values(["corpus", "speaker"]), ["corpus", "speaker"]):
        seeds, right = part["seed"].nunique(), part["emotion"] == part["predicted"]
        row |= {"sex": part["sex"].iloc[0], "utterances": part["utterance"].nunique()}
        row |= pooled_interval(part, "uar").columns("uar")
        row |= proportion_interval(right.sum() / seeds, len(part) / seeds).columns("war")
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
        seeds, emotions = part["seed"].nunique(), sorted(part["emotion"].unique())
        counted = precision_recall_fscore_support(
            part["emotion"], part["predicted"], labels=emotions, zero_division=np.nan
        )
        for emotion, precision, recall, f1, count in zip(emotions, *counted, strict=True):
            row = {"corpus": corpus, "emotion": emotion, "utterances": int(count / seeds)}
            row |= proportion_interval(recall * count / seeds, count / seeds).columns("recall")
            rows.append(row | {"precision": 100 * precision, "f1": 100 * f1})
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
    for row, group in grouped(runs, [*CONDITION, "selection"]):
        mine = predictions.merge(group[["run", "selection"]])
        if len(mine):
            yield row, mine


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
        there is too little for one, a part of the folds as "1 of 10", recipe and condition into
        the method, a dagger at that of optimistic rows, names as they are written; citations,
        notes, usual labels and empty columns dropped.
    """
    if {"method", "recipe", "normalisation"} <= set(frame.columns):
        frame = frame.assign(method=[method_of(row) for row in frame.to_dict("records")])
        frame = frame.drop(columns=["recipe", "normalisation"])
    hidden = _HIDDEN | {f"{c}{end}" for c in frame for end in ("_low", "_high")}
    hidden |= {f"of_{c}" for c in frame}
    marked = ["last", OPTIMISTIC] if "optimistic" in frame else ["last"]
    for usual, values in (("labels", ["emotion"]), ("selection", marked)):
        if usual in frame and frame[usual].isin(["", *values]).all():
            hidden.add(usual)
    shown = pd.DataFrame(index=frame.index)
    for name in frame.columns.difference(hidden, sort=False):
        cells = [_cell(row, name, digits) for row in frame.to_dict("records")]
        if any(cells) or frame.empty:
            shown[HEADINGS.get(str(name), str(name).replace("_", " "))] = cells
    if "optimistic" in frame and "method" in shown:
        shown.loc[frame["optimistic"].eq(True), "method"] += f" {DAGGER}"
    return shown


def _cell(row: dict, name: str, digits: int) -> str:
    """Write one value with its interval, or with the whole that it is a part of."""
    value, low, whole = row[name], row.get(f"{name}_low"), row.get(f"of_{name}")
    if pd.isna(value):
        return ""
    if not isinstance(value, float):
        text = name_of(str(value)) if name in _NAMED else str(value)
    elif name in ("p", "mcnemar_p", "pooled_p"):
        text = f"{value:.3f}" if value >= 0.001 else "<0.001"
    else:
        text = f"{value:.{digits}f}"
    if pd.notna(low):
        text += f" [{low:.{digits}f}, {row[f'{name}_high']:.{digits}f}]"
    elif low is not None and row.get("reported_by", OURS) == OURS:
        text += " [–]"
    return f"{text} of {whole:.0f}" if pd.notna(whole) and value < whole else text


def notes_of(frame: pd.DataFrame) -> list[str]:
    """List what has to be said under a table: what the dagger means, and whom it cites."""
    notes = [DAGGER_NOTE] if frame.get("optimistic", pd.Series(dtype=bool)).eq(True).any() else []
    if "citation" in frame and "note" in frame:
        cited = frame[frame["citation"] != ""].drop_duplicates(["citation", "note"])
        notes += [f"{row.reported_by}: {row.citation}; {row.note}." for row in cited.itertuples()]
    elif "best_test" in frame:
        notes = [DAGGER_NOTE]
    return notes


def shown(frame: pd.DataFrame, caption: str = "", note: str = "", digits: int = 1) -> Table:
    """Prepare a table for the eye: its text, the best scores in bold, what is said of it.

    Parameters
    ----------
    frame
        Any table of this module or of `results`, or another frame.
    caption, note
        Above and below the table; `notes_of` it are added.
    digits
        Decimals of scores.
    """
    cells = display(frame, digits)
    note = " ".join(filter(None, [note, *notes_of(frame)]))
    return Table(cells, best_of(frame, cells), caption, note)


def write_table(frame: pd.DataFrame, table: Table, folder: str | Path, name: str) -> list[Path]:
    """Write a table as CSV (plain numbers), Markdown and LaTeX (as it is shown).

    Parameters
    ----------
    frame, table
        The numbers, and what `shown` made of them.
    folder
        Where to; made if it is not there.
    name
        Of the files without their endings, and of LaTeX's label.

    Returns
    -------
    list of pathlib.Path
        The three files.

    Raises
    ------
    StudyError
        If the folder cannot be written.
    """
    numbers = frame.to_csv(index=False, float_format="%.4f", lineterminator="\n")
    texts = {"csv": numbers, "md": table.markdown(), "tex": table.latex(name)}
    return [write_text(Path(folder) / f"{name}.{end}", text) for end, text in texts.items()]
