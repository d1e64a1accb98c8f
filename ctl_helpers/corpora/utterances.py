"""Read the utterances that a corpus lists, once each."""

import math
from collections import defaultdict
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path, PurePosixPath
from unicodedata import normalize

from ctl_helpers.corpora.files import recordings
from ctl_helpers.corpora.listing import Listing
from ctl_helpers.corpora.signals import RECORDINGS, inspect
from ctl_helpers.corpora.words import uncased
from ctl_helpers.parallel import parallel_map


def read_utterances(
    name: str, folder: Path, listing: Listing, jobs: int | None, longest: float
) -> list[dict]:
    """Read each utterance once; what can be used becomes a record, what cannot a problem.

    Parameters
    ----------
    name, folder
        The corpus, and what its files are below.
    listing : Listing
        What is read; gets the problems.
    jobs : int or None
        As for :func:`~ctl_helpers.parallel.parallel_map`.
    longest : float
        Seconds in the middle of a recording that are kept.
    """
    places = [(str(folder / part.file), part.start, part.end) for part in listing.parts]
    look = partial(inspect, longest=longest)
    read = parallel_map(look, places, jobs, f"reading {name}", "utterance", dead=_dead)
    records, elsewhere = [], cache(lambda: _by_ending(folder))
    for part, signal in zip(listing.parts, read, strict=True):
        record = vars(part) | {"path": str(folder / part.file), "corpus": name} | signal
        is_segment = not math.isnan(signal.get("end", math.nan))
        span = f"[{_decimals(part.start)}-{_decimals(record['end'])}]" if is_segment else ""
        record["utterance"] = part.file + span
        if record["kind"] == "missing":
            record["reason"] += _meant(part.file, elsewhere())
        if record["kind"]:
            listing.leave_out(record["utterance"], record["kind"], record["reason"])
        else:
            records.append(record)
    return records


def _endings(folder: PurePosixPath, name: str) -> list[tuple[str, ...]]:
    """Last parts of a path, most parts first, without case and Unicode form."""
    parts = tuple(map(uncased, (*folder.parts, name)))
    return [parts[start:] for start in range(len(parts))]


def _by_ending(folder: Path) -> dict[tuple[str, ...], str]:
    """Find the one recording below a folder that has each ending, whatever its suffix."""
    there = defaultdict(list)
    for path in recordings(folder, RECORDINGS):
        for ending in _endings(path.parent, path.stem):
            there[ending].append(path.as_posix())
    return {ending: paths[0] for ending, paths in there.items() if len(paths) == 1}


def _meant(file: str, there: Mapping[tuple[str, ...], str]) -> str:
    """Say which file may have been meant: in another folder, case, format or Unicode form."""
    path = PurePosixPath(file)
    endings = [*_endings(path.parent, path.stem), *_endings(path.parent, path.name)]
    other = next((there[ending] for ending in endings if ending in there), None)
    if other in (None, file):  # a link that leads nowhere has its own name
        return ""
    if normalize("NFC", other) == normalize("NFC", file):
        return f"; it is written {other!a} on the disk and {file!a} in the table"
    return f"; did you mean {other}?"


def _dead(_: tuple[str, float, float]) -> dict:
    reason = "the process that reads it dies; is there enough memory?"
    return {"kind": "unreadable", "reason": reason}


def _decimals(seconds: float) -> str:
    """Write seconds with two decimals, or with as many as they have."""
    return f"{seconds:.2f}" if seconds == round(seconds, 2) else repr(seconds)
