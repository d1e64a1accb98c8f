"""Protocols inside a corpus: k folds, held-out speakers and sentences, a validation part."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import KFold, LeaveOneGroupOut, StratifiedGroupKFold, StratifiedKFold

from ctl_helpers.errors import StudyError, nearest
from ctl_helpers.plugins import is_reference, load
from ctl_helpers.protocols.partition import read_partition
from ctl_helpers.protocols.problem import Problem, Split, classes_of, groups_of, hash_of

PARTITION, INNER = "partition:", "inner:"
_INNER_FOLDS = 3


def problems_inside(
    manifest: pd.DataFrame,
    protocol: str = "kfold",
    folds: int = 10,
    division: int = 98,
    only: Sequence[int] = (),
) -> list[Problem]:
    """Make the problems of a protocol inside one corpus.

    Parameters
    ----------
    manifest : DataFrame
        Of one corpus, as :func:`ctl_helpers.corpora.load_manifest` gives it.
    protocol, folds, division
        As for :func:`make_splits`, whose `seed` is the division.
    only : sequence of int
        Numbers of the splits to keep, from 0; by default all.

    Returns
    -------
    list of Problem

    Raises
    ------
    StudyError
        When the corpus does not allow the protocol, or there is no split of a number.
    """
    classes = classes_of(manifest)
    splits = make_splits(manifest, protocol, folds, division)
    numbers = only or range(len(splits))
    if beyond := [number for number in numbers if not 0 <= number < len(splits)]:
        raise StudyError(f"only: expected splits from 0 to {len(splits) - 1}, got {beyond[0]}")
    # Where nothing is shuffled, every seed makes the same parts, and so the same runs.
    is_fixed = protocol == "loso" or protocol.startswith(PARTITION)
    common: dict[str, Any] = {
        "corpus": "+".join(manifest["corpus"].unique()),
        "folds": folds if protocol.removeprefix(INNER) in K_FOLDS else None,
        "of_folds": len(splits),
        "of_utterances": sum(len(split.test) for split in splits),
        "division": Problem.division if is_fixed else division,
        "data": hash_of(manifest, splits),
        "memo": {},  # of all of them
    }
    return [
        Problem(manifest, classes, s.train, s.test, protocol, s.name, held_out=s.held_out, **common)
        for s in map(splits.__getitem__, numbers)
    ]


def make_splits(
    manifest: pd.DataFrame, protocol: str, folds: int = 10, seed: int = 98
) -> list[Split]:
    """Divide a corpus as a protocol says.

    Parameters
    ----------
    manifest : DataFrame
        A row per utterance.
    protocol : str
        ``"kfold"`` (shuffled k-fold, as the paper), ``"stratified"`` (the same with the emotions in
        equal shares), ``"loso"`` (leave one speaker out), ``"grouped"`` (k folds of whole
        speakers), ``"sentences"`` (k folds of whole sentences), ``"strangers"`` (neither speaker
        nor sentence of the test part was trained on), ``"partition:FOLDER"``, see
        :func:`~ctl_helpers.protocols.partition.read_partition`, ``"file.py:function"``, a
        function of manifest, folds and seed that returns a list of `Split`, or ``"inner:"`` before
        any of these: three folds of each of its training parts, to choose a recipe on without a
        look at its test parts.
    folds : int
        For k-fold protocols.
    seed : int
        Of the shuffle; 98 is the one of the released code.

    Returns
    -------
    list of Split

    Raises
    ------
    StudyError
        When the protocol is unknown or asks for more utterances, emotions or speakers than there
        are.

    Examples
    --------
    >>> manifest = pd.DataFrame({"emotion": ["sad", "happy"] * 5})
    >>> [len(split.test) for split in make_splits(manifest, "kfold", folds=5)]
    [2, 2, 2, 2, 2]
    """
    check_protocol(protocol)
    classes_of(manifest)
    if protocol.startswith(INNER):
        return _inner(protocol.removeprefix(INNER), manifest, folds, seed)
    if protocol.startswith(PARTITION):
        return read_partition(protocol.removeprefix(PARTITION), manifest)
    if protocol in K_FOLDS and not 2 <= folds <= len(manifest):
        raise StudyError(
            f"protocol {protocol!r}: expected from 2 folds up to the number of utterances, "
            f"got {folds} folds and {len(manifest)} utterances"
        )
    if protocol in PROTOCOLS:
        return PROTOCOLS[protocol](manifest, folds, seed)
    return _own(protocol, manifest, folds, seed)


def check_protocol(protocol: str) -> None:
    """Raise a StudyError for the name of a protocol that is not known."""
    protocol = protocol.removeprefix(INNER)
    if protocol.startswith(INNER):
        raise StudyError(f"protocol: expected {INNER} once, got it twice before {protocol!r}")
    if protocol in PROTOCOLS or protocol.startswith(PARTITION):
        return
    if not is_reference(protocol):
        raise StudyError(
            f"protocol: expected one of {', '.join(PROTOCOLS)}, {PARTITION}FOLDER, "
            f"FILE.py:FUNCTION or {INNER}PROTOCOL, got {protocol!r}{nearest(protocol, PROTOCOLS)}"
        )
    load(protocol)


def _own(protocol: str, manifest: pd.DataFrame, folds: int, seed: int) -> list[Split]:
    """Divide a corpus by a user's function, whose splits have to be what they say."""
    function = load(protocol)
    try:
        splits = list(function(manifest.copy(), folds, seed))
        splits = [replace(s, train=np.array(s.train), test=np.array(s.test)) for s in splits]
    except (Exception, SystemExit) as error:  # whatever the function does
        what = "expected a list of Split(name, train, test)"
        raise StudyError(f"protocol {protocol!r}: {what}, got {error!r}") from error
    names = [split.name for split in splits]
    if not names or len(set(names)) < len(names):
        raise StudyError(f"protocol {protocol!r}: expected splits of different names, got {names}")
    for split in splits:
        if wrong := _wrong(split, manifest):
            raise StudyError(f"protocol {protocol!r}, split {split.name!r}: expected {wrong}")
    return splits


