from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import layers

from ctl_helpers.networks import backend, training
from ctl_helpers.networks.capsules import Dropout
from ctl_helpers.networks.cpac import cpac
from ctl_helpers.networks.losses import one_hot
from ctl_helpers.networks.recipes import Recipe
from ctl_helpers.scores import scores

PLAIN = Recipe("plain", epochs=4, batch_size=8, learning_rate=0.02)
RICH = Recipe(
    "rich",
    epochs=4,
    batch_size=8,
    norm="batch",
    schedule="one-cycle",
    averaging=0.75,
    weight_decay=0.01,
    shift=3,
    time_mask=4,
    frequency_mask=3,
    mixup=0.3,
)
TRUTH = np.arange(27) % 3
TRAIN, WATCHED = np.arange(20), np.arange(20, 27)


@pytest.fixture(scope="module")
def speech():
    """Values of 27 utterances of three emotions, hard to tell apart."""
    values = np.random.default_rng(0).normal(size=(27, 40, 39))
    return (values + TRUTH[:, None, None] * 0.1).astype(np.float32)


def small(values):
    """A network that is built in no time and has dropout, as CPAC."""
    inputs = keras.Input((*values.shape[1:], 1))
    x = Dropout(0.25)(layers.Flatten()(layers.AveragePooling2D(4)(inputs)))
    return keras.Model(inputs, layers.Dense(3, "softmax")(Dropout(0.2)(x)))


def train(values, recipe=PLAIN, make=small, seed=0, **settings):
    """Train from the very beginning; return the network and what its training told."""
    backend.prepare(seed)
    model = make(values)
    training.compile_model(model, recipe, len(TRAIN))
    labels = one_hot(TRUTH, 3, recipe.smoothing)
    return model, training.fit(
        model, values, labels, TRAIN, recipe, seed=seed, truth=TRUTH, **settings
    )


def stop_after(monkeypatch, epochs):
    """Save a checkpoint after every epoch and end the training behind one of them."""
    save = training.Follow._save

    def stopping(follow):
        save(follow)
        if len(follow.history) == epochs:
            raise KeyboardInterrupt

    monkeypatch.setattr(training, "_SECONDS_BETWEEN_CHECKPOINTS", -1)
    monkeypatch.setattr(training.Follow, "_save", stopping)


