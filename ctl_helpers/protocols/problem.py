"""A problem: what is learned from, what is predicted, whatever the method; and a split of rows."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from ctl_helpers.corpora import EMOTIONS, is_miniature
from ctl_helpers.corpora.catalogue import CROSS_CORPUS_SAMPLES
from ctl_helpers.corpora.manifest import check_known
from ctl_helpers.errors import StudyError
from ctl_helpers.features import Features, FeatureSettings, extract, feature_key, short_hash
from ctl_helpers.plugins import is_reference


@dataclass(frozen=True, eq=False)
class Split:
    """One division of a manifest's rows into a training and a test part.

    Parameters
    ----------
    name : str
        As ``"fold 0"`` or ``"speaker 03"``.
    train, test : int array
        Rows, in ascending order.
    held_out : bool
        Whether no speaker is in both parts, so that a validation part must not share one either.
    """

    name: str
    train: np.ndarray
    test: np.ndarray
    held_out: bool = False


@dataclass(frozen=True, eq=False)
class Problem:
    """Rows of a manifest to train on, to adapt to and to test, and the classes to tell apart.

    Parameters
    ----------
    manifest : DataFrame
        A row per utterance, of one corpus or of a source and a target.
    classes : tuple of str
        The classes: values of the manifest's column ``emotion``, in order.
    train, test, adapt : int array
        Rows: labelled ones to learn from, those that are scored, and, across corpora, those whose
        speech (never their labels) a method may adapt to.
    protocol, split : str
        How the rows were divided, and which division this is: ``"kfold"``, ``"fold 3"``.
    corpus, source, target : str
        The corpus, or, across corpora, both sides; ``"casia+emodb"`` where a side is of several.
    held_out : bool
        Whether no speaker is in both the training and the test part.
    folds : int, optional
        Of a k-fold protocol.
    of_folds, of_utterances : int, optional
        How many splits the whole protocol has, and how many utterances they test.
    labels : str
        Kind of the classes; see :data:`ctl_helpers.protocols.across.LABELS`.
    division : int
        Seed of the division.
    data : str
        Hash of all that the protocol divides, and of how; see `hash_of`. Kept in a run's record.
    features : tuple of Features
        What a method looks at; empty until a run is executed.
    length : int, optional
        Signal length in samples at 22 050 Hz, in place of the corpus's or that across corpora.
    memo : dict
        What is computed once for all problems of a manifest.
    """

    manifest: pd.DataFrame
    classes: tuple[str, ...]
    train: np.ndarray
    test: np.ndarray
    protocol: str
    split: str
    adapt: np.ndarray = field(default_factory=lambda: np.array([], int))
    corpus: str = ""
    source: str = ""
    target: str = ""
    held_out: bool = False
    folds: int | None = None
    of_folds: int | None = None
    of_utterances: int | None = None
    labels: str = "emotion"
    division: int = 98
    data: str = ""
    features: tuple[Features, ...] = ()
    length: int | None = None
    memo: dict = field(default_factory=dict, repr=False)

    @property
    def across(self) -> bool:
        """Whether training and test part are of different corpora."""
        return bool(self.source)

    @property
    def unlabelled(self) -> np.ndarray:
        """Rows whose speech, never their labels, a method of adaptation learns from."""
        return self.adapt if self.across else self.test

    @property
    def place(self) -> str:
        """The corpus, or source and target, for messages."""
        return f"{self.source} -> {self.target}" if self.across else self.corpus

    @cached_property
    def samples(self) -> int | None:
        """Signal length in samples at 22 050 Hz; None for the one of the corpus."""
        several = self.manifest["corpus"].nunique() > 1
        return self.length or (CROSS_CORPUS_SAMPLES if several else None)

    @cached_property
    def synthetic(self) -> bool:
        """Whether some of the speech is that of the miniature corpora."""
        return any(map(is_miniature, self.manifest.drop_duplicates("corpus")["path"]))

    @property
    def versions(self) -> dict[str, str]:
        """Version of each corpus, as a manifest has it: of its sounds and labels."""
        if "version" not in self.manifest:
            return {}
        return dict(self.manifest.groupby("corpus")["version"].first())

    @cached_property
    def truth(self) -> np.ndarray:
        """Index of every row's class, shape (utterances,)."""
        return pd.Categorical(self.manifest["emotion"], self.classes).codes.astype(int)

    def with_features(self, *features: Features) -> "Problem":
        """Attach what a method looks at; utterances without such features leave all parts."""
        attached = replace(self, features=features)
        parts = (self.train, self.adapt, self.test)
        train, adapt, test = (part[~np.isin(part, attached.failed)] for part in parts)
        if not len(self.train):
            raise StudyError(f"{self.place} {self.split}: nothing is left to train on")
        if not (len(train) and len(test)):
            raise StudyError(f"{self.place} {self.split}: no utterance is left that has features")
        return replace(attached, train=train, adapt=adapt, test=test)

    def extracted(self, features: Iterable, **how: Any) -> "Problem":
        """Extract and attach what a method looks at; ``how`` are further options of `extract`."""
        found = [extract(self.manifest, one, samples=self.samples, **how) for one in features]
        return self.with_features(*found)

    @property
    def failed(self) -> list[int]:
        """Rows without features."""
        return sorted({row for one in self.features for row in one.failed})

    @property
    def left_out(self) -> dict[str, str]:
        """Utterances without features, named with their corpus, and why."""
        names = self.manifest["corpus"] + " " + self.manifest["utterance"]
        reasons = (item for one in self.features for item in one.failed.items())
        return {names.iloc[row]: why for row, why in reasons}

    @property
    def unseen(self) -> list[int]:
        """Rows that statistics of a speaker or corpus may not see: failed, or of an outer part."""
        if not self.protocol.startswith("inner:"):
            return self.failed
        parts = np.concatenate([self.train, self.adapt, self.test]).astype(int)
        return np.setdiff1d(np.arange(len(self.manifest)), parts).tolist()

    def feature_key(self, features: str | FeatureSettings) -> str:
        """Name what `extract` would give for the manifest; see `ctl_helpers.features`."""
        what = (features, self.samples)
        if what not in self.memo:
            self.memo[what] = feature_key(self.manifest, features, self.samples)
        return self.memo[what]

    @cached_property
    def spec(self) -> dict:
        """The problem as part of a run's specification, JSON."""
        names = ("corpus", "source", "target", "protocol", "folds", "split", "labels", "division")
        if "rows" not in self.memo:
            self.memo["rows"] = _described(self.manifest)
        parts = (self.train, self.adapt, self.test)
        rows = ["\n".join([str(len(part)), *self.memo["rows"][part]]) for part in parts]
        described = {name: getattr(self, name) for name in names}
        if is_reference(self.protocol.removeprefix("inner:")):  # others say it by their name
            described["held_out"] = self.held_out
        if len({*self.train, *self.adapt, *self.test}) < len(self.manifest):
            described["data"] = self.data  # its rows do not tell of the others
        return described | {"classes": list(self.classes), "rows": short_hash("".join(rows))}


