"""Training of one network: batches, epochs, averaged weights, selection, checkpoints."""

import math
import os
import time
import zipfile
from dataclasses import replace

import numpy as np

from ctl_helpers.networks import backend
from ctl_helpers.networks.augmentation import augment
from ctl_helpers.networks.backend import keras  # quietly: a study's workers import this first
from ctl_helpers.networks.losses import margin_loss, margin_mse_loss
from ctl_helpers.parallel import orphaned
from ctl_helpers.scores import scores

LOSSES = {
    "margin": margin_loss,
    "margin+mse": margin_mse_loss,
    "cross-entropy": "categorical_crossentropy",
}
CHECKPOINT = "checkpoint.npz"
_TARGET_SEED = 1 << 32  # keeps the shuffles of two corpora apart, whose rows are sorted alike
_PREDICTED = 128  # utterances at once: most test parts are one batch, and traced once
_SECONDS_BETWEEN_CHECKPOINTS = 30.0


class Batches:
    """Batches of normalised features, shuffled and augmented anew in every epoch.

    What a batch holds follows from seed, epoch and position alone, so that a training that was
    stopped goes on as if it had not been.

    Parameters
    ----------
    features : indexable by an int array
        Gives a float32 array of shape (rows, frames, coefficients). A
        :class:`~ctl_helpers.features.normalisation.Normalised` where the recipe wants resampled versions.
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

    def __len__(self):
        return math.ceil(len(self.rows) / self.recipe.batch_size)

    def __getitem__(self, index):
        rows = self.rows
        if self.labels is not None:
            rows = np.random.default_rng([self.seed, self.epoch]).permutation(rows)
        size = self.recipe.batch_size
        rows = rows[index * size : (index + 1) * size]
        if self.labels is None:
            return self.features[rows][..., None]
        rng = np.random.default_rng([self.seed, self.epoch, index])
        features = self._drawn(rows, rng)
        features, labels = augment(features, self.labels[rows], self.recipe, rng)
        return features[..., None], labels

    def _drawn(self, rows, rng):
        return self.features.drawn(rows, rng) if self.recipe.resampled else self.features[rows]


class Pairs:
    """Batches of a labelled and an unlabelled corpus side by side: ``((x_s, x_t), y_s)``.

    The shorter list of rows is repeated to the length of the longer; which of its utterances come
    once more often than the others is left to chance. What a batch holds follows from seed, epoch
    and position alone, and the labelled half is what :class:`Batches` alone gives.

    Parameters
    ----------
    source, target : (indexable by an int array, int array)
        Features and rows of either corpus.
    labels : array of shape (source utterances, classes)
        Of the source. No target labels are asked for.
    recipe : Recipe
        Its batch size, which counts the utterances of one corpus, and augmentations.
    seed, epoch : int
        Of the shuffles; ``epoch`` may be set.
    """

    def __init__(self, source, target, labels, *, recipe, seed=0, epoch=0):
        length = max(len(source[1]), len(target[1]))
        nothing = np.zeros((len(target[0]), 0), np.float32)
        parts = ((*source, labels, seed), (*target, nothing, seed + _TARGET_SEED))
        self.source, self.target = (
            Batches(features, repeat(rows, length, seed), labels, recipe=recipe, seed=seed)
            for features, rows, labels, seed in parts
        )
        self.epoch = epoch

    @property
    def epoch(self):
        """The epoch whose batches are given."""
        return self.source.epoch

    @epoch.setter
    def epoch(self, epoch):
        self.source.epoch = self.target.epoch = epoch

    def __len__(self):
        return len(self.source)

    def __getitem__(self, index):
        features, labels = self.source[index]
        return (features, self.target[index][0]), labels


def repeat(rows, length, seed=0):
    """Repeat rows to a length; those that come once more than the others are drawn by the seed."""
    rows = np.asarray(rows)
    if len(rows) == length:
        return rows
    return np.resize(np.random.default_rng(seed).permutation(rows), length)


def network(recipe):
    """Give the settings of :func:`ctl_helpers.networks.cpac.cpac` that a recipe holds."""
    names = ("dropout", "head_dropout", "norm", "attention", "capsules", "convolutions")
    return {
        name: getattr(recipe, name) for name in (*names, "precision", "capsule_gain", "head_gain")
    }


def compile_model(model, recipe, utterances):
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


def optimizer(recipe, steps):
    """Make a recipe's optimizer for a training of so many steps."""
    rate = recipe.learning_rate
    if recipe.schedule != "constant":
        # Shares of the steps that the rate rises and falls over, and how much of it is left.
        up, down, left = {"one-cycle": (0.3, 0.7, 1e-3), "plateau": (0.2, 0.3, 0.3)}[
            recipe.schedule
        ]
        rise, fall = round(up * steps), max(1, round(down * steps))
        rate = keras.optimizers.schedules.CosineDecay(
            rate / 25, fall, alpha=left, warmup_target=rate, warmup_steps=rise
        )
    settings = {name: getattr(recipe, name) for name in ("beta_1", "beta_2", "epsilon")}
    if recipe.weight_decay:
        return keras.optimizers.AdamW(rate, recipe.weight_decay, **settings)
    return keras.optimizers.Adam(rate, **settings)


