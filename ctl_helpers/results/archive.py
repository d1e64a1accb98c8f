"""The archive of a report: its runs in three compressed files in place of hundreds of folders."""

import bz2
import json
from operator import itemgetter
from pathlib import Path

import pandas as pd

from ctl_helpers.errors import StudyError
from ctl_helpers.results.runs import load_history, load_predictions, load_runs, read_runs
from ctl_helpers.runs.store import ARCHIVED, write_text


def write_archive(folder: str | Path) -> list[Path]:
    """Write a report's runs as ``runs.jsonl.bz2``, ``predictions.csv.bz2`` and ``history.csv.bz2``.

    Everything but networks and embeddings is kept. Probabilities keep three decimals, values
    per epoch four digits; true and predicted emotions are kept as they are, so that scores
    recompute exactly. The same runs give the same bytes.

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
    texts = {
        "runs.jsonl.bz2": "".join(json.dumps(one, sort_keys=True) + "\n" for one in stored),
        "predictions.csv.bz2": _csv(load_predictions(store, runs), ARCHIVED),
        "history.csv.bz2": _csv(load_history(store, runs), "%.4g"),
    }
    return [write_text(folder / name, bz2.compress(text.encode())) for name, text in texts.items()]


def _csv(frame: pd.DataFrame, floats: str) -> str:
    frame = frame.drop(columns=["seed", "split"]).sort_values("run", kind="stable")
    return frame.to_csv(index=False, float_format=floats, lineterminator="\n")
