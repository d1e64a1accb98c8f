"""The files below a folder: recordings and archives, by their names alone."""

import os
from collections.abc import Collection, Iterator
from itertools import islice
from pathlib import Path, PurePath, PurePosixPath

from ctl_helpers.corpora.listing import Listing
from ctl_helpers.corpora.signals import READ

PACKED = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar")
"""Suffixes of archives."""
SAMPLE = 5000
"""Sub-folders and files that say what a folder is."""


def leads_nowhere(path: Path) -> bool:
    """Whether a file is a link to nothing, or to itself."""
    return os.path.islink(path) and not os.path.exists(path)


def recordings(
    folder: Path,
    suffixes: tuple[str, ...] = READ,
    listing: Listing | None = None,
    others: Collection[str] = (),
) -> Iterator[PurePosixPath]:
    """Visible files of some kinds below a folder but not in its `others`, relative to it.

    With a listing every sub-folder is looked at, and named in it is what cannot be read: also links
    that lead nowhere, or to a folder that is read already. Without one the first 5000 are looked
    at, which is enough to know what a folder is.
    """

    def name_it(path: str, kind: str, reason: str) -> None:
        if listing is not None:
            relative = PurePath(os.path.relpath(path, folder)).as_posix()
            listing.leave_out(shown(relative), kind, shown(reason))

    def refused(error: OSError) -> None:
        name_it(error.filename, "unreadable", f"the folder cannot be read ({error.strerror})")

    seen: dict[str, PurePath] = {}
    for parent, folders, names in os.walk(folder, followlinks=True, onerror=refused):
        real, relative = os.path.realpath(parent), PurePath(os.path.relpath(parent, folder))
        if real in seen or (listing is None and len(seen) == SAMPLE):
            folders.clear()
            if seen.get(real) not in (None, *relative.parents):  # a circle loses nothing
                name_it(parent, "link", f"by a link the same folder as {seen[real].as_posix()}")
            continue
        seen[real] = relative
        passed = {"__MACOSX"}.union(() if relative.parts else others)
        folders[:] = [f for f in folders if not f.startswith(".") and f not in passed]
        # Links come last: of a folder and a link to it the link is the one that is left out.
        folders.sort(key=lambda name: (os.path.islink(os.path.join(parent, name)), name))
        for name in sorted(set(names) - passed):
            if name.startswith("."):
                continue
            if name.lower().endswith(suffixes):
                yield PurePosixPath((relative / name).as_posix())
            elif listing is not None and leads_nowhere(place := Path(parent, name)):
                name_it(str(place), "link", f"it leads nowhere ({os.readlink(place)})")


def shown(name: str) -> str:
    """Write a name so that it can be printed, whatever its bytes."""
    return name.encode("utf-8", "backslashreplace").decode()


def packed(folder: Path) -> str:
    """Name the archives below a folder, for the end of a message; "" if there are none."""
    first, *others = [*map(str, islice(recordings(folder, PACKED), SAMPLE))] or [""]
    more = f" and {len(others)} more" * bool(others)
    return f"; still to be unpacked: {first}{more}" if first else ""
