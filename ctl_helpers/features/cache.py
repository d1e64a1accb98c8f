"""Rows of features on disk: known by their sound, checked when read, whole or not at all.

A folder holds what was computed in one way, and a file in it the rows of one list of utterances: an
array of records, each with a checksum, the hash of its sound, its speech frames and its values.
Beside it a file of JSON says why rows failed.
"""

import json
import os
import threading
import zlib
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from ctl_helpers.errors import StudyError, log
from ctl_helpers.features.settings import short_hash
from ctl_helpers.parallel import parallel_map, remove_leftovers

_CHUNK = 32  # most rows per task: few tasks, so that handing them out costs little
_HEAD = [("sum", "<u4"), ("name", "S24"), ("speech", "<i4", (2,))]
_FAILED = (-1, -1)  # in place of the speech frames of a row that could not be computed
_ONE_AT_A_TIME = threading.Lock()  # as the limit on threads is the whole process's


def rows_key(way: str, names: Sequence[str]) -> str:
    """Hash a list of sounds, in this order, and the way their rows are computed."""
    return short_hash(" ".join([way, *names]))


def cached_rows(
    folder: Path,
    names: list[str],
    sources: list,
    compute: Callable,
    shape: tuple,
    each: Callable,
    retry: bool,
) -> tuple[np.ndarray, np.ndarray, dict[int, str]]:
    """Read rows from the cache, after computing those that are not there.

    Processes write their rows straight into the file, so that memory stays flat.

    Parameters
    ----------
    folder : Path
        Of rows computed in this way and no other; its name is the hash of the way.
    names : list of str
        Hash of every row's sound, 24 digits.
    sources : list
        What each row is computed from.
    compute : callable
        Takes a source; returns values of `shape` and the speech frames. A row for which it raises
        an exception, or its process dies, has failed.
    shape : tuple of int
        Of a row's values.
    each : callable
        Applies a function to many items, such as :func:`ctl_helpers.parallel.parallel_map`.
    retry : bool
        Whether to compute again the rows that failed before.

    Returns
    -------
    values : ndarray of shape (rows, ...)
        float32, a read-only memory map; not a number where a row failed.
    speech : int array of shape (rows, 2)
        As `compute` gave them; -1 where a row failed.
    failures : dict
        Rows that failed, and why.
    """
    file = folder / f"{rows_key(folder.name, names)}.npy"
    reasons = file.with_suffix(".json")
    heads = _heads(file)
    if heads["name"].astype(str).tolist() != names or (retry and _failed(heads).any()):
        folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(folder.parent, "*/partial-*")
        with TemporaryDirectory(prefix="partial-", dir=folder) as partial_folder:
            made, why = Path(partial_folder, "rows.npy"), Path(partial_folder, "why.json")
            why.write_text(json.dumps(_make(made, folder, names, sources, compute, shape, each)))
            os.replace(why, reasons)
            os.replace(made, file)
        heads = _heads(file)
    rows = np.flatnonzero(_failed(heads)).tolist()
    known = _read_reasons(reasons) if rows else {}
    failures = {row: known.get(str(row), "it could not be computed before") for row in rows}
    return np.load(file, mmap_mode="r")["values"], heads["speech"].astype(int), failures


def _read_reasons(file: Path) -> dict[str, str]:
    try:
        return dict(json.loads(file.read_text()))
    except (OSError, ValueError, TypeError):  # of an older release, or damaged
        return {}


def known_shape(folder: Path) -> tuple[int, ...] | None:
    """Shape of the rows that a folder holds; ``None`` where it holds none."""
    files = (file for file in folder.glob("*.npy") if any(_heads(file)["name"]))
    return next((np.load(file, mmap_mode="r").dtype["values"].shape for file in files), None)


def _failed(heads: np.ndarray) -> np.ndarray:
    return (heads["speech"] == _FAILED).all(axis=1)


def _heads(file: Path) -> np.ndarray:
    """All of a file's rows but their values; those that are damaged have no name."""
    return _checked(file, file.stat().st_mtime_ns) if file.exists() else np.empty(0, _HEAD)


