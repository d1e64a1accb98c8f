"""Normalisation: zero mean and unit variance over a named group, when rows are read."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from ctl_helpers.corpora.manifest import check_known
from ctl_helpers.errors import StudyError, check_choice
from ctl_helpers.features.settings import Features

# Where less than all of a new voice is known: how many seconds of it, without labels.
SECONDS = {"speaker-5s": 5.0, "speaker-20s": 20.0, "speaker-60s": 60.0}
# Those that listen to the unlabelled speech of a test part.
TRANSDUCTIVE = ("speaker", *reversed(SECONDS), "corpus")
NORMALISATIONS = ("none", "utterance", "speaker", *SECONDS, "corpus", "global")
_EPSILON = 2.0**-30  # speechpy's
_BLOCK = 256  # utterances looked at together, so that memory stays flat


@dataclass(frozen=True, eq=False)
class Normalised:
    """Features that are normalised as they are read, so that the whole is never held twice.

    Indexing with rows gives a float32 array of shape (rows, frames, coefficients).

    Parameters
    ----------
    values : ndarray of shape (utterances, frames, coefficients)
        MFCC, a memory map or not.
    kind : str
        One of ``NORMALISATIONS``.
    group : int array of shape (utterances,), optional
        Which row of `mean` and `scale` an utterance takes.
    mean, scale : float32 array of shape (groups, coefficients), optional
        What is subtracted, and what the rest is multiplied by.
    speech : int array of shape (utterances, 2), optional
        First and one-past-last frame that holds signal; the frames outside come out as zero.
    versions : tuple of Normalised
        The same utterances, resampled; see :func:`with_versions`.
    """

    values: np.ndarray
    kind: str
    group: np.ndarray | None = None
    mean: np.ndarray | None = None
    scale: np.ndarray | None = None
    speech: np.ndarray | None = None
    versions: tuple["Normalised", ...] = ()

    def __getitem__(self, rows) -> np.ndarray:
        picked = np.array(self.values[rows], np.float32)  # a copy, even of a slice
        spoken = None if self.speech is None else holds_speech(self.speech[rows], picked.shape[1])
        if self.kind == "utterance":
            import speechpy.processing

            for row, one in enumerate(picked):
                here = ... if spoken is None else spoken[row]
                one[here] = speechpy.processing.cmvn(one[here], True)
        elif self.kind != "none":
            group = self.group[rows]
            picked = (picked - self.mean[group][:, None]) * self.scale[group][:, None]
        return picked if spoken is None else picked * spoken[:, :, None]

    def __len__(self) -> int:
        return len(self.values)

    def drawn(self, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Read utterances, each as it is or in one of its versions, drawn evenly."""
        picked = self[rows]
        version = rng.integers(0, 1 + len(self.versions), size=len(rows))
        for number, normalised in enumerate(self.versions, start=1):
            here = np.flatnonzero(version == number)
            picked[here] = normalised[rows[here]]
        return picked


def holds_speech(speech: np.ndarray, frames: int) -> np.ndarray:
    """Mark the frames that hold signal: bool of shape (utterances, frames)."""
    places = np.arange(frames)
    return (places >= speech[:, :1]) & (places < speech[:, 1:])


