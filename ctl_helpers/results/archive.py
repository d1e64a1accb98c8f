"""The archive of a report: its runs in three compressed files in place of hundreds of folders."""

import bz2
import json
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path

import pandas as pd

from ctl_helpers.errors import StudyError
from ctl_helpers.results.runs import load_history, load_predictions, load_runs, read_runs
from ctl_helpers.runs.store import ARCHIVED, write_text


def write_archive(folder: str | Path) -> list[Path]:
    """Write a report's runs, their predictions and their histories as files of a line per run.

    The files are ``runs.jsonl.bz2``, ``predictions.jsonl.bz2`` and ``history.jsonl.bz2``; a table
    lies in its line column by column, which takes the least space. Everything but networks and
    embeddings is kept. Probabilities keep three decimals, values per epoch four digits; true and
    predicted emotions are kept as they are, so that scores recompute exactly. The same runs give
    the same bytes.

    Parameters
    ----------
    folder
        The report's folder; its runs are read from ``runs/`` in it or from the archive that it
        already holds, and the three files are written into it.

    Returns
    -------
    list of pathlib.Path
        The three files.

    Raises
    ------
    StudyError
        If there are no runs, or the folder cannot be written.
    """
    folder = Path(folder)
    store = folder / "runs"
    stored = sorted(read_runs(store), key=itemgetter("run"))
    if not stored:
        raise StudyError(f"archive {folder}: expected runs in {store}, got none")
    runs = load_runs(store)
    lines = {
        "runs": [json.dumps(one, sort_keys=True) for one in stored],
        # Sorted, tables of the same utterances lie side by side, which takes the least space, too.
        "predictions": sorted(_by_run(load_predictions(store, runs), ARCHIVED)),
        "history": sorted(_by_run(load_history(store, runs), "%.4g")),
    }
    return [
        write_text(folder / f"{name}.jsonl.bz2", bz2.compress("\n".join(each).encode()))
        for name, each in lines.items()
    ]


def _by_run(frame: pd.DataFrame, floats: str) -> Iterator[str]:
    """Write each run's columns as lists, its numbers rounded, without columns that are empty."""
    for name, rows in frame.drop(columns=["seed", "split"]).groupby("run"):
        columns = rows.drop(columns="run").dropna(axis="columns", how="all")
        for column in columns.select_dtypes("float"):
            columns[column] = columns[column].map(lambda x: float(floats % x))
        columns = columns.astype(object).where(columns.notna(), None)
        yield json.dumps(columns.to_dict("list") | {"run": name})