@lru_cache(maxsize=256)  # so that a process checks a file once
def _checked(file: Path, _changed: int) -> np.ndarray:
    try:
        rows = np.load(file, mmap_mode="r", allow_pickle=False)
        heads, damaged = np.empty(len(rows), _HEAD), np.empty(len(rows), bool)
        with open(file, "rb") as stream:  # read, not mapped, so that memory stays flat
            stream.seek(rows.offset)
            for start in range(0, len(rows), _CHUNK):
                block, here = np.fromfile(stream, rows.dtype, _CHUNK), slice(start, start + _CHUNK)
                heads[here] = block[["sum", "name", "speech"]]
                damaged[here] = [row["sum"] != _checksum(row) for row in block]
        whole = rows.dtype == _row_type(rows.dtype["values"].shape)
        whole &= file.stem == rows_key(file.parent.name, heads["name"].astype(str))
    except Exception:  # which, depends on the bit that is wrong
        whole = False
    if not whole:
        log.warning("features: %s is damaged; what is needed of it is computed again", file)
        return np.empty(0, _HEAD)
    if damaged.any():
        said = "features: %d of %d rows in %s are damaged; what is needed is computed again"
        log.warning(said, damaged.sum(), len(rows), file)
        heads["name"][damaged] = b""
    return heads


def _row_type(shape: tuple[int, ...]) -> np.dtype:
    return np.dtype([*_HEAD, ("values", "<f4", shape)])


def _checksum(row: np.void) -> int:
    return zlib.crc32(row.tobytes()[4:], zlib.crc32(str(row["values"].shape).encode()))


def _make(made, folder, names, sources, compute, shape, each) -> dict[int, str]:
    """Write a file with all rows: those that other files hold are copied, others computed."""
    offset = np.lib.format.open_memmap(made, "w+", _row_type(shape), (len(names),)).offset
    wanted, known = np.array(names, "S24"), {}
    for file in folder.glob("*.npy"):
        heads = _heads(file)
        held = np.flatnonzero(np.isin(heads["name"], wanted) & ~_failed(heads))
        rows = np.load(file, mmap_mode="r") if len(held) else None
        known |= {heads["name"][row].decode(): rows[row] for row in held}
    _write(((row, known[name]) for row, name in enumerate(names) if name in known), made, offset)
    new = [row for row, name in enumerate(names) if name not in known]
    size = min(_CHUNK, max(1, len(new) // 8))
    chunks = [new[start : start + size] for start in range(0, len(new), size)]
    chunks = [[(row, names[row], sources[row]) for row in chunk] for chunk in chunks]
    fill = partial(_fill, file=made, offset=offset, compute=compute, shape=shape)
    failures = _fill_all(chunks, fill, each)
    _write(((row, _record(names[row], shape)) for row in failures), made, offset)
    return failures


def _fill_all(chunks: list[list], fill: Callable, each: Callable) -> dict[int, str]:
    """Compute and write all rows; return those that failed, and why."""
    done = each(fill, chunks, dead=partial(_dead, fill=fill))
    return {row: why for failed in done for row, why in failed.items()}


def _dead(chunk: list, fill: Callable) -> dict[int, str]:
    """Name the rows that kill the process which computes them, and compute the others."""
    if len(chunk) == 1:
        return {chunk[0][0]: "the process that computes its features dies; is there enough memory?"}
    each = partial(parallel_map, jobs=1, description="features", apart=True)
    return _fill_all([[row] for row in chunk], fill, each)


def _fill(chunk: list, file: Path, offset: int, compute: Callable, shape: tuple) -> dict[int, str]:
    """Compute rows and write them; return those that failed, and why."""
    rows, failures = {}, {}
    # One thread: the products are small, and what more of them sum up is rounded in another order.
    with _ONE_AT_A_TIME, threadpool_limits(1, "blas"):
        for row, name, source in chunk:
            try:
                rows[row] = _record(name, shape, *compute(source))
            except StudyError as error:
                failures[row] = str(error)
            except (Exception, SystemExit) as error:  # of a library, or a function of one's own
                failures[row] = f"{type(error).__name__}: {error}"
    _write(rows.items(), file, offset)
    return failures


def _record(name: str, shape: tuple, values: Any = np.nan, speech: Any = _FAILED) -> np.void:
    record = np.zeros(1, _row_type(shape))[0]
    record["name"], record["values"], record["speech"] = name, values, speech
    record["sum"] = _checksum(record)
    return record


def _write(rows: Iterable[tuple[int, np.void]], file: Path, offset: int) -> None:
    # Written, not mapped: a full disk is then an error instead of a crash, and processes on
    # several machines may fill the file at once.
    with open(file, "r+b") as stream:
        for row, record in rows:
            stream.seek(offset + row * record.nbytes)
            stream.write(record.tobytes())
