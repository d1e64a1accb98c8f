"""Find the corpora under a folder, whatever their folders are called."""

import csv
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path, PurePath, PurePosixPath

from ctl_helpers.corpora.catalogue import CATALOGUE, Corpus
from ctl_helpers.corpora.native import Labels, emotion_named
from ctl_helpers.errors import StudyError

READ = (".wav", ".flac")
"""Suffixes of the recordings that are read."""

_EXPECTED = "expected a folder of corpora, such as ROOT/emodb/wav/03a01Fa.wav"


def recordings(
    folder: Path, suffixes: tuple[str, ...] = READ, most: int | None = None
) -> Iterator[PurePosixPath]:
    """Visible files of some kinds below a folder (at most `most` sub-folders), relative to it."""
    seen = set()
    for parent, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen or len(seen) == most:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(f for f in folders if not f.startswith(".") and f != "__MACOSX")
        relative = PurePath(os.path.relpath(parent, folder))
        for name in sorted(names):
            if name.lower().endswith(suffixes) and not name.startswith("."):
                yield PurePosixPath((relative / name).as_posix())


def _sample(folder: Path) -> list[PurePosixPath]:
    """Enough recordings of a folder to know what it is, however large it may be."""
    return list(islice(recordings(folder, most=5000), 5000))


def _holds(sample: list[PurePosixPath], entry: Corpus) -> bool:
    """Whether most recordings are named as those of a corpus."""
    parts = sum(isinstance(entry.parse(path), Labels) for path in sample)
    return bool(sample) and 2 * parts >= len(sample)


def _same_name(name: str) -> str:
    """Name without case and punctuation."""
    return "".join(filter(str.isalnum, name.casefold()))


def _is_named(folder: Path, entry: Corpus) -> bool:
    return any(alias in _same_name(folder.name) for alias in entry.folders)


def _by_name(samples: dict[Path, list], entry: Corpus) -> Path | None:
    """Sub-folder that is named after a corpus: one with files, of speech, named most plainly."""

    def rank(folder: Path) -> tuple:
        name = _same_name(folder.name)
        return not samples[folder], "song" in name, name not in entry.folders, name, folder

    named = [f for f in samples if _is_named(f, entry)]
    named = [f for f in named if samples[f] or _same_name(f.name) in entry.folders]
    return min(named, key=rank, default=None)


def _native_corpora(root: Path, folders: list[Path]) -> dict[str, Path]:
    """Corpora of the catalogue under root, or root itself, by names of folders, then of files."""
    samples = {folder: _sample(folder) for folder in folders}
    filled = [folder for folder in folders if samples[folder]]
    below = _sample(root)
    scattered = len(filled) > 1 or any(len(path.parts) == 1 for path in below[:1])
    named = {e.name: f for e in CATALOGUE.values() if (f := _by_name(samples, e))}
    whole = [e for e in CATALOGUE.values() if _holds(below, e)]
    for entry in whole:
        if scattered and _is_named(root, entry) and named.keys() <= {entry.name}:
            return {entry.name: root}
    found = dict(named)
    for entry in CATALOGUE.values():
        holding = [f for f in filled if f not in named.values() and _holds(samples[f], entry)]
        if entry.name not in named and holding:
            found[entry.name] = holding[0] if len(holding) == 1 else root
    if len(whole) == 1 and not named and all(_holds(samples[f], whole[0]) for f in filled):
        return {whole[0].name: root}
    return found or {entry.name: root for entry in whole}


def parse_generic(path: PurePath) -> Labels | None:
    """Read ``<emotion>/*.wav``."""
    for part in path.parts[:-1]:
        if emotion := emotion_named(part):
            return Labels(emotion, utterance=path.as_posix())
    return None


def _header(table: Path) -> list[str]:
    try:
        with open(table, encoding="utf-8-sig", newline="") as lines:
            return [name.strip().lower() for name in next(csv.reader(lines), [])]
    except (OSError, UnicodeDecodeError, csv.Error):
        return []


def find_corpora(root: str | Path) -> dict[str, Path]:
    """Find the corpora under one folder.

    Corpora of the catalogue are known by the name of their folder, whatever its case and
    punctuation, or else by the names of their files. Any other sub-folder is a corpus if it holds
    a ``manifest.csv`` or ``<emotion>/*.wav``; so is a table ``<name>.csv``. `root` may itself be
    the folder of one corpus.

    Parameters
    ----------
    root : str or Path
        The folder that holds the corpora.

    Returns
    -------
    dict of str to Path
        Folder (or CSV manifest) by name of corpus, sorted by name.

    Raises
    ------
    StudyError
        If there is no such folder, or no corpus in it.
    """
    root = Path(root).expanduser().absolute()
    if not root.is_dir():
        what = "not a folder" if root.exists() else "no such folder"
        raise StudyError(f"corpora root {root}: {what}; {_EXPECTED}")
    try:
        children = sorted(p for p in root.iterdir() if not p.name.startswith((".", "__")))
    except OSError as error:
        raise StudyError(f"corpora root {root}: {error.strerror}; {_EXPECTED}") from error
    if not children:
        raise StudyError(f"corpora root {root}: the folder is empty; {_EXPECTED}")
    found = _native_corpora(root, [p for p in children if p.is_dir()])
    if root not in found.values():
        found = _own_corpora(root, children, set(found.values())) | found
    if not found:
        raise StudyError(f"corpora root {root}: no corpus found; {_EXPECTED}")
    found = {name: _with_manifest(place) for name, place in found.items()}
    return dict(sorted(found.items()))


def _with_manifest(place: Path) -> Path:
    """Take the manifest of a corpus's folder, where there is one: it says what counts."""
    table = place / "manifest.csv"
    return table if place.is_dir() and table.is_file() else place


def _own_corpora(root: Path, children: list[Path], taken: set[Path]) -> dict[str, Path]:
    """Corpora outside the catalogue: folders by emotion and CSV manifests."""
    by_emotion = [p for p in children if p.is_dir() and emotion_named(p.name)]
    if not taken and ((root / "manifest.csv").is_file() or any(map(_sample, by_emotion))):
        return {root.name: root}
    found = {}
    for place in children:
        if place.is_dir() and place not in taken:
            if (place / "manifest.csv").is_file() or any(map(parse_generic, _sample(place))):
                found[place.name] = place
        elif place.suffix.lower() == ".csv" and {"path", "emotion"} & set(_header(place)):
            name = place.stem.casefold()
            found.setdefault(name if name in CATALOGUE else place.stem, place)
    return found


def place_of(root: str | Path, name: str) -> tuple[str, Path]:
    """Find the name as spelled and the folder (or table) of a corpus asked for by name."""
    root = Path(root).expanduser().absolute()
    table = root / f"{name}.csv"
    try:
        found = find_corpora(root)
    except StudyError:
        if not table.is_file():
            raise
        found = {}
    for spelled, place in found.items():
        if _same_name(spelled) == _same_name(name):
            return spelled, place
    if table.is_file():
        return name, table
    entry = CATALOGUE.get(name.casefold())
    example = f"{name.casefold()}/{entry.example}" if entry else f"{name}/<emotion>/*.wav"
    raise StudyError(
        f"no corpus {name!r} under {root} (found: {', '.join(found)}); expected {root}/{example}"
    )
