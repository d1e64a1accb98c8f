"""The archive of a report: its runs in three compressed files in place of hundreds of folders."""

import contextlib
import gzip
import io
import json
import os
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from ctl_helpers.errors import StudyError
from ctl_helpers.results.runs import (
    ARCHIVED_RUNS,
    PREDICTION_COLUMNS,
    load_history,
    load_predictions,
    load_runs,
    read_runs,
)


def write_archive(folder: str | Path, only: Iterable[str] | None = None) -> list[Path]:
    """Write a report's runs as ``runs.jsonl.gz``, ``predictions.csv.gz`` and ``history.csv.gz``.

    Everything but networks and embeddings is kept. Probabilities keep five decimals; true and
    predicted emotions are kept as they are, so that scores recompute exactly. The same runs give
    the same bytes.

    Parameters
    ----------
    folder
        The report's folder; its runs are read from ``runs/`` in it or from the archive that it
        already holds, and the three files are written into it.
    only
        Names of the runs to keep; all by default.

    Returns
    -------
    list of pathlib.Path
        The three files.

    Raises
    ------
    StudyError
        If there are no such runs, or the folder cannot be written.
    """
    folder = Path(folder)
    store = folder / "runs"
    stored = sorted(read_runs(store, only), key=lambda kept: kept[0])
    if not stored:
        raise StudyError(f"archive {folder}: expected runs in {store}, got none")
    runs = load_runs(store, [name for name, *_ in stored])
    predictions = load_predictions(store, runs)
    classes = [column for column in predictions if column.startswith("p_")]
    predictions = predictions[["run", *PREDICTION_COLUMNS, *classes]]
    history = load_history(store, runs).drop(columns=["seed", "split"])
    lines = (
        json.dumps({"run": name, "spec": spec, "record": record}, sort_keys=True) + "\n"
        for name, spec, record, _ in stored
    )
    texts = {
        ARCHIVED_RUNS: "".join(lines),
        "predictions.csv.gz": _csv(predictions, "%.5f"),
        "history.csv.gz": _csv(history, "%.5g"),
    }
    return [write_whole(folder / name, _packed(text)) for name, text in texts.items()]


def _csv(frame: pd.DataFrame, floats: str) -> str:
    frame = frame.sort_values("run", kind="stable")
    return frame.to_csv(index=False, float_format=floats, lineterminator="\n")


def _packed(text: str) -> bytes:
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0, filename="") as file:
        file.write(text.encode())
    return packed.getvalue()


def write_whole(path: str | Path, content: str | bytes) -> Path:
    """Write a file whole or not at all: what was there stays until all of the new is on disk.

    Raises
    ------
    StudyError
        If it cannot be written: no permission, read-only, full disk.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content.encode() if isinstance(content, str) else content)
        os.replace(partial, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        reason = error.strerror or error
        raise StudyError(f"{path.name}: cannot write to {path.parent} ({reason})") from error
    return path
