"""Tables as they are shown: text in place of numbers, the best in bold, as Markdown and LaTeX.

Intervals, in the columns ``x_low`` and ``x_high``, come into the cell of their score ``x``.
"""

from pathlib import Path

import pandas as pd

from ctl_helpers.features import TRANSDUCTIVE
from ctl_helpers.report.markup import CAPTIONS, Table
from ctl_helpers.results.naming import DAGGER, HEADINGS, OURS, method_of, name_of, part_of
from ctl_helpers.results.runs import OPTIMISTIC, PLACE
from ctl_helpers.runs.store import write_text

DAGGER_NOTE = CAPTIONS["notes"]["dagger"]
# Columns that hold identifiers; elsewhere the same letters are a speaker's, or a word.
_NAMED = ("corpus", "source", "target", "protocol", "method")
_HIDDEN = {"optimistic", "citation", "note", "kind", "classes"}
_CONDITION = {"recipe", "normalisation", "selection"}  # said with the method


def as_text(frame: pd.DataFrame, digits: int = 1) -> pd.DataFrame:
    """Turn a table into text to be shown.

    Parameters
    ----------
    frame
        Any table of `tables` or `results`.
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
        frame = frame.drop(columns=_CONDITION, errors="ignore")
    hidden = _HIDDEN | {form.format(c) for c in frame for form in ("{}_low", "{}_high", "of_{}")}
    if "uar" not in frame:  # where each score is a column, the method says who reports them
        hidden.add("reported_by")
    if "labels" in frame and frame["labels"].isin(["", "emotion"]).all():
        hidden.add("labels")
    rows, shown = frame.to_dict("records"), pd.DataFrame(index=frame.index)
    for name in frame.columns.difference(hidden, sort=False):
        cells = [_cell(row, name, digits) for row in rows]
        if any(cells) or not rows:
            shown[HEADINGS.get(str(name), str(name).replace("_", " "))] = cells
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


def best_of(frame: pd.DataFrame, shown: pd.DataFrame) -> pd.DataFrame:
    """Mark the best score of each group: of each place, or of each column of `at_a_glance`.

    Parameters
    ----------
    frame
        What was shown.
    shown
        As `as_text` shows it; same rows.

    Returns
    -------
    pandas.DataFrame
        True where a cell is to be bold, the shape of ``as_table``. Inside a corpus the best with
        and without unlabelled speech of the test part is. Optimistic rows never are, nor are
        published ones, which are of other folds, nor scores of a part of their folds where
        others are of all.
    """
    marks = pd.DataFrame(False, shown.index, shown.columns)
    if "method" not in frame or len(frame) < 2 or {"uar", "war"} & set(frame) == {"uar"}:
        return marks
    honest = ~shown["method"].str.endswith(DAGGER)
    if "reported_by" in frame:
        honest &= frame["reported_by"].eq(OURS)
    places = [frame[column] for column in (*PLACE, "split") if column in frame]
    if {"corpus", "normalisation"} <= set(frame):  # what hears the test voices stands for itself
        heard = frame["normalisation"].isin(TRANSDUCTIVE) & frame["corpus"].ne("")
        places = [*places, heard]
    if "uar" in frame:
        scores = {HEADINGS[metric]: frame[metric] for metric in ("uar", "war")}
    else:
        wide = {} if places else shown.drop(columns="method")
        scores = {c: pd.to_numeric(wide[c].str.extract(r"^(\d+\.\d+)")[0]) for c in wide}
    parts = pd.Series([bool(part_of(row)) for row in frame.to_dict("records")], frame.index)
    place = places or pd.Series(0, frame.index)
    for column, score in scores.items():
        score = score.where(honest)
        whole = score.where(~(parts if "uar" in frame else shown[column].str.endswith(")")))
        asked = whole.where(whole.groupby(place).transform("count") > 0, score)
        marks[column] = asked.eq(asked.groupby(place).transform("max"))
    return marks


def notes_of(frame: pd.DataFrame) -> list[str]:
    """List the notes that a table needs: what the dagger means, and whom it cites."""
    picked = "best_test" in frame or OPTIMISTIC in set(frame.get("selection", ()))
    notes = [DAGGER_NOTE] if picked else []
    if "citation" in frame and "note" in frame:
        cited = frame[frame["citation"] != ""].groupby(["reported_by", "citation"], sort=False)
        for (who, citation), note in cited["note"]:
            notes.append(f"{who}: {citation}; {'; or '.join(note.unique())}.")
    return notes


def as_table(frame: pd.DataFrame, caption: str = "", note: str = "", digits: int = 1) -> Table:
    """Prepare a table to be shown: its text, the best scores in bold, caption and note.

    Parameters
    ----------
    frame
        Any table of `tables` or `results`, or another frame.
    caption, note
        Above and below the table; `notes_of` it are added.
    digits
        Decimals of scores.
    """
    cells = as_text(frame, digits)
    note = " ".join(filter(None, [note, *notes_of(frame)]))
    return Table(cells, best_of(frame, cells), caption, note)


def write_table(frame: pd.DataFrame, table: Table, folder: str | Path, name: str) -> list[Path]:
    """Write a table as CSV (plain numbers), Markdown and LaTeX (as it is shown).

    Parameters
    ----------
    frame, table
        The numbers, and what `as_table` made of them.
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
