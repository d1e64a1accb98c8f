"""Protocols across corpora: one or several labelled sources, an unlabelled target."""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ctl_helpers.corpora import EMOTIONS, drop_copies
from ctl_helpers.errors import StudyError, check_choice, log, warn_once
from ctl_helpers.protocols.problem import Problem, groups_of, hash_of, in_order

SCORINGS = ("transductive", "inductive")
_FACTS = tomllib.loads(Path(__file__).with_name("labels.toml").read_text(encoding="utf-8"))
LABELS, _HALVES, _PAPER = _FACTS["kinds"], _FACTS["halves"], _FACTS["paper"]


def problems_across(
    manifests: Mapping[str, pd.DataFrame],
    source: str,
    target: str,
    scoring: str = "transductive",
    labels: str = "emotion",
    seed: int = 0,
) -> list[Problem]:
    """Make the problems of a source and a target.

    Parameters
    ----------
    manifests : dict
        Manifest by name of corpus.
    source, target : str
        Names of corpora; ``"casia+ravdess"`` for several as one source.
    scoring : {"transductive", "inductive"}
        ``"transductive"``, as published: adapt to all of the target, score all of it.
        ``"inductive"``: adapt to one half of the target's speakers, drawn by the seed, and score
        the other half; and the other way round, in a second problem.
    labels : str
        The kind of classes; see `LABELS`. Utterances of other emotions are left out.
    seed : int
        Of the halves.

    Returns
    -------
    list of Problem

    Raises
    ------
    StudyError
        When the corpora share fewer than two classes, or the target's speakers are not known.
    """
    check_choice("scoring", scoring, SCORINGS)
    check_choice("labels", labels, LABELS)
    sources, targets = source.split("+"), target.split("+")
    if both := set(sources) & set(targets):
        raise StudyError(
            f"pair {source}:{target}: expected two corpora, got {min(both)!r} as source and target"
        )
    if any(len(set(side)) < len(side) for side in (sources, targets)):
        raise StudyError(f"pair {source}:{target}: expected every corpus once")
    # Sounds that the target holds too leave the source: they would be trained on.
    whole = drop_copies([manifests[name] for name in (*targets, *sources)])
    sides = [whole[len(targets) :], whole[: len(targets)]]
    sides = [[_relabelled(manifest, labels) for manifest in side] for side in sides]
    classes = _classes([*sides[0], *sides[1]], labels, source, target)
    kept = [pd.concat(side, ignore_index=True) for side in sides]
    kept = [side[side["emotion"].isin(classes)] for side in kept]
    manifest = pd.concat(kept, ignore_index=True)
    manifest.attrs = {}
    train, rows = np.split(np.arange(len(manifest)), [len(kept[0])])
    parts, division = {"all": (rows, rows)}, 0
    if scoring == "inductive":
        first, division = _half_of_the_speakers(kept[1], seed), seed
        parts = {"half 0": (rows[first], rows[~first]), "half 1": (rows[~first], rows[first])}
    common: dict[str, Any] = {"source": source, "target": target, "held_out": True}
    common |= {"of_folds": len(parts), "of_utterances": len(rows), "labels": labels}
    common |= {"division": division, "data": hash_of(manifest), "memo": {}}
    return [
        Problem(manifest, classes, train, test, scoring, split, adapt=adapt, **common)
        for split, (adapt, test) in parts.items()
    ]


def _relabelled(manifest: pd.DataFrame, labels: str) -> pd.DataFrame:
    if labels not in _HALVES:
        return manifest
    half_of = {word: half for half, some in _HALVES[labels].items() for word in [half, *some]}
    mapped = manifest["emotion"].map(half_of)
    if other := manifest["emotion"][mapped.isna()].unique().tolist():
        log.warning(
            "%s: %d utterances (%s) are in no half of %s, and left out; say --emotions WORD:HALF",
            *(manifest["corpus"].iloc[0], mapped.isna().sum(), ", ".join(other), labels),
        )
    return manifest.assign(emotion=mapped)[mapped.notna()]


def _classes(manifests: Sequence[pd.DataFrame], labels: str, source: str, target: str):
    corpora = {*source.split("+"), *target.split("+")}
    # A side of several corpora has what each of them has: every source teaches every class.
    there = [set(manifest["emotion"]) for manifest in manifests]
    shared = set.intersection(*there)
    if own := sorted(set.union(*there) - shared - {*EMOTIONS, *_HALVES.get(labels, ())}):
        warn_once(f"pair {source}:{target}: {', '.join(own)} left out, which not every corpus has")
    if labels == "emotion" and corpora <= set(_PAPER["corpora"]):
        shared -= set(EMOTIONS) - set(_PAPER["emotions"])  # classes of a user's own stay
    if len(shared) < 2:
        raise StudyError(
            f"pair {source}:{target}: expected two emotions or more that both have; shared "
            f"emotions found: {', '.join(sorted(shared)) or 'none'}"
        )
    return in_order(shared)


def _half_of_the_speakers(manifest: pd.DataFrame, seed: int) -> np.ndarray:
    """Mark the rows of one half of the speakers, drawn by the seed."""
    speakers = groups_of(manifest, "speaker", "inductive", at_least=2)
    names = np.random.default_rng(seed).permutation(np.unique(speakers))
    return np.isin(speakers, names[: len(names) // 2])
