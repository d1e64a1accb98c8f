"""Train a network on whole corpora, for use on other recordings, and save it as one file."""

import json
import shutil
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd

from ctl_helpers import __version__
from ctl_helpers.corpora import LAYOUTS, drop_copies, samples_of
from ctl_helpers.errors import StudyError
from ctl_helpers.methods import parse
from ctl_helpers.methods.network import NetworkMethod, normalised
from ctl_helpers.protocols import Problem, classes_of
from ctl_helpers.results.naming import name_of
from ctl_helpers.results.runs import matching, study_runs
from ctl_helpers.runs.model import save_network
from ctl_helpers.runs.predict import distance_from_mean
from ctl_helpers.runs.run import Run
from ctl_helpers.runs.store import canonical
from ctl_helpers.study.plan import load_manifests
from ctl_helpers.study.settings import Study

_LIMITS = (
    "It tells which of the emotions of its corpora a recording sounds like, not what a person "
    "feels. Other speakers, languages, rooms, microphones and ways of speaking are outside of what "
    "it knows, and acted speech is not how people speak. Loudness tells it something, too: of a "
    "recording much quieter than the corpus it often names another emotion. Not for decisions "
    "about people."
)


def train_network(
    study: Study,
    out: str | Path,
    method: str = "cpac/modern",
    seed: int = 0,
    report: str | Path | None = None,
) -> Path:
    """Train a network on all utterances of some corpora and save it with its model card.

    Parameters
    ----------
    study : Study
        Its settings say which corpora, how they are read, and the epochs.
    out : path
        The ``.keras`` file to write. A training that was stopped continues from a checkpoint in a
        folder beside it.
    method : str
        A network and its recipe; see :mod:`ctl_helpers.methods`.
    seed : int
        Of the training.
    report : path, optional
        A report whose scores of this method on these corpora the model card quotes.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    StudyError
        If the corpora or the method cannot be used for this, or the file cannot be written.
    """
    chosen = parse(method, changes={"epochs": study.settings.epochs})
    if not isinstance(chosen, NetworkMethod) or chosen.kind != "network":
        raise StudyError(f"train: expected a network, as cpac/modern, got {method!r}")
    out = Path(out)
    if out.suffix != ".keras":
        raise StudyError(f"train: expected a file that ends in .keras, got {out}")
    if report is not None and study_runs(report).empty:
        raise StudyError(f"train: expected a report with runs, got {report}")
    problem = _whole_problem(study)
    # A checkpoint counts for the training that wrote it, not for one of other settings.
    folder = out.with_suffix(".partial") / Run(problem, chosen, seed).name
    problem = problem.extracted(chosen.features)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        outcome = chosen.run(problem, seed, folder)
        card = dict(outcome.card) | _about(problem, chosen, report)
        inputs = normalised(problem, chosen.recipe, problem.train)
        chunks = problem.train, -(-len(problem.train) // 256)
        distances = [distance_from_mean(inputs[rows]) for rows in np.array_split(*chunks)]
        card["reach"] = float(np.quantile(np.concatenate(distances), 0.99))
        save_network(outcome.model, card, folder / out.name)
        (folder / out.name).replace(out)
    except OSError as error:
        raise StudyError(f"train: {out} was not written: {error}") from error
    shutil.rmtree(folder)
    with suppress(OSError):  # it holds other trainings, which were stopped or go on
        folder.parent.rmdir()
    return out


def _whole_problem(study: Study) -> Problem:
    """Make a problem that trains on everything; its predictions are not looked at."""
    manifest = pd.concat(drop_copies([*load_manifests(study, print)]), ignore_index=True)
    rows, classes = np.arange(len(manifest)), classes_of(manifest)
    of_one = manifest.groupby("emotion")["corpus"].unique().loc[lambda names: names.str.len() == 1]
    if len(of_one) and manifest["corpus"].nunique() > 1:
        said = ", ".join(f"{emotion} ({names[0]})" for emotion, names in of_one.items())
        print(f"emotions of one corpus alone, which its sound may give away: {said}")
    corpus, length = "+".join(manifest["corpus"].unique()), samples_of(study.settings.seconds)
    return Problem(manifest, classes, rows, rows, "whole", "all", corpus=corpus, length=length)


def _about(problem: Problem, method: NetworkMethod, report: str | Path | None) -> dict:
    """Write the model card: what it was trained on, under which terms, its scores and limits."""
    names = problem.corpus.split("+")
    spoken = problem.manifest[problem.manifest["speaker"] != ""]
    known = {name: LAYOUTS[name] for name in names if name in LAYOUTS}
    sources = [f"{one.title}: {one.licence} ({one.home_page})" for one in known.values()]
    if others := [name for name in names if name not in known]:
        sources.append(f"corpora: {', '.join(others)}")
    return {
        "made": time.strftime("%Y-%m-%d", time.gmtime()),
        "version": __version__,
        "utterances": len(problem.train),
        "speakers": len(spoken.drop_duplicates(["corpus", "speaker"])) or "unknown",
        "sources": sources,
        "scores": _scores(problem, method, report),
        "use": "Research and teaching on speech emotion recognition.",
        "limits": _LIMITS,
    }


def _scores(problem: Problem, method: NetworkMethod, report: str | Path | None) -> list[str]:
    if report is None:
        return []
    runs = study_runs(report)
    same = {"corpus": problem.corpus, "classes": ", ".join(problem.classes), "selection": "last"}
    runs = matching(runs, same | {"method": method.name, "recipe": method.recipe.name})
    settings = canonical(method.recipe.spec()) | {"division": Problem.division}
    del settings["normalisation"]  # named with the score
    asked = [settings.items() <= json.loads(variant).items() for variant in runs["variant"]]
    runs = runs[np.array(asked, bool)]
    return [
        f"{name_of(protocol)}{', per speaker' if kind == 'speaker' else ''}: UAR "
        f"{100 * some.groupby('split')['uar'].mean().mean():.1f} % over "
        f"{some['split'].nunique()} of {folds:.0f} folds"
        for (protocol, kind, folds), some in runs.groupby(["protocol", "normalisation", "of_folds"])
    ]
