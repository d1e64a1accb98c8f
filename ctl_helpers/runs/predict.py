"""The emotion of new recordings: files, folders, and long recordings in windows."""

import glob
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from ctl_helpers.corpora.catalogue import Labels
from ctl_helpers.corpora.files import recordings
from ctl_helpers.corpora.listing import Listing
from ctl_helpers.corpora.manifest import COLUMNS
from ctl_helpers.corpora.signals import READ, RECORDINGS, seconds_of
from ctl_helpers.corpora.utterances import read_utterances
from ctl_helpers.errors import StudyError
from ctl_helpers.features import (
    TRANSDUCTIVE,
    Features,
    FeatureSettings,
    Normalised,
    extract,
    normalise,
)
from ctl_helpers.runs.model import load_predictor

_SHORTEST = 0.1  # seconds of a window
_LONG = 1.5  # recordings of so many windows are divided
_WORTH_SAYING = ("truncated", "clipped")  # kinds of notes
_AT_ONCE = 16  # of more recordings a network's activations take hundreds of MB
_STRANGE = 1.5  # how many times as far from the training's mean as its farthest per cent


def recordings_of(words: Iterable[str | Path], problems: list[str]) -> list[Path]:
    """List the recordings that files, folders and patterns name, each once.

    Parameters
    ----------
    words : iterable of path
        Recordings, folders or patterns.
    problems : list of str
        Gets a line for each word that names nothing.
    """
    found: list[Path] = []
    for word in map(str, words):
        path = Path(word)
        if word and os.path.isdir(path):
            listing = Listing()
            some = sorted(path / one for one in recordings(path, RECORDINGS, listing))
            problems += [f"{path / one['path']}: {one['reason']}" for one in listing.problems]
        elif os.path.isfile(path):
            some = [path]
        else:
            some = sorted(map(Path, filter(os.path.isfile, glob.glob(word, recursive=True))))
        if not some:
            problems.append(
                f"{word}: expected a recording, a folder of {', '.join(READ)} or a pattern, "
                "found nothing"
            )
        found += some
    once: dict[tuple, Path] = {}
    for path in found:  # a pattern walks through a loop of links many times
        once.setdefault((os.path.realpath(path), path.name), path)
    return list(once.values())


def predict_files(
    model: str | Path,
    words: Iterable[str | Path],
    window: float | None = None,
    jobs: int | None = None,
) -> tuple[pd.DataFrame, list[str], list[str]]:
    """Predict the emotion of recordings.

    Parameters
    ----------
    model : path
        A ``.keras`` file of this package, or the folder of a run.
    words : iterable of path
        Recordings, folders or patterns.
    window : float, optional
        Length in seconds of the pieces that a recording of more than one and a half of them is
        divided into, each overlapping half of the one before; by default what the network hears at
        once.
    jobs : int, optional
        Processes that compute features; by default one per core.

    Returns
    -------
    table : DataFrame
        A row per recording, or per window of a long one: file, start, end (s), emotion, and a
        column of probability per emotion.
    notes : list of str
        What to know of the numbers.
    problems : list of str
        A line for each recording, or window, that has no row: silent, too short, ...

    Raises
    ------
    StudyError
        If the model cannot be loaded, or no recording is found.
    """
    path = Path(model)
    predict, card = load_predictor(path)
    if card["features"] is None:
        raise StudyError(
            f"model {path}: it was trained on other features than MFCC, which predict does not "
            "compute"
        )
    settings = FeatureSettings(**card["features"])
    longest = settings.samples / settings.sampling_rate
    length = longest if window is None else window
    if not _SHORTEST <= length <= longest:
        raise StudyError(
            f"window: expected from {_SHORTEST} to {longest:.2f} s, which the model hears at once, "
            f"got {length:g}"
        )
    problems: list[str] = []
    files = recordings_of(words, problems)
    if not files:
        raise StudyError(f"predict: {'; '.join(problems)}")
    listing = Listing(list(_pieces(files, length)))
    records = read_utterances("given", Path(), listing, jobs, longest)
    given = pd.DataFrame(records, columns=[*COLUMNS, "file", "notes"])
    table = pd.DataFrame(columns=["file", "start", "end", "emotion", *card["classes"]])
    strange: list[str] = []
    if len(given):
        with TemporaryDirectory() as folder:
            found = extract(given, settings, jobs, folder, retry=False)
            for row, reason in found.failed.items():
                listing.leave_out(given["utterance"][row], "features", reason)
            table, strange = _predict(predict, card, found)
    if not np.isfinite(table[card["classes"]].to_numpy(float)).all():
        raise StudyError(f"model {path}: its probabilities are not finite; it cannot be used")
    notes = [*_notes(card, strange), *_remarks(given, longest)]
    problems += dict.fromkeys(f"{one['path']}: {one['reason']}" for one in listing.problems)
    return table, notes, problems


