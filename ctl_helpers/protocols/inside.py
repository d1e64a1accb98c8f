"""Who trains and who tests: k folds, held-out speakers, partition files, and a validation part."""

import json
import logging
import os
import re
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import KFold, StratifiedGroupKFold, StratifiedKFold

from ctl_helpers.errors import StudyError

logger = logging.getLogger("ctl_helpers")

PARTITION = "partition:"


@dataclass(frozen=True, eq=False)
class Split:
    """One division of a manifest's rows.

    Parameters
    ----------
    name : str
        As ``"fold 0"`` or ``"speaker 03"``.
    train, test : int array
        Rows, in ascending order.
    speaker_independent : bool
        Whether no speaker is in both parts, so that a validation part must not share one either.
    """

    name: str
    train: np.ndarray
    test: np.ndarray
    speaker_independent: bool


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
        speakers), or ``"partition:FOLDER"``, see `read_partition`.
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
    if protocol.startswith(PARTITION):
        return read_partition(protocol.removeprefix(PARTITION), manifest)
    if protocol not in PROTOCOLS:
        raise StudyError(
            f"protocol: expected one of {', '.join(PROTOCOLS)} or {PARTITION}FOLDER, "
            f"got {protocol!r}"
        )
    emotions = manifest["emotion"].unique()
    if len(emotions) < 2:
        raise StudyError(
            f"protocol {protocol!r}: expected at least two emotions, got {len(emotions)} "
            f"({', '.join(emotions)}) in {len(manifest)} utterances"
        )
    if protocol != "loso" and not 2 <= folds <= len(manifest):
        raise StudyError(
            f"protocol {protocol!r}: expected from 2 folds up to the number of utterances, "
            f"got {folds} folds and {len(manifest)} utterances"
        )
    return PROTOCOLS[protocol](manifest, folds, seed)


def pick_splits(splits: list[Split], only: Iterable[int] | None) -> list[Split]:
    """Pick some splits by their numbers, from 0; ``None`` for all.

    Raises
    ------
    StudyError
        When there is none of a number.
    """
    if only is None:
        return splits
    if beyond := [index for index in only if not 0 <= index < len(splits)]:
        raise StudyError(f"only: expected splits from 0 to {len(splits) - 1}, got {beyond[0]}")
    return [splits[index] for index in only]


def _kfold(manifest: pd.DataFrame, folds: int, seed: int) -> list[Split]:
    splitter = KFold(folds, shuffle=True, random_state=seed)
    return _numbered(splitter.split(np.arange(len(manifest))), independent=False)


def _stratified(manifest: pd.DataFrame, folds: int, seed: int) -> list[Split]:
    counts = manifest["emotion"].value_counts()
    if counts.min() < folds:
        raise StudyError(
            f"protocol 'stratified': expected at least {folds} utterances of every emotion, one "
            f"per fold, got {counts.min()} of {counts.idxmin()!r}"
        )
    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    return _numbered(splitter.split(manifest, manifest["emotion"]), independent=False)


def _loso(manifest: pd.DataFrame, folds: int, seed: int) -> list[Split]:
    speakers = _speakers(manifest, "loso", at_least=2)
    splits = []
    for speaker in np.unique(speakers):
        held_out = speakers == speaker
        train, test = np.flatnonzero(~held_out), np.flatnonzero(held_out)
        splits.append(Split(f"speaker {speaker}", train, test, speaker_independent=True))
    return splits


def _grouped(manifest: pd.DataFrame, folds: int, seed: int) -> list[Split]:
    speakers = _speakers(manifest, "grouped", at_least=folds)
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # An emotion rarer than the folds is missing from some of them; that is no mistake here.
        warnings.simplefilter("ignore", UserWarning)
        try:
            parts = list(splitter.split(manifest, manifest["emotion"], speakers))
        except ValueError as error:
            raise StudyError(f"protocol 'grouped': {error}") from error
    if any(not len(test) for _, test in parts):
        raise StudyError(
            f"protocol 'grouped': expected speakers that fill {folds} folds, got an empty fold; "
            "use fewer folds or the protocol 'loso'"
        )
    return _numbered(parts, independent=True)


PROTOCOLS: dict[str, Callable[[pd.DataFrame, int, int], list[Split]]] = {
    "kfold": _kfold,
    "stratified": _stratified,
    "loso": _loso,
    "grouped": _grouped,
}
K_FOLDS = ("kfold", "stratified", "grouped")  # those that ask how many


