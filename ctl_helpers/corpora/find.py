"""Find the corpora under a folder, whatever their folders are called."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path, PurePath, PurePosixPath

from ctl_helpers.corpora.catalogue import CATALOGUE, LAYOUTS, Corpus, Labels
from ctl_helpers.corpora.doubles import DERIVED
from ctl_helpers.corpora.files import PACKED, SAMPLE, leads_nowhere, packed, recordings
from ctl_helpers.corpora.signals import READ, RECORDINGS
from ctl_helpers.corpora.tables import (
    SPLITS,
    Reading,
    is_table,
    own_tables,
    places_named,
    tables_in,
)
from ctl_helpers.corpora.words import emotion_named, reason_against, uncased
from ctl_helpers.errors import StudyError, log

OWN = (
    "<emotion>/*.wav or a manifest.csv with the columns path and emotion (others as --columns "
    "NAME:path NAME:emotion); "
    f"your own words as --emotions WORD:EMOTION; read are {' '.join(READ)}"
)
"""What a user's own corpus may look like."""

_WITH_SOUND = (".parquet", ".arrow")
TABLES = (".jsonl", ".xlsx", ".xls", ".ods", ".arff", *_WITH_SOUND)
"""Suffixes of tables that are not read; some hold the recordings themselves."""

_EXPECTED = "expected a folder of corpora, such as ROOT/emodb/wav/03a01Fa.wav"
_INSIDE = ("manifest", "metadata")  # tables that list the folder that they are in


@dataclass(frozen=True)
class Place:
    """Where one corpus lies, and how it is read.

    Parameters
    ----------
    name : str
        Of the corpus, as it is spelled there.
    path : Path
        Its folder or its table.
    reading : Reading
        How tables, and folders outside the catalogue, are read.
    others : frozenset of str
        Files and folders in its folder that are no part of it: of a corpus right under the root.
    """

    name: str
    path: Path
    reading: Reading
    others: frozenset[str] = frozenset()

    @property
    def entry(self) -> Corpus | None:
        """What is known of its layout."""
        return LAYOUTS.get(self.name)

    @cached_property
    def is_file(self) -> bool:
        """Whether it is one table."""
        return os.path.isfile(self.path)

    @property
    def is_inside(self) -> bool:
        """Whether its table lists the folder that it is in."""
        return self.is_file and self.path.stem.casefold() in _INSIDE

    @property
    def folder(self) -> Path:
        """What the names of its files are relative to."""
        return self.path.parent if self.is_file else self.path

    @cached_property
    def is_listed(self) -> bool:
        """Whether tables say what it holds; else the names of files and folders do."""
        return self.is_file or (not self.entry and bool(tables_in(self.path, self.reading)))


def _sample(folder: Path) -> list[PurePosixPath]:
    """Enough recordings of a folder to know what it is, however large it may be."""
    return list(islice(recordings(folder), SAMPLE))


def _has_form(path: PurePosixPath, entry: Corpus) -> bool:
    """Whether a recording has a name of the right form, whatever it means."""
    return not str(entry.parse(path)).startswith("its name is not")


def _is_of(path: PurePosixPath, entry: Corpus) -> bool:
    """Whether a recording is named as one of a corpus."""
    elsewhere = "labels" in entry.rules  # in files, where the names do not say the emotion
    return _has_form(path, entry) if elsewhere else isinstance(entry.parse(path), Labels)


def _holds(sample: list[PurePosixPath], entry: Corpus) -> bool:
    """Whether most recordings are named as those of a corpus."""
    parts = sum(_is_of(path, entry) for path in sample)
    return bool(sample) and 2 * parts >= len(sample)


def _is_part(place: Path, entry: Corpus) -> bool:
    """Whether a file or folder under a root is, or holds, a recording of a corpus that is there."""
    below = _sample(place) or [PurePosixPath()]
    return any(_is_of(place.name / path, entry) for path in below)


def _same_name(name: str) -> str:
    """Name without case and punctuation, in whatever form its letters are stored."""
    return "".join(filter(str.isalnum, uncased(name)))


def _is_named(folder: Path, entry: Corpus) -> bool:
    """Whether whole words of a folder's name (`EmoDB 2.0`, not `TurkishEmoDB`) are a corpus's."""
    words = re.findall(r"[^\W_]+", folder.name.casefold())
    starts = range(len(words))
    runs = {"".join(words[i:j]).rstrip("0123456789") for i in starts for j in range(i + 1, i + 9)}
    return not runs.isdisjoint(entry.folders)


def _by_emotion(sample: list[PurePosixPath], labels: Mapping[str, str] | None = None) -> bool:
    """Whether some recordings lie in folders that are named after emotions."""
    return any(isinstance(parse_generic(path, labels), Labels) for path in sample)


