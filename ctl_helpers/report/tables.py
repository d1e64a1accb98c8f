"""Tables: results as people read them, and as CSV, Markdown and LaTeX.

Frames hold scores in **percent** as plain numbers, a score ``x`` with its 95 % interval in the
columns ``x_low`` and ``x_high``. `display` folds these into one cell for the eye.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from ctl_helpers.errors import StudyError
from ctl_helpers.report.markup import DAGGER, to_latex, to_markdown
from ctl_helpers.results.naming import (
    HEADINGS,
    OURS,
    columns_of,
    method_of,
    name_of,
    named_apart,
    part_of,
    place_of,
)
from ctl_helpers.results.published import published
from ctl_helpers.results.runs import OPTIMISTIC, pooled_interval, summary
from ctl_helpers.results.statistics import calibration_of, proportion_interval

DAGGER_NOTE = (
    f"{DAGGER} optimistic: the epoch was picked by its score on the test part, as in the "
    "released procedure."
)
# Columns that hold identifiers; elsewhere the same letters are a speaker's, or a word.
_NAMED = ("corpus", "source", "target", "protocol", "method")


def ours_beside_published(
    runs: pd.DataFrame, task: str = "cpac", predictions: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Put this study's scores beside the published ones.

    Parameters
    ----------
    runs
        From `results.load_runs`.
    task
        ``"cpac"``: inside one corpus, shallow baselines included. ``"transfer"``: across corpora.
    predictions
        From `results.load_predictions`; they add the pooled UAR with its interval over utterances.

    Returns
    -------
    pandas.DataFrame
        Rows grouped by corpus (or source and target), the published first; scores in percent with
        their intervals; ``optimistic`` rows get a dagger in `display`; reported_by, citation and
        note say where a number comes from and how it was scored. Only corpora and pairs that
        this study ran, or all the published ones if it ran none.
    """
    theirs = published(task).assign(optimistic=False)
    theirs["selection"] = theirs["protocol"].map({"svm": ""}).fillna("last")
    mine = runs[(runs["task"] == "transfer") == (task == "transfer")]
    place = ["source", "target"] if task == "transfer" else ["corpus"]
    if len(mine):
        ran = pd.MultiIndex.from_frame(mine[place])
        theirs = theirs[pd.MultiIndex.from_frame(theirs[place]).isin(ran)]
    ours = _in_percent(named_apart(summary(mine, predictions))).assign(reported_by=OURS)
    # An empty frame beside a full one would make pandas guess the columns' types.
    table = pd.concat([part for part in (theirs, ours) if len(part)], ignore_index=True)
    table["order"] = (table["reported_by"] == OURS) + (table["task"] == "baseline").astype(int)
    table = table.sort_values([*place, "protocol", "order"], kind="stable", ignore_index=True)
    scores = ["uar", "war"] if predictions is None else ["uar", "war", "pooled_uar"]
    words = [*place, *("protocol", "method", "recipe", "normalisation", "selection")]
    more_words = ["reported_by", "citation", "note"]
    counts = ["utterances", "of_utterances", "folds", "of_folds", "seeds"]
    intervals = [f"{score}{end}" for score in scores for end in ("", "_low", "_high")]
    table = table.reindex(columns=[*words, *intervals, *counts, "optimistic", *more_words])
    table = table.astype({count: "Int64" for count in counts} | {i: float for i in intervals})
    texts = words + more_words
    return table.astype(dict.fromkeys(texts, object)).fillna(dict.fromkeys(texts, ""))


def _in_percent(table: pd.DataFrame) -> pd.DataFrame:
    scores = [c for c in table if c.startswith(("uar", "war", "macro_f1", "pooled_", "speaker_"))]
    return table.assign(**{column: 100 * table[column].astype(float) for column in scores})


