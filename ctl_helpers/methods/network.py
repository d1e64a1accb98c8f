"""Networks: trained on the labelled part, and adapted to an unlabelled corpus or new speakers."""

import os
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ctl_helpers.errors import StudyError
from ctl_helpers.features import PRESETS, FeatureSettings, Normalised, normalise, with_versions
from ctl_helpers.methods.outcome import Members, Method, Outcome, has_something_new
from ctl_helpers.methods.vectors import telling, vectors
from ctl_helpers.networks import build, check_use
from ctl_helpers.networks.recipes import Recipe, gamma_of
from ctl_helpers.parallel import cores
from ctl_helpers.plugins import is_reference, source_hash
from ctl_helpers.protocols import Problem, validation_part
from ctl_helpers.versions import version_of


@dataclass(frozen=True)
class NetworkMethod(Method):
    """A network, trained by a recipe on the training part.

    Parameters
    ----------
    name : str
        The network, or a method of adaptation: one of :data:`ctl_helpers.networks.ADAPTATIONS`.
    recipe : Recipe
        How it is trained.
    selection : {"last", "validation", "best_test"}
        The epoch that is scored: the last; the best on a tenth of the training part (whole speakers
        where the problem holds speakers out); or the best on the test part, which is the released
        procedure and optimistic. With adaptation always the last.
    kind : {"network", "adaptation"}
        Whether it learns from the training part alone, or from unlabelled speech as well.
    """

    name: str
    recipe: Recipe
    selection: str = "last"
    kind: str = "network"

    seeded = True
    packages = ("keras", "numpy")

    @property
    def label(self) -> str:
        """The method and its recipe, as a study names it."""
        return f"{self.name}/{self.recipe.name}"

    @property
    def adapts(self) -> bool:
        """Whether it learns from unlabelled speech, too."""
        return self.kind == "adaptation"

    @cached_property
    def features(self) -> tuple[str | FeatureSettings, ...]:
        """The recipe's features, and those of its recordings played faster or slower."""
        recipe = self.recipe
        if recipe.resampled and recipe.features not in PRESETS:
            raise StudyError(
                f"recipe {recipe.name}: expected features that can be resampled "
                f"({', '.join(PRESETS)}), got {recipe.features!r}"
            )
        versions = [replace(PRESETS[recipe.features], factor=one) for one in recipe.resampled]
        return (*recipe.features.split("+"), *versions)

    def suits(self, problem: Problem) -> bool:
        """Whether the problem is inside a corpus; with adaptation, whether it has something new."""
        if self.adapts:
            return has_something_new(problem, self.recipe.normalisation)
        return not problem.across

    def spec(self) -> dict:
        """Describe the method for a run's specification, JSON."""
        described = {"name": self.name, "kind": self.kind, "recipe": self.recipe.spec()}
        if is_reference(self.recipe.network):
            described["source"] = source_hash(self.recipe.network)
        return described

    def versions(self) -> dict[str, str]:
        """Give the versions of Keras, its backend and NumPy, without importing them."""
        backend = os.environ["KERAS_BACKEND"]
        return super().versions() | {backend: version_of(backend, f"{backend}-cpu")}

    def work(self, problem: Problem) -> float:
        """Utterances times epochs, to put long runs first."""
        pairs = 2 * max(len(problem.train), len(problem.unlabelled))
        return self.recipe.epochs * (pairs if self.adapts else len(problem.train))

    def run(self, problem: Problem, seed: int, folder: Path, members: Members = ()) -> Outcome:
        """Train the network and predict the test part."""
        from ctl_helpers.networks import backend, training
        from ctl_helpers.networks.cpac import with_embedding

        backend.prepare(seed, cores())
        recipe, train, watch = self.recipe, problem.train, None
        if self.selection == "validation":
            train, rows = validation_part(train, problem.manifest, problem.held_out, seed=seed)
            watch = training.Watch("validation", rows, problem.truth[rows])
        elif self.selection == "best_test":
            watch = training.Watch("test", problem.test, problem.truth[problem.test])
        inputs = normalised(problem, recipe, train, seed)
        model = build(recipe, inputs.values.shape[1:], len(problem.classes))
        both = with_embedding(model)
        if is_reference(recipe.network):
            check_use(both, inputs[train[:8]], recipe.network)
        trained = self._train(model, problem, inputs, train, seed, watch, folder)
        if self.selection == "validation":
            model.set_weights(trained.best["weights"])
        last, embeddings = training.predict(both, inputs, problem.test)
        arrays = {"embeddings": embeddings}
        if problem.across:
            arrays["source_embeddings"] = training.predict(both, inputs, train)[1]
            arrays["source_emotions"] = problem.manifest["emotion"].to_numpy(str)[train]
        probabilities = {"validation" if self.selection == "validation" else "last": last}
        if self.selection == "best_test":
            probabilities["best_test"] = trained.best["probabilities"]
        return Outcome(
            probabilities,
            epochs={self.selection: trained.best["epoch"]} if trained.best else {},
            embeddings=arrays,
            history=trained.history,
            model=model,
            card=card(problem, recipe, inputs) | self._adapted(problem),
            details={
                "parameters": model.count_params(),
                "epochs": recipe.epochs,
                "validation": len(problem.train) - len(train),
            },
        )

    def _adapted(self, problem: Problem) -> dict[str, str]:
        if self.kind == "network" or self.name == "source-only":
            return {}
        return {"adapted_to": problem.target or f"{problem.corpus}, {problem.split}"}

    def _train(self, model, problem, inputs, train, seed, watch, folder):
        from ctl_helpers.networks import adaptation, training
        from ctl_helpers.networks.losses import one_hot

        recipe = self.recipe
        labels = one_hot(problem.truth, len(problem.classes), recipe.smoothing)
        if self.kind == "network":
            batches = training.Batches(inputs, train, labels, recipe=recipe, seed=seed)
            training.compile_model(model, recipe, len(train))
            return training.Training(model, batches, recipe, watch, inputs, folder).run()
        if recipe.gamma is None:
            recipe = replace(recipe, gamma=gamma_of(problem.source, problem.target))
        unlabelled = problem.unlabelled
        batches = training.Pairs(inputs, train, unlabelled, labels, recipe=recipe, seed=seed)
        if self.name == "source-only":
            batches = batches.source
        adapting = adaptation.training_model(model, self.name, recipe)
        training.compile_model(adapting, recipe, max(len(train), len(unlabelled)))
        return training.Training(adapting, batches, recipe, folder=folder).run()


