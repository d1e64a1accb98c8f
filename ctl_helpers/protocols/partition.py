"""Read the folds of a corpus as EmoBox gives them."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pandas as pd

from ctl_helpers.errors import StudyError, log
from ctl_helpers.plugins import own_file
from ctl_helpers.protocols.problem import Split


def read_partition(folder: str | os.PathLike, manifest: pd.DataFrame) -> list[Split]:
    """Read the folds of a corpus as EmoBox gives them.

    ``FOLDER/fold_1/<corpus>_train_fold_1.jsonl`` and ``..._test_fold_1.jsonl`` hold a line per
    utterance, ``{"key": ..., "wav": "downloads/emodb/wav/03a01Fa.wav", "emo": "happy", ...}``. A
    line means the row whose path has the same end, as long as it takes to tell all lines and all
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
    folder = own_file(folder)
    folds = sorted(
        (int(match[1]), child)
        for child in folder.glob("fold*")
        if (match := re.fullmatch(r"fold_?(\d+)", child.name))
    )
    if not folds:
        raise StudyError(
            f"partition: expected folders fold_1, fold_2, ... with json lines, got none in {folder}"
        )
    lines = {
        number: [_read_lines(child, number, part) for part in ("train", "test")]
        for number, child in folds
    }
    wavs = {wav for both in lines.values() for part in both for wav in part}
    row_of = _match_rows(wavs, manifest, folder)
    return [_split(number, both, row_of, manifest) for number, both in lines.items()]


def _read_lines(folder: Path, number: int, part: str) -> list[str]:
    # Some corpora hold the same fold twice, as _fold1 and _fold_1.
    names = f"*{part}_fold_{number}.jsonl", f"*{part}_fold{number}.jsonl"
    files = [file for name in names for file in sorted(folder.glob(name))]
    if not files:
        raise StudyError(f"partition: expected a file {names[0]}, got none in {folder}")
    wavs: list[str] = []
    try:
        for line in filter(str.strip, files[0].read_text(encoding="utf-8").splitlines()):
            wavs.append(str(json.loads(line)["wav"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StudyError(
            'partition: expected json lines {"key": ..., "wav": ..., "emo": ...}, '
            f"got {error!r} in {files[0]}, line {len(wavs) + 1}"
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
        log.warning(
            f"partition {folder}: left out {len(theirs) - len(row_of)} of {len(theirs)} lines that "
            f"match no utterance, and {len(ours) - len(row_of)} of {len(ours)} utterances that "
            "match no line"
        )
    return row_of


def _path_words(path: str) -> tuple[str, ...]:
    stem = re.sub(r"\.[A-Za-z0-9]+$", "", path)
    return tuple(word for word in re.split(r"[\\/_-]+", stem.casefold()) if word)


def _split(number, lines, row_of, manifest) -> Split:
    parts = []
    for name, wavs in zip(("train", "test"), lines, strict=True):
        parts.append(sorted({row_of[wav] for wav in wavs if wav in row_of}))
        if not parts[-1]:
            raise StudyError(
                f"partition: expected utterances in the {name} part of fold {number}, "
                f"got none that match its {len(wavs)} lines"
            )
    train, test = parts
    if both := set(train) & set(test):
        raise StudyError(
            f"partition: expected train and test apart, got {len(both)} utterances in both parts "
            f"of fold {number}, as {manifest['path'].iloc[min(both)]}"
        )
    known = (manifest["speaker"].iloc[train + test] != "").all()
    names = manifest["corpus"] + " " + manifest["speaker"]
    apart = not set(names.iloc[train]) & set(names.iloc[test])
    return Split(f"fold {number}", np.array(train), np.array(test), bool(known and apart))
