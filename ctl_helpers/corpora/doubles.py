"""Keep one of several files that hold the same utterance: copies, changed ones, wholes of parts."""

import math
import os
import re
from collections import defaultdict
from collections.abc import Collection, Mapping
from functools import partial
from operator import itemgetter
from pathlib import PurePosixPath

import numpy as np
import pandas as pd

from ctl_helpers.corpora.catalogue import Corpus
from ctl_helpers.corpora.copies import same_sounds
from ctl_helpers.corpora.fingerprints import likeness
from ctl_helpers.corpora.listing import Listing
from ctl_helpers.corpora.words import emotion_named

DERIVED = re.compile(
    r"laryngo|noise|noisy|augm|(re|up|down)sampl|enhanc|cop(y|ies)|backup|\d+k(hz)?(?![^\W\d_])|revers|pitch|speed|stretch",
    re.I,
)
"""What folders of changed copies, or of other signals of the same utterances, are called."""
_CHANGED = re.compile(
    r"(?<![^\W\d_])(aug(mented)?|noisy?|noise|pitch(ed)?|fast(er)?|slow(er)?|stretch(ed)?|shift(ed)?|"
    r"speed|reverb|echo|gain|loud(er)?|quiet(er)?|copy|resampled|\d+k)(?![^\W\d_])",
    re.I,
)
_MANY = 300  # sets, of speakers surely, that are not all compared with one another
_PLAIN = ("wav", "wavs", "speech", "audio", "clean", "original")


def _tree(file: str, entry: Corpus) -> str:
    """Folders above those that name an emotion or a speaker, such as ``wav`` of ``wav/*.wav``."""
    folders = list(PurePosixPath(file).parts[:-1])
    while folders and (emotion_named(folders[-1]) or entry.speaker_named(folders[-1])):
        folders.pop()
    return "/".join(folders)


def _plainest(tree: str, plain: Collection[str]) -> tuple:
    """Order of folders: the first is the one that the others may hold copies of."""
    last = tree.casefold().split("/")[-1]
    return bool(DERIVED.search(tree)), last not in plain, tree.count("/") + bool(tree), tree


def one_of_each(entry: Corpus, records: list[dict], listing: Listing) -> list[dict]:
    """Keep one file of each utterance: of the folder that the layout names, and in its place.

    A folder with other signals under the names of those that are kept (a laryngograph's, or copies
    with noise) is left out as a whole.
    """
    rank = partial(_plainest, plain=[_tree(entry.example, entry).casefold()])
    trees = defaultdict(list)
    for record in sorted(records, key=lambda record: record["file"].count("/")):
        trees[_tree(record["file"], entry)].append(record)
    if DERIVED.search(best := min(trees, key=rank, default="")):
        listing.note(best, "folder", "the only one, though named like one of changed copies")
    first: dict[str, dict] = {}
    left: list[dict] = []
    for tree in sorted(trees, key=rank):
        both = [(first[r["identity"]], r) for r in trees[tree] if r["identity"] in first]
        if 2 * sum(one["digest"] != two["digest"] for one, two in both) > len(both):
            where = _tree(both[0][0]["file"], entry) or "."
            reason = f"{len(trees[tree])} files with other signals under the names of {where}"
            listing.problems = [p for p in listing.problems if not p["path"].startswith(f"{tree}/")]
            listing.leave_out(tree or ".", "folder", reason, len(trees[tree]))
            continue
        first = {record["identity"]: record for record in reversed(trees[tree])} | first
        left += trees[tree]
    kept: dict[str, dict] = {}
    for record in sorted(left, key=lambda record: bool(record["misplaced"])):
        one = kept.setdefault(record["identity"], record)
        if one is not record:
            same = one["digest"] == record["digest"]
            copy = f"{'a second copy of' if same else 'another sound named as'} {one['file']}"
            kind = "misplaced" if record["misplaced"] else "duplicate"
            reason = "; ".join(filter(None, (record["misplaced"], copy)))
            listing.leave_out(record["file"], kind, reason)
    return sorted(kept.values(), key=itemgetter("file"))


def _parallel(one: dict[tuple, dict], two: dict[tuple, dict], said: bool) -> str:
    """Say how two sets of files show that one holds changed copies of the other, or "".

    Either lengths are in proportion (where they hardly differ inside a set, as of cut signals, that
    tells nothing), or sounds of the same name are alike, and others are not: speakers who say the
    same sentences reach 0.53 in CASIA, EmoDB and RAVDESS, copies with noise as loud as the speech,
    or an echo, 0.6 to 0.9. Less is enough if a folder's or file's name has said it.
    """

    def near(values: np.ndarray, width: float) -> float:
        return float(np.mean(np.abs(values - np.median(values)) < width))

    both = sorted(one.keys() & two.keys())
    if len(both) < max(2 if said else 5, 0.8 * len(two)):
        return ""
    first, second = ([tree[name] for name in both] for tree in (one, two))
    if any(a["speaker"] != b["speaker"] for a, b in zip(first, second, strict=True)):
        return ""
    lengths, others = (np.log([record["duration"] for record in tree]) for tree in (first, second))
    if near(lengths - others, 0.01) >= 0.8 and near(lengths, 0.05) <= 0.5:
        return "in proportion as long"
    prints, copies = ([record["fingerprint"] for record in tree] for tree in (first, second))
    same = np.median([*map(likeness, prints, copies)])
    other = np.median([*map(likeness, prints, copies[1:] + copies[:1])])
    enough = other + 0.1 if said else max(0.6, other + 0.15)
    return "their sounds alike" if same >= enough else ""


