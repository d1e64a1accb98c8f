"""A corpus as notebook 1 shows it."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ctl_helpers.corpora import Audit, audit, is_miniature, read_audio, samples_of
from ctl_helpers.errors import check_choice
from ctl_helpers.features import FEATURES, PRESETS, Features, extract
from ctl_helpers.networks.recipes import RECIPES, TRANSFER_RECIPES
from ctl_helpers.report import figures
from ctl_helpers.report.notebooks import Page, listed, page_name
from ctl_helpers.results import spaces
from ctl_helpers.study import pages
from ctl_helpers.study.plan import open_corpora
from ctl_helpers.study.settings import read_study


@dataclass(frozen=True, eq=False)
class OpenedCorpus:
    """A corpus and what a network sees of it.

    Parameters
    ----------
    page : Page
        Where figures and tables are kept.
    audit : Audit
        The corpus compared with what was published of it.
    manifest : DataFrame
        A row per utterance.
    features : Features
        What a network sees.
    """

    page: Page
    audit: Audit
    manifest: pd.DataFrame
    features: Features

    @property
    def by(self) -> list[str]:
        """Columns to colour utterances by: emotion and, where all are known, speaker."""
        return ["emotion"] + ["speaker"] * bool((self.manifest["speaker"] != "").all())

    @cached_property
    def space(self) -> spaces.Space:
        """Every utterance as a point: mean and deviation of its features over time."""
        return spaces.feature_space(self.features)

    def signal(self, row: pd.Series) -> np.ndarray:
        """Read the samples of one utterance, a row of the manifest."""
        rate = self.features.settings.sampling_rate
        return read_audio(row["path"], rate, row["start"], row["end"])

    def utterances(self) -> Figure:
        """Draw one utterance per emotion, if possible of one speaker and one sentence."""
        settings, rows = self.features.settings, figures.one_per_emotion(self.manifest)
        signals = {row["emotion"]: self.signal(row) for _, row in rows.iterrows()}
        steps = {name: figures.mfcc_steps(signal, settings) for name, signal in signals.items()}
        images = {name: one.coefficients for name, one in steps.items()}
        return figures.utterance_panels(signals, images, settings.sampling_rate)

    def seen(self):
        """Say in sentences what was seen."""
        counts, seconds = self.manifest["emotion"].value_counts(), self.manifest["duration"]
        shares = spaces.neighbours(self.space, tuple(self.by)).set_index("by")
        speech = np.diff(self.features.speech).mean() / self.features.values.shape[1]
        near = " and ".join(
            f"of the same {by} in {100 * row.share:.0f} % (by chance {100 * row.chance:.0f} %)"
            for by, row in shares.iterrows()
        )
        return listed(
            f"There are {len(self.manifest)} utterances of {len(counts)} emotions. Always saying "
            f"*{counts.index[0]}* has a WAR of {100 * counts.max() / counts.sum():.1f} % and a UAR "
            f"of {100 / len(counts):.1f} %.",
            f"Utterances last {seconds.min():.1f} to {seconds.max():.1f} s; "
            f"{100 - 100 * speech:.0f} % of the frames that a network gets are padding.",
            f"The nearest neighbour of an utterance is {near}.",
        )


def features_of_recipes() -> pd.DataFrame:
    """List the recipes with the features that they look at."""
    rows = []
    for where, recipes in (("inside", RECIPES), ("across", TRANSFER_RECIPES)):
        for one in recipes.values():
            sets = "; ".join(FEATURES[name] for name in one.features.split("+"))
            rows.append((one.name, where, one.features, sets, one.normalisation))
    return pd.DataFrame(rows, columns=["recipe", "used", "features", "these are", "scaled"])


def open_corpus(
    corpora: str | None, corpus: str, features: str = "released", out: str = "reports", **more
) -> OpenedCorpus:
    """Open a corpus for a notebook.

    Parameters
    ----------
    corpora : path or None
        Folder that holds the corpora; None for the miniature ones.
    corpus, features : str
        Its name; a preset of features.
    out : path
        Folder of the report.
    **more
        ``emotions``, ``columns``, ``votes``, ``unpublished``, ``seconds``; see
        :class:`ctl_helpers.study.settings.Settings`.
    """
    check_choice("features of frames", features, PRESETS)
    study = read_study(None, {"corpora": corpora} | more)
    (root, _), options = open_corpora(study, print), study.settings.reading
    found = audit(root, corpus, **options)
    synthetic = is_miniature(found.manifest.attrs["folder"])
    page = Page(Path(out), page_name(pages.FEATURES, (corpus, features)), synthetic)
    samples = samples_of(study.settings.seconds)
    failed = extract(found.manifest, features, samples=samples).failed
    manifest = found.manifest.drop(index=list(failed)).reset_index(drop=True)
    return OpenedCorpus(page, found, manifest, extract(manifest, features, samples=samples))
