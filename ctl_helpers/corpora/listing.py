"""What a folder or a table lists: utterances, what is left out, what is noteworthy."""

import re
import shlex
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ctl_helpers.corpora.catalogue import Labels
from ctl_helpers.corpora.words import emotion_named, fold


@dataclass
class Listing:
    """What a folder or a table lists: its utterances, what is left out, what is noted."""

    parts: list[Labels] = field(default_factory=list)
    problems: list[dict] = field(default_factory=list)
    notes: list[dict] = field(default_factory=list)
    in_folders: int = 0  # files of folders that are left out, but one for each

    def leave_out(self, path: str, kind: str, reason: str, files: int = 1) -> None:
        """Say in one line why a file, a folder of files or a row is left out."""
        self.problems.append(_line(path, kind, reason))
        self.in_folders += files - 1

    def note(self, path: str, kind: str, reason: str) -> None:
        """Say in one line what is noteworthy about something that is kept."""
        self.notes.append(_line(path, kind, reason))

    def note_unused(self, labels: Mapping[str, str] | None, words: Iterable[str]) -> None:
        """Note the words of a label map that no utterance has."""
        there = {fold(one) for word in words for one in (word, emotion_named(word) or "")}
        for word in labels or ():
            if fold(word) not in there:
                self.note("", "label", f"the label map has {word!r}, which no utterance has")

    def note_merged(self, labels: Mapping[str, str] | None) -> None:
        """Note words that are taken for one emotion, unless the label map says so."""
        words_of: dict[str, Counter[str]] = defaultdict(Counter)
        for part in self.parts:
            words_of[part.emotion][fold(part.word)] += 1
        for emotion, words in words_of.items():
            if len(words) > 1 and words.keys().isdisjoint(map(fold, labels or ())):
                listed = " and ".join(f"{word!r} ({n})" for word, n in sorted(words.items()))
                other = min(words.keys() - {emotion})
                apart = f"to keep them apart: --emotions {shlex.quote(f'{other}:{other}')}"
                reason = f"{listed} are taken for {emotion} ({apart})"
                self.note("", "merged", reason)


def _line(path: str, kind: str, reason: str) -> dict[str, str]:
    path, reason = (re.sub(r"[\x00-\x1f\x7f]", "?", words) for words in (path, reason))
    return {"path": path, "kind": kind, "reason": reason}


def tally(kinds: Iterable[str]) -> str:
    """Count kinds of problems, as ``2 extra, 1 silent``."""
    return ", ".join(f"{count} {kind}" for kind, count in sorted(Counter(kinds).items()))