def assert_same(one, other):
    for mine, theirs in zip(one[0].get_weights(), other[0].get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert one[1].history == other[1].history
    assert (one[1].best is None) == (other[1].best is None)
    if one[1].best:
        assert one[1].best["epoch"] == other[1].best["epoch"]
        np.testing.assert_array_equal(one[1].best["probabilities"], other[1].best["probabilities"])


def of_recipe(values):
    return cpac(*values.shape[1:], 3, **training.network(RICH))


@pytest.mark.parametrize(
    ("recipe", "make", "watch"),
    [
        (PLAIN, small, None),
        (PLAIN, small, ("test", WATCHED)),
        (RICH, of_recipe, ("validation", WATCHED)),
    ],
    ids=["plain", "best test", "rich CPAC"],
)
def test_a_stopped_training_goes_on_as_if_it_had_not_been(
    speech, tmp_path, monkeypatch, recipe, make, watch
):
    whole = train(speech, recipe, make, watch=watch)
    assert len(whole[1].history) == 4
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        with pytest.raises(KeyboardInterrupt):
            train(speech, recipe, make, watch=watch, folder=tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == [training.CHECKPOINT]
    resumed = train(speech, recipe, make, watch=watch, folder=tmp_path)
    assert_same(resumed, whole)


def test_a_checkpoint_is_gone_on_with_and_not_computed_again(speech, tmp_path, monkeypatch):
    stop_after(monkeypatch, 3)
    with pytest.raises(KeyboardInterrupt):
        train(speech, folder=tmp_path)
    monkeypatch.undo()
    trained, end = [], training.Follow.on_epoch_end
    monkeypatch.setattr(
        training.Follow,
        "on_epoch_end",
        lambda self, epoch, logs: trained.append(epoch) or end(self, epoch, logs),
    )
    train(speech, folder=tmp_path)
    assert trained == [3]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04half", b"text"])
def test_a_torn_checkpoint_is_left_alone(speech, tmp_path, content):
    (tmp_path / training.CHECKPOINT).write_bytes(content)
    model = small(speech)
    assert training.Follow(model, speech, PLAIN, None, None, tmp_path).resume() == 0


def test_a_short_training_writes_no_checkpoint(speech, tmp_path):
    train(speech, folder=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_seed_gives_the_same_numbers_twice(speech):
    one, again, other = (train(speech, seed=seed) for seed in (3, 3, 4))
    assert_same(again, one)
    assert one[1].history != other[1].history


@pytest.mark.parametrize(("share", "epochs"), [(0.5, 2), (0.6, 3), (1.0, 4)])
def test_the_weights_of_the_last_epochs_are_averaged(speech, monkeypatch, share, epochs):
    after, end = [], training.Follow.on_epoch_end
    monkeypatch.setattr(
        training.Follow,
        "on_epoch_end",
        lambda self, epoch, logs: after.append(self.model.get_weights()) or end(self, epoch, logs),
    )
    model, _ = train(speech, replace(PLAIN, averaging=share))
    assert len(after) == 4
    for found, *kept in zip(model.get_weights(), *after[-epochs:], strict=True):
        np.testing.assert_allclose(found, np.mean(kept, axis=0), atol=1e-6)
        assert (found != kept[-1]).any()


def test_history_is_the_mean_over_the_epochs_utterances(speech):
    """With a learning rate of next to nothing the network is the same for every batch."""
    still = replace(PLAIN, epochs=1, learning_rate=1e-12)
    shape = (*speech.shape[1:], 1)
    plain = keras.Sequential([keras.Input(shape), layers.Flatten(), layers.Dense(3, "softmax")])
    model, follow = train(speech, still, lambda values: plain)
    p = keras.ops.convert_to_numpy(model(speech[TRAIN][..., None]))
    y = one_hot(TRUTH, 3, still.smoothing)[TRAIN]
    (row,) = follow.history
    assert row["accuracy"] == pytest.approx((p.argmax(1) == TRUTH[TRAIN]).mean(), abs=1e-6)
    margins = y * np.maximum(0.9 - p, 0) ** 2 + 0.5 * (1 - y) * np.maximum(p - 0.1, 0) ** 2
    assert row["loss"] == pytest.approx(margins.sum(1).mean(), rel=1e-5)


def test_history_tells_loss_and_accuracy_of_every_epoch(speech):
    _, follow = train(speech)
    assert [row["epoch"] for row in follow.history] == [0, 1, 2, 3]
    assert all(set(row) == {"epoch", "loss", "accuracy"} for row in follow.history)
    assert all(np.isfinite(row["loss"]) for row in follow.history)


def test_nothing_is_computed_that_nobody_asked_for(speech, monkeypatch):
    monkeypatch.setattr(training, "predict", pytest.fail)
    given = []
    get = training.Batches.__getitem__
    monkeypatch.setattr(
        training.Batches, "__getitem__", lambda self, index: given.append(index) or get(self, index)
    )
    _, follow = train(speech)
    assert follow.best is None
    assert given == [0] + [0, 1, 2] * 4  # one for its shape, three batches of four epochs


@pytest.mark.parametrize(("part", "metric"), [("validation", "uar"), ("test", "war")])
def test_the_best_epoch_is_kept(speech, monkeypatch, part, metric):
    """Whatever the network learns, the second epoch is made to look best, the fourth as good."""
    right = np.eye(3, dtype=np.float32)[TRUTH[WATCHED]]
    wrong = np.roll(right, 1, axis=1)
    half = np.concatenate([right[:3], wrong[3:]])
    told = iter([wrong, right, half, right])
    weights = []

    def predict(model, features, rows, recipe):
        np.testing.assert_array_equal(rows, WATCHED)
        weights.append(model.get_weights())
        return next(told)

    monkeypatch.setattr(training, "predict", predict)
    model, follow = train(speech, watch=(part, WATCHED))
    assert follow.best["epoch"] == 1 and follow.best["mark"] == 1
    np.testing.assert_array_equal(follow.best["probabilities"], right)
    expected = scores(TRUTH[WATCHED], half.argmax(axis=1))[metric]
    found = [row[f"{part}_{metric}"] for row in follow.history]
    assert found == [0, 1, pytest.approx(expected), 1]
    if part == "validation":
        for kept, then, last in zip(
            follow.best["weights"], weights[1], model.get_weights(), strict=True
        ):
            np.testing.assert_array_equal(kept, then)
            assert (kept != last).any()


def test_watching_changes_nothing_that_is_learnt(speech):
    alone, _ = train(speech)
    watched, follow = train(speech, watch=("test", WATCHED))
    for one, other in zip(alone.get_weights(), watched.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert all(0 <= row["test_uar"] <= 1 for row in follow.history)


def test_batches_hold_every_row_once_in_another_order_every_epoch(speech):
    labels = one_hot(TRUTH, 3)
    batches = training.Batches(speech, TRAIN, labels, recipe=PLAIN, seed=1)
    assert len(batches) == 3
    orders = []
    for batches.epoch in (0, 1):
        drawn = [batches[index] for index in range(len(batches))]
        assert [len(x) for x, _ in drawn] == [8, 8, 4]
        x, y = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
        order = [int(np.flatnonzero((speech == one[..., 0]).all(axis=(1, 2)))[0]) for one in x]
        np.testing.assert_array_equal(y, labels[order])
        assert sorted(order) == TRAIN.tolist()
        orders.append(order)
    assert orders[0] != orders[1]


def test_batches_without_labels_are_in_order_and_not_augmented(speech):
    batches = training.Batches(speech, WATCHED, recipe=RICH)
    np.testing.assert_array_equal(batches[0][..., 0], speech[WATCHED])


def test_predict_is_the_network_on_the_rows(speech):
    model, _ = train(speech)
    found = training.predict(model, speech, WATCHED, PLAIN)
    expected = keras.ops.convert_to_numpy(model(speech[WATCHED][..., None], training=False))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_one_cycle_rises_and_falls():
    recipe = Recipe("cycle", schedule="one-cycle", learning_rate=0.01)
    rate = training.optimizer(recipe, 100)._learning_rate
    rates = [float(rate(step)) for step in range(101)]
    assert rates[0] == pytest.approx(0.01 / 25)
    assert int(np.argmax(rates)) == 30 and max(rates) == pytest.approx(0.01, rel=1e-5)
    assert (np.diff(rates[:31]) > 0).all() and (np.diff(rates[30:]) < 0).all()
    assert rates[100] < 0.01 / 900


def test_plateau_rises_falls_and_stays():
    recipe = Recipe("flat", schedule="plateau", learning_rate=0.01)
    rate = training.optimizer(recipe, 100)._learning_rate
    rates = [float(rate(step)) for step in range(101)]
    assert int(np.argmax(rates)) == 20 and max(rates) == pytest.approx(0.01, rel=1e-5)
    assert (np.diff(rates[:21]) > 0).all() and (np.diff(rates[20:51]) < 0).all()
    np.testing.assert_allclose(rates[50:], 0.003, rtol=1e-5)


def test_optimizer_is_the_recipes():
    plain = training.optimizer(PLAIN, 10)
    assert isinstance(plain, keras.optimizers.Adam) and not plain.weight_decay
    assert (plain.beta_1, plain.beta_2, plain.epsilon) == (0.975, 0.932, 1e-8)
    decayed = training.optimizer(RICH, 10)
    assert isinstance(decayed, keras.optimizers.AdamW) and decayed.weight_decay == 0.01