def predict(model, features, rows, recipe):
    """Output for some utterances, shape (rows, ...), or a list of them if the model has several."""
    batches = Batches(features, rows, recipe=replace(recipe, batch_size=_PREDICTED))
    found = [model.predict_on_batch(batches[index]) for index in range(len(batches))]
    if isinstance(found[0], list):
        return [np.concatenate(parts) for parts in zip(*found, strict=True)]
    return np.concatenate(found)


def fit(model, features, labels, rows, recipe, *, seed, watch=None, truth=None, folder=None):
    """Train a compiled network for a recipe's epochs, going on from a checkpoint if there is one.

    Parameters
    ----------
    model : keras.Model
        Compiled. It is left with its last weights, or, where the recipe says so, with the average
        of those after its last epochs.
    features : indexable by an int array
        See :class:`Batches`.
    labels : array of shape (utterances, classes)
        Targets of all utterances.
    rows : int array
        The training part.
    recipe : Recipe
        Epochs, batch size, augmentation.
    seed : int
        Of shuffle and augmentation.
    watch : (str, int array), optional
        Name and rows of a part to be scored after every epoch (``"validation"`` or ``"test"``);
        without it no work is done for it.
    truth : int array of shape (utterances,), optional
        Classes, for scoring the watched part.
    folder : path, optional
        Where the checkpoint lies.

    Returns
    -------
    Follow
        With ``history`` (a dict per epoch) and, where a part was watched, ``best``: its epoch, the
        part's probabilities and the network's weights then.
    """
    batches = Batches(features, rows, labels, recipe=recipe, seed=seed)
    return fit_batches(model, batches, Follow(model, features, recipe, watch, truth, folder))


def fit_batches(model, batches, follow):
    """Train a compiled network on :class:`Batches` or :class:`Pairs`, followed by a `Follow`.

    A plain loop, not ``model.fit``: on a CPU that costs more per batch, and on several threads its
    pipeline halves the rate now and then.
    """
    step = backend.training_step(model, *batches[0])
    for epoch in range(follow.resume(), follow.recipe.epochs):
        batches.epoch = epoch
        told, sizes = [], []
        for index in range(len(batches)):
            features, labels = batches[index]
            told.append(step(features, labels))
            sizes.append(len(labels))
        means = {
            name: np.average([float(one[name]) for one in told], weights=sizes) for name in told[0]
        }
        follow.on_epoch_end(epoch, means)
    follow.on_train_end()
    return follow