def _is_sorted(sample: list[PurePosixPath], entry: Corpus) -> bool:
    """Whether a folder, whatever its name, is none of a corpus's but sorted by emotion."""
    return _by_emotion(sample) and not any(_has_form(path, entry) for path in sample)


def _by_name(samples: dict[Path, list], entry: Corpus) -> Path | None:
    """Sub-folder named after a corpus: one with files, of unchanged speech, named most plainly."""

    def rank(folder: Path) -> tuple:
        name = _same_name(folder.name)
        other = bool(DERIVED.search(folder.name)) or "song" in name
        return not samples[folder], other, name not in entry.folders, name, folder

    named = [
        folder
        for folder, sample in samples.items()
        if (_same_name(folder.name) in entry.folders and not _is_sorted(sample, entry))
        or (_is_named(folder, entry) and any(_has_form(path, entry) for path in sample))
    ]
    return min(named, key=rank, default=None)


def _is_known(folder: Path) -> bool:
    """Whether a folder is named after a corpus, and a recording in it as those of the corpus."""
    named = [entry for entry in LAYOUTS.values() if _is_named(folder, entry)]
    sample = _sample(folder) if named else []
    return any(_has_form(path, entry) for path in sample for entry in named)


def _has_own_words(folder: Path, reading: Reading) -> bool:
    """Whether a folder has a table that says what it holds, and is no known corpus."""
    return bool(own_tables(folder, reading)) and not _is_known(folder)


def _listed_beside(root: Path, children: list[Path], own: set[Path], reading: Reading) -> set[Path]:
    """Folders and files of which tables beside them say what they hold.

    A known corpus, or a part of one that lies right under the root, needs a table that is called
    like it: corpora come with tables of their own.
    """
    tables = [] if tables_in(root, reading) else [p for p in children if is_table(p, reading)]
    if not (named := [(t, place) for t in tables for place in places_named(t, reading)]):
        return set()
    folders = {p for p in children if os.path.isdir(p)}
    native = _native_corpora(root, sorted(folders), own)
    loose = [LAYOUTS[name] for name, place in native.items() if place == root]
    taken = set(children) if _is_known(root) else {p for p in folders if _is_known(p)}
    taken |= {p for p in set(children) - own if any(_is_part(p, entry) for entry in loose)}
    alike = {place for t, place in named if _same_name(place.name) == _same_name(t.stem)}
    return alike | ({place for _, place in named} - taken)


def _native_corpora(root: Path, folders: list[Path], own: set[Path]) -> dict[str, Path]:
    """Corpora with known names under root, or root itself, by names of folders, then of files.

    What is `own` has tables that say what it holds, and is none of them.
    """
    if root in own:
        return {}
    samples = {folder: _sample(folder) for folder in folders if folder not in own}
    filled = [folder for folder, sample in samples.items() if sample]
    below = [path for path in _sample(root) if root / path.parts[0] not in own]
    scattered = len(filled) > 1 or any(len(path.parts) == 1 for path in below[:1])
    named = {e.name: f for e in LAYOUTS.values() if (f := _by_name(samples, e))}
    whole = [e for e in LAYOUTS.values() if _holds(below, e)]
    for entry in whole:
        if scattered and _is_named(root, entry) and named.keys() <= {entry.name}:
            return {entry.name: root}
    if len(whole) == 1 and not named and all(_holds(samples[f], whole[0]) for f in filled):
        return {whole[0].name: root}
    unnamed = [folder for folder in filled if folder not in named.values()]
    found = dict(named)
    for entry in (e for e in LAYOUTS.values() if e.name not in named):
        if holding := [folder for folder in unnamed if _holds(samples[folder], entry)]:
            found[entry.name] = holding[0] if len(holding) == 1 else root
        elif any(_holds([f.name / path for path in samples[f]], entry) for f in unnamed):
            found[entry.name] = root  # whose folders are called like its speakers
    return found or {entry.name: root for entry in whole}


def parse_generic(path: PurePath, labels: Mapping[str, str] | None = None) -> Labels | str:
    """Read ``<emotion>/*.wav``."""
    emotions = {e: part for part in path.parts[:-1] if (e := emotion_named(part, labels))}
    if len(emotions) == 1:
        ((emotion, word),) = emotions.items()
        return Labels(emotion, word=word)
    if emotions:
        folders = " and ".join(emotions.values())
        return f"its folders {folders} contradict each other (--emotions FOLDER: passes over one)"
    if len(path.parts) < 2:
        return "not in a folder named after an emotion"
    return reason_against(path.parts[0], labels)


def _is_own(place: Path, reading: Reading) -> bool:
    """Whether a folder is a corpus outside the catalogue: by its tables, or sorted by emotion."""
    return bool(tables_in(place, reading)) or _by_emotion(_sample(place), reading.labels)


