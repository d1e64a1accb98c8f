"""Tables: results as people read them, and as CSV, Markdown and LaTeX.

Frames hold scores in **percent** as plain numbers, a score ``x`` with its 95 % interval in the
columns ``x_low`` and ``x_high``. `display` writes these into one cell.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ctl_helpers.features import SECONDS
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
    title_of,
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
PER_SPEAKER = (
    "Per speaker: each speaker is normalised by unlabelled speech of the same speaker, test voices "
    "too. In groups: several speakers are held out at once (of RAVDESS 4 actors)."
)
SCORE_OF = {"emotion": "recall", "speaker": "uar"}
SHUFFLED, HELD_OUT = "shuffled", "held out"
_HELD_OUT = ("loso", "grouped")  # partitions are read from files: what they hold out varies
# Columns that hold identifiers; elsewhere the same letters are a speaker's, or a word.
_NAMED = ("corpus", "source", "target", "protocol", "method")
_COUNTS = ("utterances", "of_utterances", "folds", "of_folds", "seeds")
_WORDS, _SAID = [*CONDITION, "kind", "selection"], ["reported_by", "citation", "note"]
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
    types: dict[str, Any] = {
        f"{score}{end}": float for score in scores for end in ("", "_low", "_high")
    }
    types |= dict.fromkeys(_COUNTS, "Int64") | {"optimistic": bool}
    words = dict.fromkeys([*_WORDS, *_SAID], "")
    table = table.reindex(columns=[*_WORDS, *types, *_SAID]).astype(types)
    return table.astype(dict.fromkeys(words, object)).fillna(words)


def condition_of(protocol: str) -> str:
    """Say whether a protocol shuffles utterances, holds speakers out, or neither for certain."""
    if protocol in ("kfold", "stratified"):
        return SHUFFLED
    return HELD_OUT if protocol in _HELD_OUT else name_of(protocol)


def at_a_glance(table: pd.DataFrame) -> pd.DataFrame:
    """Rearrange `ours_beside_published`: a row per method, a column per place and condition.

    Parameters
    ----------
    table
        Inside corpora (columns ``EmoDB, shuffled``, ``EmoDB, held out``, ``EmoDB, held out, per
        speaker``, ...) or across (a column per pair).

    Returns
    -------
    pandas.DataFrame
        Column method, the best first, then strings: the score in percent, with how much of the
        protocol ran where it is not all of it. Scores that need speech of the test voices stand in
        columns of their own.
    """
    rows = [_placed(row) for row in table.to_dict("records")]
    cells = table.assign(column=[row["column"] for row in rows])
    cells = cells.assign(method=[*map(label_of, rows)], score=[*map(_score, rows)])
    order = {row["column"]: row["rank"] for row in rows}
    columns = sorted(order, key=lambda column: order[column])
    cells = cells.sort_values("uar", ascending=False, kind="stable")
    cells = cells.drop_duplicates(["method", "column"])
    wide = cells.pivot(index="method", columns="column", values="score")
    wide = wide.reindex(index=cells["method"].unique(), columns=columns).fillna("")
    return wide.rename_axis(index="method", columns=None).reset_index()


def _placed(row: dict) -> dict:
    """Add the column that a row's score stands in, and what columns are sorted by."""
    condition = condition_of(row["protocol"])
    own = condition == HELD_OUT and row["normalisation"] == "speaker"
    if own:  # the column says it
        row = row | {"normalisation": ""}
    words = ["groups held out" if row["protocol"] == "grouped" else condition, "per speaker"]
    rank = (row["source"] == "mean", place_of(row), condition != SHUFFLED, own)
    return row | {"column": title_of(row, *words[: 1 + own]), "rank": rank}


def _score(row: dict) -> str:
    """Write a score with how much of its protocol ran."""
    part = part_of(row).replace(" folds", "")
    return f"{row['uar']:.1f}" + (f" ({part})" if part else "")


def chance_of(row: dict) -> float:
    """UAR of a guess among a row's classes, in percent."""
    return 100 / len(row["classes"].split(", "))


def interval_of(row: dict, metric: str = "uar") -> Interval:
    """Return a row's score with its interval over folds or seeds, of one fold over utterances."""
    name, pooled = metric, f"pooled_{metric}"
    if pd.isna(row[f"{metric}_low"]) and pd.notna(row.get(pooled)) and row["folds"] == 1:
        name = pooled  # it is the same score
    return Interval(row[metric], row[f"{name}_low"], row[f"{name}_high"])