class Follow:
    """Write history down, score the watched part, keep its best epoch, average, save checkpoints.

    Parameters are those of :func:`fit`; ``watch`` and ``truth`` may be None.
    """

    def __init__(self, model, features, recipe, watch, truth, folder):
        self.model, self.features, self.recipe, self.truth = model, features, recipe, truth
        self.part, self.rows = watch or (None, None)
        self.folder = folder
        self.history, self.best, self.average = [], None, None
        self.saved = time.monotonic()

    def on_epoch_end(self, epoch, logs):
        """Note the epoch; score, average and save where it is time to."""
        row = {"epoch": epoch} | {name: float(value) for name, value in logs.items()}
        if self.part:
            row |= self._score(epoch)
        self._average(epoch)
        self.history.append(row)
        late = time.monotonic() - self.saved > _SECONDS_BETWEEN_CHECKPOINTS
        if self.folder and (late or orphaned()) and epoch + 1 < self.recipe.epochs:
            self._save()
        if orphaned():  # the study was killed, and nobody waits for this run any more
            os._exit(1)

    def on_train_end(self):
        """Leave the network with its averaged weights, if the recipe asks for them."""
        if self.average is not None:
            self.model.set_weights(self.average)

    def _average(self, epoch):
        count = averaged(self.recipe)
        number = epoch - (self.recipe.epochs - count) + 1
        if not count or number < 1:
            return
        weights = self.model.get_weights()
        if number == 1:
            self.average = [np.array(weight) for weight in weights]
        for mean, weight in zip(self.average, weights, strict=True):
            mean += (weight - mean) / number

    def _score(self, epoch):
        probabilities = predict(self.model, self.features, self.rows, self.recipe)
        found = scores(self.truth[self.rows], probabilities.argmax(axis=1))
        # As released, accuracy picks the epoch on the test part; UAR does so on a validation part.
        mark = found["war" if self.part == "test" else "uar"]
        if self.best is None or mark > self.best["mark"]:
            weights = [] if self.part == "test" else self.model.get_weights()
            self.best = {"epoch": epoch, "mark": mark, "probabilities": probabilities}
            self.best["weights"] = weights
        return {f"{self.part}_{name}": found[name] for name in ("uar", "war")}

    def _variables(self):
        return [*self.model.variables, *self.model.optimizer.variables]

    def _save(self):
        state = {f"v{i}": keras.ops.convert_to_numpy(v) for i, v in enumerate(self._variables())}
        columns = {name: [row[name] for row in self.history] for name in self.history[0]}
        state |= {f"history_{name}": values for name, values in columns.items()}
        if self.best:
            state |= {f"best_{name}": self.best[name] for name in ("epoch", "mark")}
            state["best_probabilities"] = self.best["probabilities"]
            state |= {f"best_w{i}": weight for i, weight in enumerate(self.best["weights"])}
        if self.average is not None:
            state |= {f"average_w{i}": weight for i, weight in enumerate(self.average)}
        temporary = self.folder / "checkpoint.tmp.npz"
        np.savez(temporary, **state)
        os.replace(temporary, self.folder / CHECKPOINT)
        self.saved = time.monotonic()

    def resume(self):
        """Take up the checkpoint in the folder, if there is one; return the epoch to go on with."""
        path = self.folder / CHECKPOINT if self.folder else None
        if path is None or not path.is_file():
            return 0
        try:
            with np.load(path, allow_pickle=False) as file:
                state = {name: file[name] for name in file.files}
        except (OSError, EOFError, ValueError, zipfile.BadZipFile):
            return 0  # the machine went down before it was on the disk
        self.model.optimizer.build(self.model.trainable_variables)
        for i, variable in enumerate(self._variables()):
            variable.assign(state[f"v{i}"])
        columns = {
            name.removeprefix("history_"): values.tolist()
            for name, values in state.items()
            if name.startswith("history_")
        }
        self.history = [
            dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)
        ]
        if "average_w0" in state:
            self.average = _numbered(state, "average_w")
        if "best_epoch" in state:
            self.best = {
                "epoch": int(state["best_epoch"]),
                "mark": float(state["best_mark"]),
                "probabilities": state["best_probabilities"],
                "weights": _numbered(state, "best_w"),
            }
        return len(self.history)


def averaged(recipe):
    """Over how many of its last epochs a recipe averages the weights; 0 for none."""
    return math.ceil(recipe.averaging * recipe.epochs)


def _numbered(state, name):
    count = sum(key.startswith(name) for key in state)
    return [state[f"{name}{i}"] for i in range(count)]