def _name_of(word: str) -> str:
    """Name a corpus without the signs that pairs have, as in ``casia+ravdess:emodb``."""
    return re.sub(r"[+:]", "-", word)


def _own_corpora(root: Path, children: list[Path], taken: set[Path], reading: Reading) -> dict:
    """Corpora outside the catalogue: folders by emotion, tables, databases."""
    folders = [p for p in children if os.path.isdir(p) and p not in taken]
    by_emotion = (p for p in folders if emotion_named(p.name, reading.labels))
    if not taken and (tables_in(root, reading) or any(map(_sample, by_emotion))):
        return {_name_of(root.name): root}
    # Of one+two and one-two, which would be called alike, the first is not understood.
    names = {p.name for p in folders}
    folders = [p for p in folders if _name_of(p.name) == p.name or _name_of(p.name) not in names]
    found = {_name_of(folder.name): folder for folder in folders if _is_own(folder, reading)}
    if not taken and len(found) > 1 and set(map(str.casefold, found)) <= set(SPLITS):
        return {_name_of(root.name): root}  # the parts of one corpus
    for table in (child for child in children if is_table(child, reading)):
        found |= _by_table(table, found, reading)
    return found


def _by_table(table: Path, found: Mapping[str, Path], reading: Reading) -> dict[str, Path]:
    """Corpus of a table, unless a folder is called alike whose files it does not name."""
    name = _name_of(table.stem)
    for one in found:
        if _same_name(one) == _same_name(name):
            return {one: table} if found[one] in places_named(table, reading) else {}
    known = name.casefold()
    return {known if known in CATALOGUE else name: table}


def _absolute(root: str | Path) -> Path:
    """Write a path in full, so that ``..`` has the name of the folder that it is."""
    return Path(os.path.abspath(os.path.expanduser(root)))


def _children(root: Path) -> list[Path]:
    """Visible files and folders of a root, which has to be there."""
    try:
        children = sorted(p for p in root.iterdir() if not p.name.startswith((".", "__")))
    except OSError as error:
        known = {FileNotFoundError: "no such folder", NotADirectoryError: "not a folder"}
        what = known.get(type(error), error.strerror)
        raise StudyError(f"corpora root {root}: {what}; {_EXPECTED}") from error
    if not children:
        raise StudyError(f"corpora root {root}: the folder is empty; {_EXPECTED}")
    return children


def _is_root(folder: Path) -> bool:
    """Whether several known corpora lie in folders of a folder, as in Kaggle's ``archive``."""
    if not os.path.isdir(folder):
        return False
    places = _native_corpora(folder, [p for p in folder.glob("*") if os.path.isdir(p)], set())
    return len({*places.values()}) > 1 and folder not in places.values()


def _places(
    root: Path, children: list[Path], reading: Reading, apart: set[Path]
) -> dict[str, Path]:
    """Folder or table of each corpus: a table that names the files of a known one comes first.

    What is `apart` is none of it, though it lies under the root.
    """
    folders = [p for p in children if os.path.isdir(p)]
    own = apart | {folder for folder in (root, *folders) if _has_own_words(folder, reading)}
    own |= _listed_beside(root, children, own, reading)
    found = _native_corpora(root, folders, own)
    loose = [LAYOUTS[name] for name, place in found.items() if place == root]
    parts = {p for p in set(children) - own if any(_is_part(p, entry) for entry in loose)}
    tables = [p for p in children if parts and is_table(p, reading)]
    parts |= {table for table in tables if parts & places_named(table, reading)}
    free = [p for p in children if p not in parts]
    others = _own_corpora(root, free, set(found.values()), reading)
    for name, place in others.items():
        named = places_named(place, reading) if name in found and os.path.isfile(place) else ()
        if name not in found or found[name] in named:
            found[name] = place
    return found


def _not_part(name: str, children: list[Path], used: set[Path]) -> frozenset[str]:
    """Names of what is no part of a corpus right under the root: other corpora, strange folders."""
    entry = LAYOUTS.get(name)
    parts = {p for p in children if entry and p not in used and _is_part(p, entry)}
    others = (p for p in children if p in used or (p not in parts and _sample(p)))
    return frozenset(p.name for p in others if parts)