def side_by_side(table: pd.DataFrame) -> pd.DataFrame:
    """Turn `ours_beside_published` on its side: a row per method, a column per corpus or pair.

    Cells read "UAR / WAR" in percent, with how many folds where it is not all of them.
    """
    rows = table.to_dict("records")
    parts = [part_of(row) for row in rows]
    table = table.assign(
        cell=[
            f"{row['uar']:.1f} / {row['war']:.1f}" + (f" ({part})" if part else "")
            for row, part in zip(rows, parts, strict=True)
        ],
        place=[place_of(row) for row in rows],
    )
    keys = ["protocol", "method", "recipe", "normalisation", "selection", "optimistic"]
    keys.append("reported_by")
    order = table[keys].drop_duplicates()
    cells = table.pivot_table("cell", keys, "place", aggfunc="first", sort=False).reset_index()
    cells.columns.name = None
    return order.merge(cells, on=keys).fillna("")


def per_speaker(predictions: pd.DataFrame) -> pd.DataFrame:
    """Score each speaker of one condition.

    Parameters
    ----------
    predictions
        From `results.load_predictions`, of one condition; it may hold several seeds.

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
        From `results.load_predictions`, of one condition; it may hold several seeds.

    Returns
    -------
    pandas.DataFrame
        corpus, emotion, utterances, recall with Wilson's interval, precision and F1 in percent.
    """
    rows = []
    for corpus, part in predictions.groupby("corpus"):
        seeds = part["seed"].nunique()
        for emotion in sorted(part["emotion"].unique()):
            true, said = part["emotion"] == emotion, part["predicted"] == emotion
            hits = (true & said).sum()
            row = {"corpus": corpus, "emotion": emotion, "utterances": int(true.sum() / seeds)}
            row |= columns_of("recall", proportion_interval(hits / seeds, true.sum() / seeds))
            row["precision"] = 100 * hits / said.sum() if said.any() else np.nan
            row["f1"] = 100 * 2 * hits / (true.sum() + said.sum())
            rows.append(row)
    return pd.DataFrame(rows)


def recalls(runs: pd.DataFrame, predictions: pd.DataFrame, by: str = "emotion") -> pd.DataFrame:
    """Lay the recall of every emotion, or the UAR of every speaker, of all methods side by side.

    Parameters
    ----------
    runs
        From `results.load_runs`, of one corpus; optimistic rows are left out.
    predictions
        From `results.load_predictions`.
    by
        ``"emotion"`` or ``"speaker"``.

    Returns
    -------
    pandas.DataFrame
        A row per condition, a column per emotion or speaker, in percent.
    """
    rows = []
    make, score = (per_emotion, "recall") if by == "emotion" else (per_speaker, "uar")
    for row, mine in _conditions(runs, predictions):
        rows.append(row | make(mine).set_index(by)[score].to_dict())
    return pd.DataFrame(rows)