def _statistics(values, rows, speech) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of every coefficient over the (speech) frames of some utterances."""
    count, total, squares = 0, np.zeros(values.shape[2]), np.zeros(values.shape[2])
    for start in range(0, len(rows), _BLOCK):
        some = rows[start : start + _BLOCK]
        piece = np.asarray(values[some], np.float64)
        spoken = ... if speech is None else holds_speech(speech[some], piece.shape[1])
        piece = piece[spoken].reshape(-1, piece.shape[2])
        count += len(piece)
        total += piece.sum(axis=0)
        squares += (piece**2).sum(axis=0)
    mean = total / count
    return mean, np.sqrt(np.maximum(squares / count - mean**2, 0))


def normalise(
    values: np.ndarray,
    manifest: pd.DataFrame,
    kind: str,
    train: np.ndarray | None = None,
    speech: np.ndarray | None = None,
    only: np.ndarray | None = None,
    failed: Sequence[int] = (),
    seed: int = 0,
) -> Normalised:
    """Bring every coefficient to zero mean and unit variance over the frames of a group.

    Parameters
    ----------
    values : ndarray of shape (utterances, frames, coefficients)
        Padding included.
    manifest : DataFrame
        A row per utterance, of one corpus or several.
    kind : str
        One of `NORMALISATIONS`. The group: every utterance by itself (``"utterance"``, speechpy's
        cmvn), all of a speaker, all of a corpus (both look at the unlabelled speech of the test
        part too), or the training part, whose statistics then serve all (``"global"``).
        ``"speaker-20s"`` takes the statistics of a speaker outside of the training part from some
        20 s of speech: utterances drawn at random, by speaker and seed, the last of which may reach
        beyond.
    train : int array or None
        Rows of the training part, for ``"global"``.
    speech : int array of shape (utterances, 2) or None
        As `Features.speech`: take the statistics of these frames alone, and put zero, the mean, in
        place of the padding; ``None`` treats padding as speech, as released.
    only : int array or None
        Rows that ``"corpus"`` may take statistics from; ``None`` for all. A corpus without any of
        these rows takes them from all of its own.
    failed : sequence of int
        Rows without features, which no statistics are taken from.
    seed : int
        Of the draw.

    Returns
    -------
    Normalised
        Index it with rows, or with ``[:]`` for the whole array.

    Raises
    ------
    StudyError
        When the kind is unknown, ``"global"`` has no training rows, or ``"speaker"`` meets an
        utterance without a speaker.
    """
    check_choice("normalisation", kind, NORMALISATIONS)
    if len(values) != len(manifest):
        raise StudyError(
            f"normalisation: expected a manifest of {len(values)} rows, got {len(manifest)}"
        )
    if kind in ("none", "utterance"):
        return Normalised(values, kind, speech=speech)
    group, means, scales = np.zeros(len(values), int), [], []
    for number, (rows, counted) in enumerate(_groups(manifest, kind, train, only, failed, seed)):
        mean, deviation = _statistics(values, counted, speech)
        group[rows] = number
        means.append(mean)
        scales.append(1 / (deviation + _EPSILON))
    return Normalised(values, kind, group, np.float32(means), np.float32(scales), speech)


def standardise(values: np.ndarray, manifest: pd.DataFrame, kind: str, **rows: Any) -> np.ndarray:
    """Bring every functional to zero mean and unit variance over the utterances of a group.

    Parameters
    ----------
    values : ndarray of shape (utterances, functionals)
        A vector per utterance.
    manifest : DataFrame
        A row per utterance.
    kind : str
        The group, as for `normalise`; not ``"none"`` or ``"utterance"``.
    **rows
        Train, only, failed and seed, as for `normalise`.

    Returns
    -------
    ndarray of shape (utterances, functionals)
        float32; 0 where a functional is the same in the whole group.
    """
    values = np.asarray(values)[:, None]
    scaled = normalise(values, manifest, kind, **rows)
    # Of a constant the deviation is rounding, and dividing by it would make noise of it.
    constant = (scaled.scale > 2.0**29) | (scaled.scale * np.abs(scaled.mean) > 1e6)
    return np.where(constant[scaled.group], np.float32(0), scaled[:][:, 0])


def with_versions(
    normalised: Normalised, versions: Iterable[Features], manifest: pd.DataFrame, **rows: Any
) -> Normalised:
    """Add further versions of the utterances, normalised as these are.

    Statistics of a training part are used for the versions too. Statistics of a speaker, a corpus
    or an utterance are computed anew for each version, as for another speaker.

    Parameters
    ----------
    normalised : Normalised
        The utterances as they were recorded.
    versions : iterable of Features
        Of the same rows, played faster or slower.
    manifest : DataFrame
        A row per utterance.
    **rows
        Train, only, failed and seed, as for `normalise`.
    """

    def like_these(version: Features) -> Normalised:
        speech = None if normalised.speech is None else version.speech
        if normalised.kind == "global":
            return replace(normalised, values=version.values, speech=speech)
        return normalise(version.values, manifest, normalised.kind, speech=speech, **rows)

    return replace(normalised, versions=tuple(map(like_these, versions)))


def _groups(manifest, kind, train, only, failed, seed) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows to normalise together, and the rows whose statistics they get."""
    if kind == "global":
        if train is None or not len(train):
            raise StudyError(
                "normalisation 'global': expected the rows of a training part, got none"
            )
        return [(np.arange(len(manifest)), train)]
    if kind != "corpus":
        check_known(manifest, "speaker", f"normalisation {kind!r}")
    columns = ["corpus"] if kind == "corpus" else ["corpus", "speaker"]
    groups = (np.setdiff1d(rows, failed) for rows in manifest.groupby(columns).indices.values())
    groups = filter(len, groups)
    return [(rows, _learned_from(rows, manifest, kind, train, only, seed)) for rows in groups]


def _learned_from(rows, manifest, kind, train, only, seed) -> np.ndarray:
    """Pick the rows of a speaker or a corpus that statistics are taken from."""
    if kind == "corpus" and only is not None:
        allowed = np.intersect1d(rows, only)
        return allowed if len(allowed) else rows
    if kind in SECONDS and train is not None and not np.isin(rows, train).any():
        name = "/".join(manifest[["corpus", "speaker"]].iloc[rows[0]])
        drawn = np.random.default_rng([seed, *name.encode()]).permutation(rows)
        lasted = np.cumsum(manifest["duration"].to_numpy()[drawn])
        return np.sort(drawn[: 1 + np.searchsorted(lasted, SECONDS[kind])])
    return rows
