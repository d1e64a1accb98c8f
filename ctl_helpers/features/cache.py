"""Arrays kept on disk: a row per audio file, known by the file's content, whole or not at all.

A folder stands for one way to compute rows (one set of settings). In it lies a folder per list of
files: ``values.npy`` and ``index.json``, which tells every row's content hash and speech frames.
"""

import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from ctl_helpers.errors import StudyError
from ctl_helpers.parallel import parallel_map

_CHUNK = 32  # files per task, so that dispatch costs little
_DAY = 86_400  # seconds


def digest(data: bytes) -> str:
    """Hash bytes to 24 hexadecimal digits."""
    return hashlib.blake2b(data, digest_size=12).hexdigest()


def array_key(folder: Path, contents: list[str]) -> str:
    """Name the array that holds these contents, in this order, computed as the folder says."""
    return digest(" ".join([folder.name, *contents]).encode())


def content_hashes(
    paths: list[str], memo_file: Path, jobs: int | None = None
) -> tuple[list[str], dict[int, str]]:
    """Hash the bytes of files, reading only those that changed since they were last hashed.

    Parameters
    ----------
    paths : list of str
        Absolute paths.
    memo_file : Path
        Remembers size, time of change and hash of every path.
    jobs : int or None
        Processes.

    Returns
    -------
    contents : list of str
        A hash per path, empty where the file cannot be read.
    failures : dict
        Row and reason of those.
    """
    memo = _read_json(memo_file)
    stamps = {path: _stamp(path) for path in dict.fromkeys(paths)}
    new = [p for p, stamp in stamps.items() if stamp and memo.get(p, [])[:2] != stamp]
    hashed = {}
    for chunk in parallel_map(_hash_files, _chunks(new), jobs, "reading audio", "chunk"):
        hashed |= chunk
    memo |= {path: [*stamps[path], content] for path, content in hashed.items() if content}
    if new:
        memo_file.parent.mkdir(parents=True, exist_ok=True)
        _write_json(memo_file, memo)
    contents = [memo[p][2] if stamps[p] and hashed.get(p, True) else "" for p in paths]
    return contents, {row: "cannot be read" for row, content in enumerate(contents) if not content}


def _stamp(path: str) -> list[int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns]


def _hash_files(paths: list[str]) -> dict[str, str]:
    return {path: _hash_file(path) for path in paths}


def _hash_file(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, partial(hashlib.blake2b, digest_size=12)).hexdigest()
    except OSError:
        return ""


def _chunks(items: list) -> list[list]:
    return [items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK)]


def open_array(folder: Path, contents: list[str]) -> tuple[np.ndarray, np.ndarray] | None:
    """Open the array of a list of contents.

    Returns
    -------
    values : ndarray of shape (rows, ...)
        A read-only memory map, float32.
    speech : ndarray of shape (rows, 2)
        First and one-past-last frame with signal. Instead of both, ``None`` where the array is not
        in the cache, or damaged.
    """
    opened = _open(folder / array_key(folder, contents))
    return opened and (opened[0], np.array(opened[1]["speech"]))


def _open(folder: Path) -> tuple[np.ndarray, dict] | None:
    index = _read_json(folder / "index.json")
    try:
        values = np.load(folder / "values.npy", mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError):
        return None
    return (values, index) if len(values) == len(index.get("contents", [])) else None