def _not_understood(children: list[Path], used: set[Path]) -> str:
    """Say what cannot be read, and what may hold recordings or rows but is no part of a corpus."""
    kinds, known = (*RECORDINGS, *PACKED, *_WITH_SOUND), {_same_name(place.name) for place in used}
    unused = [place for place in children if place not in used]
    lost = [place.name for place in unused if leads_nowhere(place)]
    zips = [place.name for place in unused if place.name.lower().endswith(PACKED)]
    strange = [
        place.name
        for place in unused
        if place.name not in (*lost, *zips)
        and (
            place.name.lower().endswith((*RECORDINGS, ".csv", ".tsv", *TABLES))
            or next(recordings(place, kinds), None)
            or any(map(leads_nowhere, place.glob("*")))
        )
    ]
    there = filter(os.path.exists, children)
    # A folder has to be entered as well as listed.
    locked = [p.name for p in there if not os.access(p, os.R_OK | os.X_OK * os.path.isdir(p))]
    zips = [name for name in zips if _same_name(name.split(".")[0]) not in known]  # unpacked
    said = {"cannot be read": locked, "links that lead nowhere": lost, "not unpacked": zips}
    said |= {"not understood": strange}
    line = "".join(f"; {what}: {', '.join(names)}" for what, names in said.items() if names)
    return line + f" (expected {OWN})" * bool(strange)


def _look(root: Path, reading: Reading) -> tuple[list[Place], str]:
    """Corpora under a folder, and a line on what holds recordings but is none."""
    children = _children(root)
    listed = (places_named(table, reading) for table in children if is_table(table, reading))
    roots = set(filter(_is_root, set(children).difference(*listed)))
    deeper = [_look(folder, reading) for folder in sorted(roots)]
    children = [p for p in children if p not in roots]
    found = _places(root, children, reading, roots)
    # The table of a corpus's folder, where there is one, says what counts.
    paths = {name: [*own_tables(place, reading), place][0] for name, place in found.items()}
    tables = [path for path in paths.values() if path.parent == root and os.path.isfile(path)]
    used = {*found.values(), *tables}.union(*(places_named(table, reading) for table in tables))
    loose = [name for name, path in paths.items() if path == root]
    # What a corpus that is alone does not know is left out by its own listing, with the reason.
    apart = frozenset(place.name for place in roots)
    others = {n: apart.union(_not_part(n, children, used) if len(found) > 1 else ()) for n in loose}
    left = [p for p in children if all(p.name in names for names in others.values())]
    line = _not_understood(left, used)
    if not found and not deeper:
        raise StudyError(f"corpora root {root}: no corpus found; {_EXPECTED}{line}{packed(root)}")
    inside = [place for places, _ in deeper for place in places]
    places = {place.name: place for place in inside}
    places |= {n: Place(n, paths[n], reading, others.get(n, frozenset())) for n in found}
    twice = [str(place.path) for place in inside if places[place.name] is not place]
    line += f"; there twice, not used: {', '.join(twice)}" * bool(twice)
    return [places[name] for name in sorted(places)], line + "".join(said for _, said in deeper)


def find_corpora(
    root: str | Path,
    columns: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
) -> dict[str, Path]:
    """Find the corpora under one folder.

    Corpora whose file names are known are found by the name of their folder, whatever its case and
    punctuation, or else by the names of their files. Any other sub-folder is a corpus if it holds a
    ``manifest.csv``, an audiofolder's ``metadata.csv``, an audformat ``db.yaml``, or
    ``<emotion>/*.wav``; so is a table ``<name>.csv`` or ``<name>.tsv``. A sub-folder may hold
    several known corpora, and `root` may itself be the folder of one. Other folders with recordings
    are named in a line of warning.

    Parameters
    ----------
    root : str or Path
        The folder that holds the corpora.
    columns, labels : mapping, optional
        Names of columns here by their names in tables, and emotions by your words for them, as for
        :func:`~ctl_helpers.corpora.load_manifest`.

    Returns
    -------
    dict of str to Path
        Folder (or table) by name of corpus, sorted by name.

    Raises
    ------
    StudyError
        If there is no such folder, or no corpus in it.
    """
    root = _absolute(root)
    found, strange = _look(root, Reading(labels, columns))
    if strange:
        log.warning("corpora root %s%s", root, strange)
    return {place.name: place.path for place in found}


def find_place(root: str | Path, name: str, reading: Reading) -> Place:
    """Find the corpus that is asked for by name."""
    root = _absolute(root)
    tables = [root / (name + suffix) for suffix in (".csv", ".tsv")]
    tables = [table for table in tables if os.path.isfile(table)]
    try:
        found, strange = _look(root, reading)
    except StudyError:
        if not tables:
            raise
        found, strange = [], ""
    # A name as it is spelled comes first: "set 1" and "set-1" may both be there.
    for place in sorted(found, key=lambda place: place.name != name):
        if _same_name(place.name) == _same_name(name):
            return place
    if tables:
        return Place(name, tables[0], reading)
    entry = LAYOUTS.get(_same_name(name))
    example = f"{name.casefold()}/{entry.example}" if entry else f"{name}/<emotion>/*.wav"
    raise StudyError(
        f"no corpus {name!r} under {root} (found: {', '.join(place.name for place in found)}); "
        f"expected {root}/{example}{strange}{packed(root)}"
    )