def _pieces(files: Iterable[Path], length: float) -> Iterator[Labels]:
    """Give each recording as a whole, or in windows if it is long."""
    for file in files:
        seconds = seconds_of(file) if os.path.isfile(file) else 0.0  # a pipe would be waited for
        spans = [(math.nan, math.nan)]  # the whole file
        if seconds > _LONG * length:
            starts = [n * length / 2 for n in range(math.ceil(2 * seconds / length) - 1)]
            spans = [(round(one, 2), min(round(one + length, 2), seconds)) for one in starts]
        for start, end in spans:
            yield Labels("", "given", file=str(file), start=start, end=end)


def _predict(
    predict: Callable, card: Mapping[str, Any], found: Features
) -> tuple[pd.DataFrame, list[str]]:
    """Predict what has features; say which files are unlike the training's."""
    inputs = _normalised(found, card)
    rows = np.delete(np.arange(len(inputs)), list(found.failed))
    parts = [rows[start : start + _AT_ONCE] for start in range(0, len(rows), _AT_ONCE)]
    probabilities = np.concatenate([predict(inputs[part]) for part in parts])
    table = found.manifest.loc[rows, ["file", "start", "end"]].reset_index(drop=True)
    table["emotion"] = np.array(card["classes"])[probabilities.argmax(axis=1)]
    table[card["classes"]] = probabilities
    reach = _STRANGE * (card.get("reach") or math.inf)
    far = [distance_from_mean(inputs[[row]])[0] > reach for row in rows]
    return table, table["file"][far].unique().tolist()


def _normalised(found: Features, card: Mapping[str, Any]) -> Normalised:
    speech = found.speech if card["padding"] == "zeroed" else None
    kind, failed = card["normalisation"], list(found.failed)
    if kind == "global":
        mean, scale = (np.float32(card[name])[None] for name in ("mean", "scale"))
        return Normalised(found.values, kind, np.zeros(len(found.values), int), mean, scale, speech)
    return normalise(found.values, found.manifest, kind, speech=speech, failed=failed)


def distance_from_mean(values: np.ndarray) -> np.ndarray:
    """Root mean square of each utterance's mean over time, shape (utterances,)."""
    return np.sqrt(np.square(values.mean(axis=1)).mean(axis=1))


def _notes(card: Mapping[str, Any], strange: list[str]) -> list[str]:
    notes = []
    if card.get("synthetic"):
        notes.append("the model has heard synthetic speech only: it knows nothing about emotion")
    if card.get("adapted_to"):
        notes.append(f"the model was adapted to {card['adapted_to']}, not to the recordings given")
    kind = card["normalisation"]
    if kind in TRANSDUCTIVE:
        notes.append(
            f"normalised over the recordings given here, as if of one {kind.split('-')[0]}: "
            "give many recordings of one speaker, and of that speaker only"
        )
    for file in strange:
        notes.append(f"{file}: unlike anything that the network was trained on; do not rely on it")
    return notes


def _remarks(given: pd.DataFrame, longest: float) -> list[str]:
    """Say what is worth knowing of the recordings, each thing once."""
    said = [
        f"{file}: {reason}"
        for file, notes in zip(given["file"], given["notes"], strict=True)
        for kind, reason in notes
        if kind in _WORTH_SAYING
    ]
    if cropped := given["file"][given["start"].isna() & (given["duration"] > longest)].tolist():
        said.append(
            f"{cropped[0]}{f' and {len(cropped) - 1} others' * (len(cropped) > 1)}: longer than "
            f"the {longest:.2f} s that the model hears at once; only their middle is used; "
            "--window divides them"
        )
    return list(dict.fromkeys(said))