def _wrong(split: Split, manifest: pd.DataFrame) -> str:
    """Say what a split should be and is not, or ""."""
    names = manifest["corpus"] + " " + manifest["speaker"]
    for part, rows in (("train", split.train), ("test", split.test)):
        last = len(manifest) - 1
        if rows.ndim != 1 or not rows.size or rows.dtype.kind not in "iu":
            return f"rows in {part} as whole numbers, got {rows.dtype} of shape {rows.shape}"
        if rows.min() < 0 or rows.max() > last or len(np.unique(rows)) < len(rows):
            got = f"{rows.min()} to {rows.max()}, {len(np.unique(rows))} of {len(rows)} different"
            return f"rows in {part} from 0 to {last}, each once, got {got}"
    if both := set(split.train) & set(split.test):
        name = manifest["path"].iloc[min(both)]
        return f"train and test apart, got {len(both)} utterances in both, as {name}"
    known = manifest["speaker"] != ""
    heard, tested = (set(names.iloc[rows][known.iloc[rows]]) for rows in (split.train, split.test))
    if split.held_out and heard & tested:
        return f"no speaker in both parts (held_out=True), got {', '.join(sorted(heard & tested))}"
    return ""


def _inner(protocol: str, manifest: pd.DataFrame, folds: int, seed: int) -> list[Split]:
    """Divide every training part again, by whole speakers where the protocol holds them out."""
    found = []
    for outer in make_splits(manifest, protocol, folds, seed):
        kind = "grouped" if outer.held_out else "kfold"
        for one in make_splits(manifest.iloc[outer.train], kind, _INNER_FOLDS, seed):
            name, train, test = f"{outer.name}, {one.name}", outer.train[one.train], one.test
            found.append(Split(name, train, outer.train[test], outer.held_out))
    return found


def _folds(splitter, manifest, folds, seed, groups=None, held_out=False) -> list[Split]:
    """Divide a corpus by a splitter of scikit-learn."""
    shuffled = splitter(folds, shuffle=True, random_state=seed)
    parts = enumerate(shuffled.split(manifest, manifest["emotion"], groups))
    return [Split(f"fold {number}", train, test, held_out) for number, (train, test) in parts]


def _stratified(manifest: pd.DataFrame, folds: int, seed: int) -> list[Split]:
    counts = manifest["emotion"].value_counts()
    if counts.min() < folds:
        raise StudyError(
            f"protocol 'stratified': expected at least {folds} utterances of every emotion, one "
            f"per fold, got {counts.min()} of {counts.idxmin()!r}"
        )
    return _folds(StratifiedKFold, manifest, folds, seed)