def glance(table: pd.DataFrame, most: int = 12) -> pd.DataFrame:
    """Pick what a first look shows of each corpus, the best method first.

    Parameters
    ----------
    table
        From `ours_beside_published`.
    most
        Methods of a corpus: the published ones, the best of ours under either condition, networks
        and fusions by their scores, then the others.

    Returns
    -------
    pandas.DataFrame
        Rows of the table in the order of corpora, with columns label and condition (shuffled, held
        out). Optimistic rows, and label sets other than emotions, are left out.
    """
    labels = [label_of(row) for row in table.to_dict("records")]
    table = table.assign(label=labels, condition=table["protocol"].map(condition_of))
    table = table[table["condition"].isin([SHUFFLED, HELD_OUT]) & ~table["optimistic"].eq(True)]
    table = table[(table["corpus"] != "") & table["labels"].eq("emotion")]
    table = table[~table["normalisation"].isin(SECONDS)]
    table = table.sort_values("uar", ascending=False, kind="stable")
    table = table.drop_duplicates(["corpus", "label", "condition"])
    ours = table["reported_by"] == OURS
    best = ~table.assign(ours=ours).duplicated(["corpus", "condition", "ours"])
    rank = np.select([~ours | best, table["kind"] != "shallow"], [0, 1], 2)
    methods = [table["corpus"], table["label"]]
    first = pd.Series(rank, table.index).groupby(methods, sort=False).min()
    first = first.sort_values(kind="stable").groupby("corpus").head(most).index
    table = table[pd.MultiIndex.from_arrays(methods).isin(first)]
    return table.sort_values("corpus", kind="stable", ignore_index=True)


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
    if "method" not in frame or len(frame) < 2 or {"uar", "war"} & set(frame) == {"uar"}:
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


def scores_by(predictions: pd.DataFrame, by: str = "emotion") -> pd.DataFrame:
    """Score each emotion or each speaker of one condition.

    Parameters
    ----------
    predictions
        From `runs.load_predictions`, of one condition; it may hold several seeds.
    by
        ``"emotion"`` or ``"speaker"``.

    Returns
    -------
    pandas.DataFrame
        corpus, emotion, utterances, recall with Wilson's interval, precision and F1; or corpus,
        speaker, sex, utterances, UAR with its bootstrap interval and WAR with Wilson's. In percent.
    """
    rows = []
    for row, part in grouped(predictions.sort_values(["corpus", by]), ["corpus", by]):
        seeds, count = part["seed"].nunique(), len(part)
        hits = (part["emotion"] == part["predicted"]).sum()
        share = proportion_interval(hits / seeds, count / seeds)
        if by == "speaker":
            row |= {"sex": part["sex"].iloc[0], "utterances": part["utterance"].nunique()}
            row |= pooled_interval(part, "uar").columns("uar") | share.columns("war")
        else:
            where = predictions["corpus"] == row["corpus"]
            called = (predictions["predicted"][where] == row["emotion"]).sum()
            row |= {"utterances": count // seeds} | share.columns("recall")
            row["precision"] = 100 * hits / called if called else np.nan
            row["f1"] = 200 * hits / (count + called)
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
    rows = [
        row | scores_by(mine, by).set_index(by)[SCORE_OF[by]].to_dict()
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
    """Each condition that is not optimistic, in words, and its predictions."""
    runs = named_apart(runs[runs["selection"] != OPTIMISTIC])
    runs = runs.sort_values(["corpus", "protocol", "kind"], kind="stable")
    for row, group in grouped(runs, [*CONDITION, "selection"]):
        mine = predictions.merge(group[["run", "selection"]])
        if len(mine):
            yield row, mine


def display(frame: pd.DataFrame, digits: int = 1) -> pd.DataFrame:
    """Turn a table into text to be shown.

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
    marked = ["", "last", OPTIMISTIC] if "optimistic" in frame else ["", "last"]
    for usual, values in (("labels", ["", "emotion"]), ("selection", marked)):
        if usual in frame and frame[usual].isin(values).all():
            hidden.add(usual)
    rows, shown = frame.to_dict("records"), pd.DataFrame(index=frame.index)
    for name in frame.columns.difference(hidden, sort=False):
        cells = [_cell(row, name, digits) for row in rows]
        if any(cells) or not rows:
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
    """List the notes that a table needs: what the dagger means, and whom it cites."""
    notes = [DAGGER_NOTE] if frame.get("optimistic", pd.Series(dtype=bool)).eq(True).any() else []
    if "citation" in frame and "note" in frame:
        cited = frame[frame["citation"] != ""].groupby(["reported_by", "citation"], sort=False)
        notes += [
            f"{who}: {citation}; {'; or '.join(note.unique())}."
            for (who, citation), note in cited["note"]
        ]
    elif "best_test" in frame:
        notes = [DAGGER_NOTE]
    return notes


def shown(frame: pd.DataFrame, caption: str = "", note: str = "", digits: int = 1) -> Table:
    """Prepare a table to be shown: its text, the best scores in bold, caption and note.

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
