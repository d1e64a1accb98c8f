"""Training of one network: batches, epochs, averaged weights, a watched part, checkpoints."""

import math
import os
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ctl_helpers.errors import StudyError
from ctl_helpers.networks import backend
from ctl_helpers.networks.augmentation import augment
from ctl_helpers.networks.backend import keras  # quietly: a study's workers import this first
from ctl_helpers.networks.losses import margin_loss, margin_mse_loss
from ctl_helpers.networks.recipes import Recipe
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
    labels : array of shape (utterances, classes), optional
        Of all utterances; without them the batches hold features alone, in order.
    recipe : Recipe
        Its batch size and augmentations.
    seed, epoch : int
        Of the shuffle; ``epoch`` may be set.
    """

    def __init__(self, features, rows, labels=None, *, recipe, seed=0, epoch=0):
        self.features, self.rows, self.labels = features, np.asarray(rows), labels
        self.recipe, self.seed, self.epoch = recipe, seed, epoch

    def __len__(self) -> int:
        return math.ceil(len(self.rows) / self.recipe.batch_size)

    def __getitem__(self, index: int):
        rows = self.rows
        if self.labels is not None:
            rows = np.random.default_rng([self.seed, self.epoch]).permutation(rows)
        size = self.recipe.batch_size
        rows = rows[index * size : (index + 1) * size]
        if self.labels is None:
            return self.features[rows]
        rng = np.random.default_rng([self.seed, self.epoch, index])
        drawn = self.features.drawn(rows, rng) if self.recipe.resampled else self.features[rows]
        return augment(drawn, self.labels[rows], self.recipe, rng)


class Pairs:
    """Batches of labelled and unlabelled rows side by side: ``((x_source, x_target), y_source)``.

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
    seed, epoch : int
        Of the shuffles; ``epoch`` may be set.
    """

    def __init__(self, features, source, target, labels, *, recipe, seed=0, epoch=0):
        length = max(len(source), len(target))
        nothing = np.zeros((len(labels), 0), np.float32)
        parts = ((source, labels, seed), (target, nothing, seed + _TARGET_SEED))
        self.source, self.target = (
            Batches(features, repeat(rows, length, seed), labels, recipe=recipe, seed=seed)
            for rows, labels, seed in parts
        )
        self.epoch = epoch

    @property
    def epoch(self) -> int:
        """The epoch whose batches are given."""
        return self.source.epoch

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        self.source.epoch = self.target.epoch = epoch

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int):
        features, labels = self.source[index]
        return (features, self.target[index][0]), labels


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


def predict(model: "keras.Model", features: Any, rows: np.ndarray, recipe: Recipe):
    """Output for some utterances, shape (rows, ...), or a list of them if the model has several."""
    batches = Batches(features, rows, recipe=replace(recipe, batch_size=_PREDICTED))
    found = [model.predict_on_batch(batches[index]) for index in range(len(batches))]
    if isinstance(found[0], list):
        return [np.concatenate(parts) for parts in zip(*found, strict=True)]
    return np.concatenate(found)


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
        step = backend.training_step(self.model, *self.batches[0])
        saved = time.monotonic()
        for epoch in range(self._resume(), self.recipe.epochs):
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
        self.batches.epoch = epoch
        logs, sizes = [], []
        for index in range(len(self.batches)):
            features, labels = self.batches[index]
            logs.append(step(features, labels))
            sizes.append(len(labels))
        means = {
            name: float(np.average([float(log[name]) for log in logs], weights=sizes))
            for name in logs[0]
        }
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
        probabilities = predict(self.model, self.features, self.watch.rows, self.recipe)
        found = scores(self.watch.truth, probabilities.argmax(axis=1))
        mark = found["war" if part == "test" else "uar"]
        if not self.best or mark > self.best["mark"]:
            weights = [] if part == "test" else self.model.get_weights()
            self.best = {"epoch": epoch, "mark": mark, "probabilities": probabilities}
            self.best["weights"] = weights
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
        columns = {name: [row[name] for row in self.history] for name in self.history[0]}
        lists = {
            "variable": [keras.ops.convert_to_numpy(v) for v in self._variables()],
            "average": self.average,
            "best_weight": self.best.get("weights", []),
        }
        state = {f"{name}/{i}": a for name, many in lists.items() for i, a in enumerate(many)}
        state |= {f"history/{name}": values for name, values in columns.items()}
        state |= {f"best/{k}": v for k, v in self.best.items() if k != "weights"}
        temporary = self.checkpoint.with_name("checkpoint.tmp.npz")
        np.savez(temporary, **state)
        os.replace(temporary, self.checkpoint)

    def _resume(self) -> int:
        """Take up the checkpoint, if there is one; return the epoch to go on with."""
        if self.checkpoint is None or not self.checkpoint.is_file():
            return 0
        try:
            with np.load(self.checkpoint, allow_pickle=False) as file:
                state = {name: file[name] for name in file.files}
        except (OSError, EOFError, ValueError, zipfile.BadZipFile):
            return 0  # the machine went down before it was on the disk
        for variable, value in zip(self._variables(), _listed(state, "variable"), strict=True):
            variable.assign(value)
        self.average = _listed(state, "average")
        kept = {name: value for name, value in state.items() if name.startswith("history/")}
        columns = {name.split("/")[1]: value.tolist() for name, value in kept.items()}
        rows = zip(*columns.values(), strict=True)
        self.history = [dict(zip(columns, row, strict=True)) for row in rows]
        if "best/epoch" in state:
            self.best = {
                "epoch": int(state["best/epoch"]),
                "mark": float(state["best/mark"]),
                "probabilities": state["best/probabilities"],
                "weights": _listed(state, "best_weight"),
            }
        return len(self.history)


def _listed(state: dict, name: str) -> list[np.ndarray]:
    count = sum(key.startswith(f"{name}/") for key in state)
    return [state[f"{name}/{i}"] for i in range(count)]
