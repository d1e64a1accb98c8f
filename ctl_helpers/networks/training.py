"""Training of one network: batches, epochs, averaged weights, a watched part, checkpoints."""

import json
import math
import os
import time
import zipfile
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ctl_helpers.errors import StudyError
from ctl_helpers.networks import backend
from ctl_helpers.networks.augmentation import augment
from ctl_helpers.networks.backend import keras  # quietly: a study's workers import this first
from ctl_helpers.networks.losses import margin_loss, margin_mse_loss
from ctl_helpers.networks.recipes import Recipe
from ctl_helpers.parallel import progress
from ctl_helpers.scores import scores

LOSSES = {
    "margin": margin_loss,
    "margin+mse": margin_mse_loss,
    "cross-entropy": "categorical_crossentropy",
}
CHECKPOINT = "checkpoint.npz"
_TARGET_SEED = 1 << 32  # keeps the shuffles of two corpora apart, whose rows are sorted alike
_PREDICTED = 128  # utterances at once: most test parts are one batch, and traced once


class Batches:
    """Batches of normalised features, shuffled and augmented anew in every epoch.

    What a batch holds follows from seed, epoch and position alone, so that a training that was
    stopped goes on as if it had not been.

    Parameters
    ----------
    features : indexable by an int array
        Gives a float32 array of shape (rows, frames, coefficients). A
        :class:`~ctl_helpers.features.normalisation.Normalised` where the recipe wants resampled
        versions.
    rows : int array
        Utterances to draw from.
    labels : array of shape (utterances, classes)
        Of all utterances.
    recipe : Recipe
        Its batch size and augmentations.
    seed : int
        Of the shuffle.

    Notes
    -----
    ``batches[epoch, index]`` gives features and labels.
    """

    def __init__(self, features, rows, labels, *, recipe, seed=0):
        self.features, self.rows, self.labels = features, np.asarray(rows), labels
        self.recipe, self.seed = recipe, seed

    def __len__(self) -> int:
        return math.ceil(len(self.rows) / self.recipe.batch_size)

    def __getitem__(self, place: tuple[int, int]):
        epoch, index = place
        size = self.recipe.batch_size
        rows = np.random.default_rng([self.seed, epoch]).permutation(self.rows)
        rows = rows[index * size : (index + 1) * size]
        rng = np.random.default_rng([self.seed, epoch, index])
        drawn = self.features.drawn(rows, rng) if self.recipe.resampled else self.features[rows]
        return augment(drawn, self.labels[rows], self.recipe, rng)


class Pairs:
    """Batches of labelled and unlabelled rows side by side.

    ``pairs[epoch, index]`` gives ``((x_source, x_target), y_source)``.

    The shorter list of rows is repeated to the length of the longer; which of its utterances come
    once more often than the others is drawn at random. What a batch holds follows from seed, epoch
    and position alone, and the labelled half is what :class:`Batches` alone gives.

    Parameters
    ----------
    features : indexable by an int array
        Of source and target.
    source, target : int array
        Rows of either side.
    labels : array of shape (utterances, classes)
        Those of the target are not looked at.
    recipe : Recipe
        Its batch size, which counts the utterances of one side, and augmentations.
    seed : int
        Of the shuffles.
    """

    def __init__(self, features, source, target, labels, *, recipe, seed=0):
        length = max(len(source), len(target))
        nothing = np.zeros((len(labels), 0), np.float32)

        def batches(rows, labels, seed):
            return Batches(features, repeat(rows, length, seed), labels, recipe=recipe, seed=seed)

        self.source = batches(source, labels, seed)
        self.target = batches(target, nothing, seed + _TARGET_SEED)

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, place: tuple[int, int]):
        features, labels = self.source[place]
        return (features, self.target[place][0]), labels


def repeat(rows: np.ndarray, length: int, seed: int = 0) -> np.ndarray:
    """Repeat rows to a length; those that come once more than the others are drawn by the seed."""
    rows = np.asarray(rows)
    if len(rows) == length:
        return rows
    return np.resize(np.random.default_rng(seed).permutation(rows), length)