def _loso(manifest: pd.DataFrame, folds: int, seed: int) -> list[Split]:
    speakers = groups_of(manifest, "speaker", "loso", at_least=2)
    parts = LeaveOneGroupOut().split(speakers, groups=speakers)
    named = zip(np.unique(speakers), parts, strict=True)
    return [Split(f"speaker {name}", train, test, True) for name, (train, test) in named]


def _grouped(
    protocol: str, column: str, manifest: pd.DataFrame, folds: int, seed: int
) -> list[Split]:
    groups = groups_of(manifest, column, protocol, at_least=folds)
    held_out = column == "speaker"
    with warnings.catch_warnings():
        # An emotion rarer than the folds is missing from some of them; that is no mistake here.
        warnings.simplefilter("ignore", UserWarning)
        try:
            splits = _folds(StratifiedGroupKFold, manifest, folds, seed, groups, held_out)
        except ValueError as error:
            raise StudyError(f"protocol {protocol!r}: {error}") from error
    if not all(len(split.test) for split in splits):
        raise StudyError(
            f"protocol {protocol!r}: expected {column}s that fill {folds} folds, got an empty "
            "fold; use fewer folds"
        )
    return splits


def _strangers(manifest: pd.DataFrame, folds: int, seed: int) -> list[Split]:
    """Hold out the speakers of one fold and the sentences of one, in all combinations."""
    texts = min(folds, manifest["text"].nunique())
    by_speaker = _grouped("strangers", "speaker", manifest, folds, seed)
    by_text = _grouped("strangers", "text", manifest, texts, seed)
    splits = []
    for (i, speakers), (j, sentences) in product(enumerate(by_speaker), enumerate(by_text)):
        train = np.intersect1d(speakers.train, sentences.train)
        test = np.intersect1d(speakers.test, sentences.test)
        splits.append(Split(f"speakers {i} sentences {j}", train, test, held_out=True))
    return [split for split in splits if len(split.test)]


PROTOCOLS: dict[str, Callable[[pd.DataFrame, int, int], list[Split]]] = {
    "kfold": partial(_folds, KFold),
    "stratified": _stratified,
    "loso": _loso,
    "grouped": partial(_grouped, "grouped", "speaker"),
    "sentences": partial(_grouped, "sentences", "text"),
    "strangers": _strangers,
}
K_FOLDS = ("kfold", "stratified", "grouped", "sentences", "strangers")  # those that ask how many


def validation_part(
    train: np.ndarray, manifest: pd.DataFrame, held_out: bool, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Set a tenth of the training rows aside to pick an epoch on.

    Parameters
    ----------
    train : int array
        Rows to divide further.
    manifest : DataFrame
        A row per utterance.
    held_out : bool
        Whether whole speakers are set aside, else utterances of each emotion; a tenth of either,
        and at least one.
    seed : int
        Of the choice.

    Returns
    -------
    train, validation : int array
        Rows, in ascending order. Together they are those given.

    Raises
    ------
    StudyError
        When nothing would be left to train or to validate on.

    Examples
    --------
    >>> manifest = pd.DataFrame({"emotion": ["sad", "happy"] * 10})
    >>> train, validation = validation_part(np.arange(10), manifest, False)
    >>> len(train), len(validation)
    (8, 2)
    """
    generator = np.random.default_rng(seed)
    part = manifest.iloc[train]
    if held_out:
        speakers = groups_of(part, "speaker", "validation", at_least=2)
        names = generator.permutation(np.unique(speakers))
        chosen = np.isin(speakers, names[: _share(len(names))])
    else:
        chosen = np.zeros(len(part), bool)
        for _, rows in sorted(part.groupby("emotion").indices.items()):
            if len(rows) > 1:
                chosen[generator.permutation(rows)[: _share(len(rows))]] = True
    if not chosen.any():
        raise StudyError(
            "validation part: expected an emotion with two utterances or more, "
            f"got {len(part)} utterances to train on"
        )
    return train[~chosen], train[chosen]


def _share(count: int) -> int:
    return min(count - 1, max(1, round(0.1 * count)))