def _numbered(parts: Iterable[tuple[np.ndarray, np.ndarray]], independent: bool) -> list[Split]:
    return [
        Split(f"fold {number}", train, test, independent)
        for number, (train, test) in enumerate(parts)
    ]


def _speakers(manifest: pd.DataFrame, protocol: str, at_least: int) -> np.ndarray:
    """Name the speaker of every row, with the corpus where there are several."""
    speakers = manifest["speaker"].to_numpy(dtype=object)
    unknown = np.flatnonzero(speakers == "")
    if len(unknown):
        raise StudyError(
            f"protocol {protocol!r}: expected a speaker for every utterance, got {len(unknown)} of "
            f"{len(manifest)} without one, as {manifest['path'].iloc[unknown[0]]}"
        )
    if manifest["corpus"].nunique() > 1:
        speakers = (manifest["corpus"] + " " + manifest["speaker"]).to_numpy(dtype=object)
    names = np.unique(speakers)
    if len(names) < at_least:
        raise StudyError(
            f"protocol {protocol!r}: expected at least {at_least} speakers, got {len(names)} "
            f"({', '.join(names)})"
        )
    return speakers


def validation_part(
    split: Split, manifest: pd.DataFrame, fraction: float = 0.1, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Set a part of the training rows aside to pick an epoch on.

    Parameters
    ----------
    split : Split
        What to divide further; its test rows are not looked at.
    manifest : DataFrame
        A row per utterance.
    fraction : float
        Share of the speakers where the split holds out speakers, else of each emotion's
        utterances; at least one of them.
    seed : int
        Of the choice.

    Returns
    -------
    train, validation : int array
        Rows, in ascending order. Together they are `split.train`.

    Raises
    ------
    StudyError
        When nothing would be left to train or to validate on.

    Examples
    --------
    >>> manifest = pd.DataFrame({"emotion": ["sad", "happy"] * 10})
    >>> split = make_splits(manifest, "stratified", folds=2)[0]
    >>> train, validation = validation_part(split, manifest, fraction=0.2)
    >>> len(train), len(validation)
    (8, 2)
    """
    if not 0 < fraction < 1:
        raise StudyError(f"validation fraction: expected a number between 0 and 1, got {fraction}")
    generator = np.random.default_rng(seed)
    part = manifest.iloc[split.train]
    if split.speaker_independent:
        speakers = _speakers(part, "validation", at_least=2)
        names = generator.permutation(np.unique(speakers))
        chosen = np.isin(speakers, names[: _share(len(names), fraction)])
    else:
        chosen = np.zeros(len(part), bool)
        for _, rows in sorted(part.groupby("emotion").indices.items()):
            if len(rows) > 1:
                chosen[generator.permutation(rows)[: _share(len(rows), fraction)]] = True
    if not chosen.any():
        raise StudyError(
            f"validation part of {split.name!r}: expected an emotion with two utterances or more, "
            f"got {len(part)} utterances to train on"
        )
    return split.train[~chosen], split.train[chosen]


def _share(count: int, fraction: float) -> int:
    return min(count - 1, max(1, round(fraction * count)))


def read_partition(folder: str | os.PathLike, manifest: pd.DataFrame) -> list[Split]:
    """Read the folds of a corpus as EmoBox gives them.

    ``FOLDER/fold_1/<corpus>_train_fold_1.jsonl`` and ``..._test_fold_1.jsonl`` hold a line per
    utterance, ``{"key": ..., "wav": "downloads/emodb/wav/03a01Fa.wav", "emo": "happy", ...}``. A
    line means the row whose path ends alike, in as many parts as it takes to tell all lines and all
    rows apart; case, extension and the choice between ``/``, ``_`` and ``-`` do not count. Lines
    and rows without a partner are left out with a warning. A fold's ``valid`` file is not read: the
    epoch is picked on `validation_part`.

    Parameters
    ----------
    folder : path
        Of one corpus, as ``EmoBox/data/emodb``.
    manifest : DataFrame
        A row per utterance.

    Returns
    -------
    list of Split
        One per fold, named by its number.

    Raises
    ------
    StudyError
        When the folder has no folds, a file is not in this format, or a part matches no row.

    References
    ----------
    Ma et al., EmoBox: Multilingual Multi-corpus Speech Emotion Recognition Toolkit and Benchmark,
    Interspeech 2024.
    """
    folder = Path(folder)
    folds = sorted(
        (int(match[1]), child)
        for child in (folder.iterdir() if folder.is_dir() else ())
        if (match := re.fullmatch(r"fold_?(\d+)", child.name))
    )
    if not folds:
        raise StudyError(
            f"partition: expected folders fold_1, fold_2, ... with json lines, got none in {folder}"
        )
    lines = {
        (number, part): _read_lines(_partition_file(child, number, part))
        for number, child in folds
        for part in ("train", "test")
    }
    row_of = _match_rows({wav for wavs in lines.values() for wav in wavs}, manifest, folder)
    return [
        _partition_split(number, lines[number, "train"], lines[number, "test"], row_of, manifest)
        for number, _ in folds
    ]


def _partition_file(folder: Path, number: int, part: str) -> Path:
    # Some corpora hold the same fold twice, as _fold1 and _fold_1.
    for pattern in (f"*{part}_fold_{number}.jsonl", f"*{part}_fold{number}.jsonl"):
        if found := sorted(folder.glob(pattern)):
            return found[0]
    raise StudyError(
        f"partition: expected a file *{part}_fold_{number}.jsonl, got none in {folder}"
    )


def _read_lines(file: Path) -> list[str]:
    wavs = []
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(f"partition: expected json lines in {file}, got: {error}") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            wavs.append(str(json.loads(line)["wav"]))
        except (ValueError, KeyError, TypeError) as error:
            raise StudyError(
                f'partition: expected {{"key": ..., "wav": ..., "emo": ...}}, got {line[:60]!r} '
                f"in {file} line {number}"
            ) from error
    return wavs


def _match_rows(wavs: set[str], manifest: pd.DataFrame, folder: Path) -> dict[str, int]:
    theirs = {wav: _path_words(wav) for wav in wavs}
    ours = [_path_words(path) for path in manifest["path"]]
    shortest = min((len(_path_words(Path(wav).name)) for wav in wavs), default=1)
    for length in range(shortest, 1 + max(map(len, ours), default=0)):
        rows = {words[-length:]: row for row, words in enumerate(ours)}
        ends = {words[-length:] for words in theirs.values()}
        if len(rows) == len(ours) and len(ends) == len(theirs):
            row_of = {wav: rows[w[-length:]] for wav, w in theirs.items() if w[-length:] in rows}
            break
    else:
        raise StudyError(f"partition: expected paths that differ, got the same twice in {folder}")
    if not row_of:
        raise StudyError(
            f"partition: expected paths as {min(wavs, default='...')}, none of {len(wavs)} lines "
            f"of {folder} matches one of {len(ours)} utterances, as {manifest['path'].iloc[0]}"
        )
    if len(row_of) < len(theirs) or len(row_of) < len(ours):
        logger.warning(
            "partition %s: left out %d of %d lines that match no utterance, and %d of %d "
            "utterances that match no line",
            folder,
            len(theirs) - len(row_of),
            len(theirs),
            len(ours) - len(row_of),
            len(ours),
        )
    return row_of


def _path_words(path: str) -> tuple[str, ...]:
    stem = re.sub(r"\.[A-Za-z0-9]+$", "", path)
    return tuple(word for word in re.split(r"[\\/_-]+", stem.casefold()) if word)


def _partition_split(
    number: int, train: list[str], test: list[str], row_of: dict[str, int], manifest: pd.DataFrame
) -> Split:
    parts = [sorted({row_of[wav] for wav in wavs if wav in row_of}) for wavs in (train, test)]
    for name, rows, wavs in zip(("train", "test"), parts, (train, test), strict=True):
        if not rows:
            raise StudyError(
                f"partition: expected utterances in the {name} part of fold {number}, "
                f"got none that match its {len(wavs)} lines"
            )
    if shared := set(parts[0]) & set(parts[1]):
        raise StudyError(
            f"partition: expected train and test apart, got {len(shared)} utterances in both parts "
            f"of fold {number}, as {manifest['path'].iloc[min(shared)]}"
        )
    who = manifest[["corpus", "speaker"]]
    names = [set(who.iloc[rows].itertuples(index=False, name=None)) for rows in parts]
    unknown = any(speaker == "" for _, speaker in names[0] | names[1])
    independent = not unknown and not names[0] & names[1]
    return Split(f"fold {number}", np.array(parts[0]), np.array(parts[1]), independent)