def compile_model(model: "keras.Model", recipe: Recipe, utterances: int) -> None:
    """Compile a network for a recipe and a training part of so many utterances."""
    steps = recipe.epochs * math.ceil(utterances / recipe.batch_size)
    model.compile(
        optimizer(recipe, steps),
        loss=LOSSES[recipe.loss],
        metrics=[keras.metrics.CategoricalAccuracy("accuracy")],
        jit_compile=keras.backend.backend() == "jax",
    )
    # Else TensorFlow meets new variables in the first step and traces it all a second time.
    model.optimizer.build(model.trainable_variables)


def optimizer(recipe: Recipe, steps: int) -> "keras.optimizers.Optimizer":
    """Make a recipe's optimizer for a training of so many steps."""
    rate = recipe.learning_rate
    if recipe.schedule == "plateau":
        rise, fall = round(0.2 * steps), max(1, round(0.3 * steps))
        rate = keras.optimizers.schedules.CosineDecay(
            rate / 25, fall, alpha=0.3, warmup_target=rate, warmup_steps=rise
        )
    settings = {name: getattr(recipe, name) for name in ("beta_1", "beta_2", "epsilon")}
    if recipe.weight_decay:
        return keras.optimizers.AdamW(rate, recipe.weight_decay, **settings)
    return keras.optimizers.Adam(rate, **settings)


def predict(model: "keras.Model", features: Any, rows: np.ndarray):
    """Output for some utterances, shape (rows, ...), or a list of them if the model has several."""
    parts = [rows[start : start + _PREDICTED] for start in range(0, len(rows), _PREDICTED)]
    found = [model.predict_on_batch(features[part]) for part in parts]
    return keras.tree.map_structure(lambda *some: np.concatenate(some), *found)


@dataclass(frozen=True, eq=False)
class Watch:
    """A part that is scored after every epoch.

    Parameters
    ----------
    part : {"validation", "test"}
        Its name. As released, accuracy picks the best epoch on the test part; on a validation part
        UAR does.
    rows : int array
        Its utterances.
    truth : int array of shape (rows,)
        Their classes.
    """

    part: str
    rows: np.ndarray
    truth: np.ndarray


