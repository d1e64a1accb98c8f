"""Features that somebody brings as an array, its rows matched to a manifest by name.

A ``.npz`` holds ``values`` and ``utterance``, the names of the rows. A ``.npy`` holds the values,
and a CSV file of the same stem beside it names the rows in a column utterance, path or file. Values
are of shape (utterances, n) or (utterances, frames, n). A name is the utterance's in the manifest,
or any ending of its path, whole folders only; rows for other utterances are ignored.
"""

import hashlib
import os
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from ctl_helpers.errors import StudyError
from ctl_helpers.features.settings import LARGEST, Features, short_hash
from ctl_helpers.plugins import own_file

_NAMES = ("utterance", "path", "file")
_BLOCK = 256  # rows looked at together, so that memory stays flat


def is_array(features) -> bool:
    """Say whether features are named by the file of an array."""
    return isinstance(features, str | os.PathLike) and Path(features).suffix in (".npz", ".npy")


def array_key(file: Path, manifest: pd.DataFrame) -> str:
    """Hash an array's content and the utterances, without reading the values into memory."""
    file = own_file(file)
    files = [file] if file.suffix == ".npz" else [file, file.with_suffix(".csv")]
    return short_hash(" ".join([*map(_content, files), *manifest["utterance"]]))


def read_array(file: Path, manifest: pd.DataFrame) -> Features:
    """Read the array's rows of a manifest.

    Parameters
    ----------
    file : Path
        See the module's description.
    manifest : DataFrame
        A row per utterance.

    Returns
    -------
    Features
        A memory map where a ``.npy`` of float32 has the manifest's rows in the manifest's order.

    Raises
    ------
    StudyError
        When the file is not such an array, an utterance has no row or several, a value of its row
        is not finite or beyond all reason, or all rows are the same.
    """
    values, names = _read(file)
    rows = _matched(file, names, manifest)
    if not np.array_equal(rows, np.arange(len(values))):
        values = values[rows]
    with np.errstate(over="ignore"):  # is found below
        values = values.astype(np.float32, copy=False)
    differ = False
    for start in range(0, len(values), _BLOCK):
        block = values[start : start + _BLOCK].reshape(-1, values[0].size)
        sound = (np.abs(block) <= LARGEST).all(axis=1)  # nor is what is not a number
        if not sound.all():
            name = names[rows[start + int(np.argmin(sound))]]
            raise StudyError(
                f"features {file}: expected finite values up to {LARGEST:g}, got others in {name!r}"
            )
        differ = differ or bool((block != values[0].ravel()).any())
    if not differ and len(values) > 1:
        raise StudyError(f"features {file}: expected rows that differ, got {len(values)} alike")
    return Features(values, manifest.reset_index(drop=True), array_key(file, manifest))


def _content(file: Path) -> str:
    try:
        with open(file, "rb") as stream:
            return hashlib.file_digest(stream, "blake2b").hexdigest()
    except OSError as error:
        raise StudyError(f"features: cannot read {file} ({error.strerror})") from error


def _read(file: Path) -> tuple[np.ndarray, list[str]]:
    file = own_file(file)
    try:
        if file.suffix == ".npz":
            with np.load(file, allow_pickle=False) as found:
                values, names = found["values"], found["utterance"].astype(str).ravel().tolist()
        else:
            values = np.load(file, mmap_mode="r", allow_pickle=False)
            table = pd.read_csv(file.with_suffix(".csv"), dtype=str, keep_default_na=False)
            names = table[next((name for name in _NAMES if name in table), "utterance")].tolist()
        if values.ndim not in (2, 3) or values.dtype.kind not in "fiu" or not values.size:
            raise ValueError(f"{values.dtype} of shape {values.shape}")
        if len(values) != len(names):
            raise ValueError(f"{len(names)} names of {len(values)} rows")
    except Exception as error:  # which, depends on what is in the file
        raise StudyError(
            f"features {file}: expected numbers of shape (utterances, n) or (utterances, frames, n)"
            " and names: a .npz with values and utterance (no pickled objects), or a .npy and a "
            f".csv with a column {', '.join(_NAMES)}; got {' '.join(str(error).split())}"
        ) from error
    return values, [str(PurePosixPath(_posix(name.strip()))) for name in names]


def _matched(file: Path, names: list[str], manifest: pd.DataFrame) -> np.ndarray:
    """Row of the array for every utterance of the manifest."""
    named = {}
    for row, name in enumerate(names):
        named.setdefault(PurePosixPath(name).name, []).append((row, name))
    utterances = manifest["utterance"].map(_posix)
    found = []
    for path, utterance in zip(manifest["path"].map(_posix), utterances, strict=True):
        # A segment of a longer file has a name of its own, "file.wav[1.20-3.40]".
        whole = "/" + str(PurePosixPath(path).with_name(PurePosixPath(utterance).name))
        near = named.get(PurePosixPath(utterance).name, ())
        found.append(
            [row for row, name in near if name == utterance]
            or [row for row, name in near if whole.endswith(f"/{name}")]
            or [row for row, name in near if name.endswith(f"/{utterance}")]
        )
    if wrong := [row for row, fits in enumerate(found) if len(fits) != 1]:
        raise StudyError(
            f"features {file}: expected one row for each of {len(manifest)} utterances, got "
            f"{len(found[wrong[0]])} for {utterances.iloc[wrong[0]]!r}"
            + (f" and others than one for {len(wrong) - 1} more" if len(wrong) > 1 else "")
            + f"; its names are such as {names[0]!r}"
        )
    rows = np.concatenate(found)
    if len(np.unique(rows)) < len(rows):
        row = rows[pd.Series(rows).duplicated()][0]
        raise StudyError(f"features {file}: {names[row]!r} is the name of several utterances")
    return rows


def _posix(path: str) -> str:
    return str(path).replace("\\", "/")