def add_array(
    folder: Path,
    paths: list[str],
    contents: list[str],
    compute: Callable[[str], tuple[np.ndarray, np.ndarray]],
    shape: tuple[int, ...],
    jobs: int | None = None,
    apart: bool = False,
) -> dict[int, str]:
    """Put the array of a list of files into the cache, computing the rows that no other holds.

    The processes write their rows straight into the file, so that memory stays flat.

    Parameters
    ----------
    folder : Path
        Where arrays computed in the same way lie.
    paths, contents : list of str
        The files and the hashes of their content.
    compute : callable
        Path to (row of values, speech frames); a `StudyError` of it costs the row.
    shape : tuple of int
        Of a row.
    jobs : int or None
        Processes.
    apart : bool
        See :func:`ctl_helpers.parallel.parallel_map`.

    Returns
    -------
    dict
        Rows that failed, and why; the array is that of the others.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _sweep(folder)
    partial_folder = folder / f"partial-{uuid.uuid4().hex}"
    partial_folder.mkdir()
    try:
        file = partial_folder / "values.npy"
        offset = _create(file, (len(paths), *shape))
        speech = _copy_known(folder, contents, file, offset)
        new = [row for row in range(len(paths)) if row not in speech]
        write = partial(_write_computed, file=file, offset=offset, compute=compute)
        tasks = [[(row, paths[row]) for row in rows] for rows in _chunks(new)]
        failures = {}
        for good, bad in parallel_map(write, tasks, jobs, "features", "chunk", apart):
            speech |= good
            failures |= bad
        kept = sorted(speech)
        if failures and kept:
            _keep_rows(file, kept)
        if kept:
            index = {
                "contents": [contents[row] for row in kept],
                "speech": [speech[row] for row in kept],
            }
            _write_json(partial_folder / "index.json", index)
            _publish(partial_folder, folder / array_key(folder, index["contents"]))
    finally:
        shutil.rmtree(partial_folder, ignore_errors=True)
    return failures


def _write_computed(
    task: list[tuple[int, str]], file: Path, offset: int, compute: Callable
) -> tuple[dict[int, list[int]], dict[int, str]]:
    speech, failures = {}, {}

    def computed() -> Iterator[tuple[int, np.ndarray]]:
        for row, path in task:
            try:
                values, frames = compute(path)
            except StudyError as error:
                failures[row] = str(error)
                continue
            speech[row] = frames.tolist()
            yield row, values

    with threadpool_limits(1, "blas"):  # the products are small, and waiting for others is slow
        _write_rows(file, offset, computed())
    return speech, failures


def _copy_known(folder: Path, contents: list[str], file: Path, offset: int) -> dict[int, list[int]]:
    """Copy the rows that other arrays of the folder hold; return their speech frames."""
    rows = {}
    for row, content in enumerate(contents):
        rows.setdefault(content, []).append(row)
    speech = {}
    for other in folder.glob("*/index.json"):
        opened = None if other.parent.name.startswith("partial-") else _open(other.parent)
        if opened is None:
            continue
        values, index = opened
        pairs = [
            (row, source)
            for source, content in enumerate(index["contents"])
            for row in rows.pop(content, [])
        ]
        _write_rows(file, offset, ((row, values[source]) for row, source in pairs))
        speech |= {row: index["speech"][source] for row, source in pairs}
    return speech


def _create(file: Path, shape: tuple[int, ...]) -> int:
    """Make an empty array file and return where its data begins."""
    return np.lib.format.open_memmap(file, mode="w+", dtype=np.float32, shape=shape).offset


def _write_rows(file: Path, offset: int, rows: Iterable[tuple[int, np.ndarray]]) -> None:
    # Written, not mapped: a full disk is then an error instead of a crash, and processes on
    # several machines may fill the file at once.
    with open(file, "r+b") as target:
        for row, values in rows:
            target.seek(offset + row * values.nbytes)
            target.write(np.ascontiguousarray(values, np.float32).data)


def _keep_rows(file: Path, rows: list[int]) -> None:
    old = np.load(file, mmap_mode="r", allow_pickle=False)
    new = file.with_suffix(".kept")
    offset = _create(new, (len(rows), *old.shape[1:]))
    _write_rows(new, offset, enumerate(old[row] for row in rows))
    os.replace(new, file)


def _publish(partial_folder: Path, folder: Path) -> None:
    try:
        partial_folder.rename(folder)
    except OSError:
        if _open(folder) is None:  # damaged; else another process was faster
            shutil.rmtree(folder, ignore_errors=True)
            partial_folder.rename(folder)


def _sweep(folder: Path) -> None:
    """Remove what processes that were killed have left behind."""
    for leftover in folder.glob("partial-*"):
        with suppress(FileNotFoundError):  # another process was faster
            if time.time() - leftover.stat().st_mtime > _DAY:
                shutil.rmtree(leftover)


def _read_json(file: Path) -> dict:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _write_json(file: Path, content: dict) -> None:
    temporary = file.with_name(f"{file.name}.{uuid.uuid4().hex}")
    temporary.write_text(json.dumps(content), encoding="utf-8")
    os.replace(temporary, file)