class Training:
    """Train a compiled network for a recipe's epochs, from a checkpoint if there is one.

    Parameters
    ----------
    model : keras.Model
        Compiled. After :meth:`run` it holds its last weights, or, where the recipe says so, the
        average of those after its last epochs.
    batches : Batches or Pairs
        What it is trained on.
    recipe : Recipe
        Epochs and averaging.
    watch : Watch, optional
        A part to score after every epoch; without it no work is done for it.
    features : indexable by an int array, optional
        Of the watched part.
    folder : path, optional
        Where the checkpoint lies.
    seconds : float
        Between two checkpoints, at least.

    Attributes
    ----------
    history : list of dict
        A row per epoch.
    best : dict
        Where a part is watched: the best epoch, its score (``mark``), the part's probabilities and,
        on a validation part, the network's weights.
    """

    def __init__(
        self, model, batches, recipe, watch=None, features=None, folder=None, seconds=30.0
    ):
        self.model, self.batches, self.recipe = model, batches, recipe
        self.watch, self.features = watch, features
        self.checkpoint = Path(folder) / CHECKPOINT if folder else None
        self.seconds = seconds
        self.history: list[dict] = []
        self.best: dict = {}
        self.average: list[np.ndarray] = []

    def run(self, after_epoch: Callable[[int], None] | None = None) -> "Training":
        """Train; ``after_epoch`` is called with the number of each epoch that has ended.

        A plain loop, not ``model.fit``: on a CPU that costs more per batch, and on several threads
        its pipeline halves the rate now and then.

        Raises
        ------
        StudyError
            When the loss is not finite: such a network is never scored.
        """
        step = backend.training_step(self.model, *self.batches[0, 0])
        saved = time.monotonic()
        epochs = range(self._resume(), self.recipe.epochs)
        for epoch in progress(epochs, len(epochs), "training", "epoch"):
            self._train_epoch(step, epoch)
            self._score(epoch)
            self._average(epoch)
            late = time.monotonic() - saved >= self.seconds
            if self.checkpoint and late and epoch + 1 < self.recipe.epochs:
                self._save()
                saved = time.monotonic()
            if after_epoch:
                after_epoch(epoch)
        if self.average:
            self.model.set_weights(self.average)
        return self

    def _train_epoch(self, step: Callable, epoch: int) -> None:
        logs, sizes = [], []
        for index in range(len(self.batches)):
            features, labels = self.batches[epoch, index]
            logs.append(step(features, labels))
            sizes.append(len(labels))
        columns = {name: [float(log[name]) for log in logs] for name in logs[0]}
        means = {name: float(np.average(c, weights=sizes)) for name, c in columns.items()}
        if not np.isfinite(means["loss"]):
            raise StudyError(
                f"training: expected a finite loss, got {means['loss']} in epoch {epoch} of "
                f"{self.recipe.epochs} (recipe {self.recipe.name})"
            )
        self.history.append({"epoch": epoch} | means)

    def _score(self, epoch: int) -> None:
        if self.watch is None:
            return
        part = self.watch.part
        probabilities = predict(self.model, self.features, self.watch.rows)
        found = scores(self.watch.truth, probabilities.argmax(axis=1))
        mark = found["war" if part == "test" else "uar"]
        if not self.best or mark > self.best["mark"]:
            weights = [] if part == "test" else self.model.get_weights()
            self.best = {"epoch": epoch, "mark": mark, "weights": weights}
            self.best["probabilities"] = probabilities
        self.history[-1] |= {f"{part}_{name}": found[name] for name in ("uar", "war")}

    def _average(self, epoch: int) -> None:
        count = math.ceil(self.recipe.averaging * self.recipe.epochs)
        number = epoch - (self.recipe.epochs - count) + 1
        if not count or number < 1:
            return
        weights = self.model.get_weights()
        if number == 1:
            self.average = [np.array(weight) for weight in weights]
        for mean, weight in zip(self.average, weights, strict=True):
            mean += (weight - mean) / number

    def _variables(self) -> list:
        return [*self.model.variables, *self.model.optimizer.variables]

    def _save(self) -> None:
        weights = [keras.ops.convert_to_numpy(variable) for variable in self._variables()]
        lists = {"variable": weights, "average": self.average}
        facts: dict[str, Any] = {"history": self.history, "best": {}}
        if self.best:
            lists["best"] = [self.best["probabilities"], *self.best["weights"]]
            facts["best"] = {name: self.best[name] for name in ("epoch", "mark")}
        state = {f"{name}/{i}": a for name, many in lists.items() for i, a in enumerate(many)}
        temporary = self.checkpoint.with_name("checkpoint.tmp.npz")
        np.savez(temporary, facts=json.dumps(facts), **state)
        os.replace(temporary, self.checkpoint)

    def _resume(self) -> int:
        """Take up the checkpoint, if there is one; return the epoch to go on with."""
        if self.checkpoint is None or not self.checkpoint.is_file():
            return 0
        try:
            with np.load(self.checkpoint, allow_pickle=False) as file:
                lists, facts = defaultdict(list), json.loads(str(file["facts"]))
                for name in file.files:  # in the order in which they were written
                    lists[name.split("/")[0]].append(file[name])
        except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):
            return 0  # the machine went down before it was on the disk
        for variable, value in zip(self._variables(), lists["variable"], strict=True):
            variable.assign(value)
        self.average, self.history, self.best = lists["average"], facts["history"], facts["best"]
        if self.best:
            self.best["probabilities"], *self.best["weights"] = lists["best"]
        return len(self.history)