def _words(name: str) -> tuple[str, ...]:
    return tuple(re.findall(r"[^\W\d_]+|\d+", name.casefold()))


def _base_of(stem: str, plain: Collection[tuple[str, ...]]) -> tuple[str, str]:
    """Name of which a file's is an extension, such as ``3`` of ``aug_3_0``, and the extension."""
    words = _words(stem)
    for length in range(len(words) - 1, 0, -1):
        for start in range(len(words) - length + 1):
            base = words[start : start + length]
            if base in plain:
                left = (*words[:start], "*", *words[start + length :])
                return " ".join(base), " ".join(left)
    return " ".join(words), ""


def _sets(records: list[dict], labels: Mapping | None) -> dict[tuple[str, str], dict]:
    """Sort records into sets (folder, and extension of names), by emotion, name and start.

    The folder is without those that name an emotion. Of files that are named as changed copies
    (``3_noisy.wav``, ``augmented/aug_3_0.wav``) those with the same extension are a set.
    """
    plain, sets = defaultdict(set), defaultdict(dict)
    for record in records:
        *folders, name = PurePosixPath(record["file"]).parts
        record["tree"] = "/".join(f for f in folders if not emotion_named(f, labels))
        marks = (*DERIVED.finditer(record["tree"]), *_CHANGED.finditer(name))
        record["said"] = frozenset(mark[0].casefold() for mark in marks)
        if not record["said"]:
            plain[record["emotion"]].add(_words(PurePosixPath(name).stem))
    for record in records:
        others = plain[record["emotion"]] if record["said"] else ()
        base, ending = _base_of(PurePosixPath(record["file"]).stem, others)
        record["set"] = (record["tree"], ending)
        start = 0.0 if math.isnan(record["start"]) else record["start"]
        sets[record["set"]][record["emotion"], base, start] = record
    return sets


def one_tree(records: list[dict], labels: Mapping | None, listing: Listing) -> list[dict]:
    """Keep one of several sets of files that are changed copies of one another."""
    sets = _sets(records, labels)
    kept: list[tuple[str, str]] = []
    said = {key: frozenset().union(*(r["said"] for r in of.values())) for key, of in sets.items()}
    for key in sorted(sets, key=lambda key: (bool(key[1]), *_plainest(key[0], _PLAIN), key)):
        others = kept if said[key] or len(sets) <= _MANY else ()
        # What both are called, such as the folder 16k above all speakers, tells nothing.
        found = (
            (one, _parallel(sets[one], sets[key], bool(said[key] - said[one]))) for one in others
        )
        like, sign = next(((one, sign) for one, sign in found if sign), (("", ""), ""))
        if sign:
            name, other = ("/".join(filter(None, one)) or "." for one in (key, like))
            reason = f"{len(sets[key])} files with the names of {other}, {sign}"
            listing.leave_out(name, "folder", reason, len(sets[key]))
        else:
            kept.append(key)
    return [record for record in records if record["set"] in kept]


def leave_whole(frame: pd.DataFrame, listing: Listing) -> pd.DataFrame:
    """Leave out a whole file beside its segments: it holds the sound of them all."""
    whole = frame["start"].isna() & frame.duplicated("file", keep=False)
    for utterance in frame["utterance"][whole]:
        listing.leave_out(utterance, "overlap", "the whole file, beside its segments")
    return frame[~whole].reset_index(drop=True)


def leave_copies(frame: pd.DataFrame, published: bool, listing: Listing) -> pd.DataFrame:
    """Keep one of several utterances with the same sound, and none where their emotions differ.

    A published corpus that holds changed copies of a sound under two emotions keeps them, noted:
    its counts include them.
    """
    gone, places = np.zeros(len(frame), bool), np.arange(len(frame))
    groups = pd.Series(places).groupby(same_sounds(frame, places))
    for rows in (group.to_numpy() for _, group in groups if len(group) > 1):
        derived = [bool(DERIVED.search(os.path.dirname(file))) for file in frame["file"][rows]]
        rows = rows[np.argsort(derived, kind="stable")]
        one_emotion = frame["emotion"][rows].nunique() == 1
        kept = not one_emotion and published and frame["digest"][rows].is_unique
        for row in rows[1:] if one_emotion else rows:
            other = rows[0] if row != rows[0] else rows[1]
            reason = f"the same sound as {frame['utterance'][other]}"
            if not one_emotion:
                reason += f", which is {frame['emotion'][other]}"
            kind = "duplicate" if one_emotion else "contradiction"
            say = listing.note if kept else listing.leave_out
            say(frame["utterance"][row], kind, reason)
            gone[row] = not kept
    return frame[~gone]