def _described(manifest: pd.DataFrame) -> np.ndarray:
    """Join what tells one utterance from another, and one version of its labels, in a text each."""
    columns = [c for c in ("digest", "emotion", "speaker") if c in manifest]
    return manifest["corpus"].str.cat(manifest[columns].astype(str), sep="\t").to_numpy(object)


def hash_of(manifest: pd.DataFrame, splits: Sequence[Split] = ()) -> str:
    """Hash utterances and their labels, and then their division: what differs is other data."""
    parts = [f"{split.name} {split.train.tolist()} {split.test.tolist()}" for split in splits]
    return " ".join(short_hash("\n".join(one)) for one in (_described(manifest), parts))


def classes_of(manifest: pd.DataFrame) -> tuple[str, ...]:
    """Emotions of a manifest in the study's order.

    Raises
    ------
    StudyError
        When there is only one: nothing to tell apart.
    """
    present = set(manifest["emotion"])
    if len(present) < 2:
        raise StudyError(
            f"corpus {manifest['corpus'].iloc[0]!r}: expected two emotions or more, "
            f"found {', '.join(present)}"
        )
    return in_order(present)


def in_order(emotions: set[str]) -> tuple[str, ...]:
    """Sort emotions: those of the catalogue in its order, then others by name."""
    known = [emotion for emotion in EMOTIONS if emotion in emotions]
    return (*known, *sorted(emotions - set(known)))


def groups_of(manifest: pd.DataFrame, column: str, protocol: str, at_least: int) -> np.ndarray:
    """Name the speaker (or sentence) of every row, with the corpus where there are several.

    Raises
    ------
    StudyError
        When it is not known for every row, or there are fewer than `at_least`.
    """
    check_known(manifest, column, f"protocol {protocol!r}")
    groups = manifest[column]
    if manifest["corpus"].nunique() > 1:
        groups = manifest["corpus"] + " " + groups
    if groups.nunique() < at_least:
        raise StudyError(
            f"protocol {protocol!r}: expected at least {at_least} {column}s, got "
            f"{groups.nunique()} ({', '.join(sorted(groups.unique()))})"
        )
    return groups.to_numpy(object)
