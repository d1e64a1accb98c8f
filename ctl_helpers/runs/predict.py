"""The emotion of new recordings: files, folders, and long recordings in windows."""

import glob
import math
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile

from ctl_helpers.corpora import read_audio
from ctl_helpers.corpora.find import recordings
from ctl_helpers.corpora.signals import READ, RECORDINGS, WHOLE, inspect
from ctl_helpers.corpora.tables import Listing
from ctl_helpers.errors import StudyError
from ctl_helpers.features import FeatureSettings, Normalised, apply_statistics, normalise
from ctl_helpers.features.mfcc import mfcc
from ctl_helpers.parallel import parallel_map
from ctl_helpers.runs.model import load_network

_SHORTEST = 0.1  # seconds of a window
_LONG = 1.5  # recordings of so many windows are divided
_AT_ONCE = 256  # windows in memory
_PER_TASK = 32
_WORTH_SAYING = ("truncated", "clipped")  # kinds of notes
_STRANGE = 1.5  # how many times as far from the training's mean as its farthest per cent


def _batched(items: Iterable, size: int) -> Iterator[tuple]:
    items = iter(items)
    while some := tuple(islice(items, size)):
        yield some


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
        if word and path.is_dir():
            some = sorted(path / one for one in recordings(path, RECORDINGS, Listing()))
        elif path.is_file():
            some = [path]
        else:
            some = sorted(p for p in map(Path, glob.glob(word, recursive=True)) if p.is_file())
        if not some:
            problems.append(
                f"{word}: expected a recording, a folder of {', '.join(READ)} or a pattern, "
                "found nothing"
            )
        found += some
    return list(dict.fromkeys(found))


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
    network, card = load_network(path)
    if card["features"] is None:
        raise StudyError(
            f"model {path}: it was trained on an array of features, which this package cannot "
            "compute from a recording"
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
    cropped: list[Path] = []
    pieces = _pieces(files, length, longest, cropped, problems)
    rows, strange, told = [], [], []
    for some in _batched(pieces, _AT_ONCE):
        described = _described(some, settings, jobs, problems)
        if not described:
            continue
        inputs = _normalised(described, card)
        probabilities = np.asarray(network.predict(inputs[:], verbose=0, batch_size=16))
        if not np.isfinite(probabilities).all():
            raise StudyError(f"model {path}: its probabilities are not finite; it cannot be used")
        for (file, start, end, *_, remarks), p, far in zip(
            described, probabilities, _distances(inputs, card), strict=True
        ):
            row = {"file": str(file), "start": start, "end": end}
            row["emotion"] = card["classes"][int(p.argmax())]
            rows.append(row | dict(zip(card["classes"], p.tolist(), strict=True)))
            told += [f"{file}: {remark}" for remark in remarks]
            if far > _STRANGE:
                strange.append(str(file))
    columns = ["file", "start", "end", "emotion", *card["classes"]]
    notes = [*_notes(card, strange), *dict.fromkeys(told)]
    if cropped:
        notes.append(
            f"{cropped[0]}{f' and {len(cropped) - 1} others' * (len(cropped) > 1)}: longer than "
            f"the {longest:.2f} s that the model hears at once; only their middle is used; "
            "--window divides them"
        )
    return pd.DataFrame(rows, columns=columns), notes, problems


def _pieces(
    files: Iterable[Path],
    length: float,
    longest: float,
    cropped: list[Path],
    problems: list[str],
) -> Iterator[tuple[Path, float, float]]:
    """Give file, start and end of every piece; not-a-numbers where it is a whole file."""
    for file in files:
        try:
            if not file.is_file():  # a pipe, say, which would be waited for
                raise OSError
            seconds = soundfile.info(str(file)).duration
        except (soundfile.SoundFileError, OSError, UnicodeEncodeError):
            problems.append(f"{file}: {inspect((str(file), WHOLE))[0]['reason']}")
            continue
        if seconds <= _LONG * length:
            if seconds > longest:
                cropped.append(file)
            yield file, math.nan, math.nan
            continue
        for number in range(math.ceil(2 * seconds / length) - 1):
            start = number * length / 2
            yield file, start, min(start + length, seconds)


def _described(
    pieces: Iterable[tuple], settings: FeatureSettings, jobs: int | None, problems: list[str]
) -> list[tuple]:
    """Compute the features of pieces in parallel; name those that cannot be used."""
    tasks = list(_batched(pieces, _PER_TASK))
    jobs = 1 if len(tasks) == 1 else jobs
    found = parallel_map(partial(_describe, settings=settings), tasks, jobs, "features", "piece")
    described = []
    for file, start, end, reason, *features in (one for some in found for one in some):
        if reason:
            where = "" if math.isnan(start) else f" from {start:.1f} to {end:.1f} s"
            problems.append(f"{file}{where}: {reason}")
        else:
            described.append((file, start, end, *features))
    return described


def _describe(pieces: Iterable[tuple], settings: FeatureSettings) -> list[tuple]:
    described = []
    for file, some in groupby(pieces, key=lambda piece: piece[0]):
        segments = [(start, end) for _, start, end in some]
        for (start, end), signal in zip(segments, inspect((str(file), segments)), strict=True):
            values = (signal["reason"],)
            if signal.get("silent_middle", 0) >= settings.samples / settings.sampling_rate:
                values = ("its middle, which counts, is silent",)
            elif not signal["kind"]:
                audio = read_audio(file, settings.sampling_rate, start, end)
                told = [reason for kind, reason in signal["notes"] if kind in _WORTH_SAYING]
                values = ("", *mfcc(audio, settings), told)
            described.append((file, start, end, *values))
    return described


def _normalised(described: list[tuple], card: Mapping[str, Any]) -> Normalised:
    values = np.stack([one[3] for one in described])
    speech = np.stack([one[4] for one in described]) if card["padding"] == "zeroed" else None
    kind = card["normalisation"]
    if kind == "global":
        return apply_statistics(values, (card["mean"], card["scale"]), speech)
    manifest = pd.DataFrame({"corpus": ["given"] * len(values), "speaker": "given", "path": ""})
    return normalise(values, manifest, kind, speech=speech)


def _distances(inputs: Normalised, card: Mapping[str, Any]) -> np.ndarray:
    """How far each piece lies from the training's mean, in units of its farthest per cent."""
    if not card.get("reach"):
        return np.zeros(len(inputs))
    return distance_from_mean(inputs[:]) / card["reach"]


def distance_from_mean(values: np.ndarray) -> np.ndarray:
    """Root mean square of each utterance's mean over time, shape (utterances,)."""
    return np.sqrt(np.square(values.mean(axis=1)).mean(axis=1))


def _notes(card: Mapping[str, Any], strange: list[str]) -> list[str]:
    notes = []
    if card.get("synthetic"):
        notes.append("the model has heard synthetic speech only: it knows nothing about emotion")
    if card["normalisation"] in ("speaker", "corpus"):
        notes.append(
            f"normalised over the recordings given here, as if of one {card['normalisation']}: "
            "give many recordings of one speaker, and of that speaker only"
        )
    for file in dict.fromkeys(strange):
        notes.append(f"{file}: unlike anything that the network was trained on; do not rely on it")
    return notes