def confidences(runs: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    """Say how well the networks' probabilities are calibrated.

    Parameters
    ----------
    runs
        From `results.load_runs`; optimistic rows and shallow methods, whose probabilities are not
        meant as such, are left out.
    predictions
        From `results.load_predictions`.

    Returns
    -------
    pandas.DataFrame
        Per condition: WAR, mean confidence and expected calibration error, in percent.
    """
    rows = []
    for row, mine in _conditions(runs[runs["task"] != "baseline"], predictions):
        row["war"] = 100 * (mine["emotion"] == mine["predicted"]).mean()
        row["confidence"] = 100 * mine.filter(regex="^p_").max(axis=1).mean()
        row["ece"] = 100 * calibration_of(mine).ece
        rows.append(row | {"utterances": mine["utterance"].nunique()})
    return pd.DataFrame(rows)


def _conditions(
    runs: pd.DataFrame, predictions: pd.DataFrame
) -> Iterator[tuple[dict, pd.DataFrame]]:
    """Each condition that is no optimistic one, in words, and its predictions."""
    runs = named_apart(runs[runs["selection"] != OPTIMISTIC])
    order = {"by": ["corpus", "protocol", "task"], "ascending": [True, True, False]}
    runs = runs.sort_values(**order, kind="stable")
    place = ["corpus", "source", "target", "protocol", "method", "recipe", "normalisation"]
    for key, group in runs.groupby([*place, "selection"], sort=False):
        mine = predictions.merge(group[["run", "selection"]])
        if len(mine):
            yield dict(zip([*place, "selection"], key, strict=True)), mine


def display(frame: pd.DataFrame, digits: int = 1) -> pd.DataFrame:
    """Turn a table into text for the eye.

    Parameters
    ----------
    frame
        Any table of this module or of `comparisons`.
    digits
        Decimals of scores.

    Returns
    -------
    pandas.DataFrame
        Strings: intervals folded into their score as "86.9 [85.1, 88.7]", what is but a part as
        "1 of 10", recipe and condition into the method, a dagger at that of optimistic rows, names
        as they are written; citations, notes and empty columns dropped.
    """
    frame = frame.copy()
    if {"method", "recipe", "normalisation"} <= set(frame.columns):
        frame["method"] = [method_of(row) for row in frame.to_dict("records")]
        frame = frame.drop(columns=["recipe", "normalisation"])
    intervals = [c for c in frame if {f"{c}_low", f"{c}_high"} <= set(frame.columns)]
    hidden = {
        "optimistic",
        "citation",
        "note",
        *(f"{c}{end}" for c in intervals for end in ("_low", "_high")),
        *(f"of_{c}" for c in frame),
    }
    shown = pd.DataFrame(index=frame.index)
    for column in frame:
        name = str(column)
        if name in hidden:
            continue
        values = frame[column]
        if name in intervals:
            ends = zip(values, frame[f"{name}_low"], frame[f"{name}_high"], strict=True)
            cells = [_with_interval(*end, digits=digits) for end in ends]
        else:
            small = 3 if name in ("p", "mcnemar_p", "pooled_p") else digits
            cells = [_cell(value, small, name in _NAMED) for value in values]
        if f"of_{name}" in frame:
            wholes = zip(cells, values, frame[f"of_{name}"], strict=True)
            cells = [_with_whole(*whole) for whole in wholes]
        if any(cells) or frame.empty:
            shown[HEADINGS.get(name, name.replace("_", " "))] = cells
    if "optimistic" in frame and "method" in shown:
        marks = np.where(frame["optimistic"].eq(True), f" {DAGGER}", "")
        shown["method"] = [
            method + mark for method, mark in zip(shown["method"], marks, strict=True)
        ]
    return shown


def _cell(value: object, digits: int, named: bool) -> str:
    if pd.isna(value):
        return ""
    if isinstance(value, float | np.floating):
        if digits == 3 and value < 0.001:
            return "<0.001"
        return f"{value:.{digits}f}"
    return name_of(str(value)) if named else str(value)


def _with_interval(value: float, low: float, high: float, digits: int) -> str:
    if np.isnan(value):
        return ""
    if np.isnan(low):
        return f"{value:.{digits}f}"
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def _with_whole(cell: str, value: float, whole: float) -> str:
    if pd.isna(value) or pd.isna(whole) or value >= whole:
        return cell
    return f"{cell} of {whole:.0f}"


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
        Any table of this module or of `comparisons`, or another frame.
    folder
        Where to; made if it is not there.
    name
        Of the files without their endings, and of LaTeX's label.
    caption, note
        Above and below the table. What the dagger means and whom the rows cite is added.
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
    notes = [note]
    if DAGGER in "".join([*shown.columns, *shown.to_numpy(str).ravel()]):
        notes.append(DAGGER_NOTE)
    if "citation" in frame:
        cited = frame[frame["citation"] != ""].drop_duplicates(["citation", "note"])
        notes += [f"{row.reported_by}: {row.citation}; {row.note}." for row in cited.itertuples()]
    note = " ".join(filter(None, notes))
    texts = {
        "csv": frame.to_csv(index=False, float_format="%.4f", lineterminator="\n"),
        "md": to_markdown(shown, caption, note),
        "tex": to_latex(shown, name, caption, note),
    }
    paths = [Path(folder) / f"{name}.{ending}" for ending in texts]
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        for path, text in zip(paths, texts.values(), strict=True):
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StudyError(f"table {name}: cannot write to {folder} ({error.strerror})") from error
    return paths