def normalised(problem: Problem, recipe: Recipe, train: np.ndarray, seed: int = 0) -> Normalised:
    """Normalise the features of a problem, and their resampled versions, as a recipe says.

    A vector becomes one frame. Nothing is learned from speakers of a target that are only scored.
    """
    features, *versions = problem.features
    manifest = problem.manifest
    if features.values.ndim == 2:
        values = vectors(problem, recipe.normalisation, train, f"recipe {recipe.name}", seed)
        if recipe.weighted:
            emotions = np.eye(len(problem.classes))[problem.truth[train]]
            weights = telling(values[train], emotions)
            values = values * (weights / (np.sqrt(np.mean(weights**2)) or 1.0))
        return Normalised(values[:, None], "none")
    if recipe.weighted:
        got = f"features of shape {features.values.shape[1:]}"
        raise StudyError(f"recipe {recipe.name}: expected one vector per utterance, got {got}")
    speech = features.speech if recipe.padding == "zeroed" else None
    only = np.concatenate([train, problem.adapt]) if len(problem.adapt) else None
    rows = {"only": only, "failed": problem.unseen, "seed": seed}
    inputs = normalise(features.values, manifest, recipe.normalisation, train, speech, **rows)
    return with_versions(inputs, versions, manifest, train=train, **rows)


def card(problem: Problem, recipe: Recipe, inputs: Normalised) -> dict[str, Any]:
    """Describe what a saved network needs to be used on new recordings."""
    shared, settings = inputs.kind == "global", problem.features[0].settings
    name = recipe.network
    return {
        "classes": list(problem.classes),
        "synthetic": problem.synthetic,
        "corpora": sorted(set(problem.manifest["corpus"])),
        "recipe": recipe.name,
        "network": name,
        "source": source_hash(name) if is_reference(name) else None,
        "features": asdict(settings) if settings else None,  # of an array of one's own: none
        "normalisation": inputs.kind,
        "padding": recipe.padding,
        "mean": inputs.mean[0].tolist() if shared else None,
        "scale": inputs.scale[0].tolist() if shared else None,
    }
