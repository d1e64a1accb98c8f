from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import layers

from ctl_helpers.errors import StudyError
from ctl_helpers.networks import adaptation, backend, build, training
from ctl_helpers.networks.capsules import Dropout
from ctl_helpers.networks.losses import one_hot
from ctl_helpers.networks.recipes import Recipe, recipe
from ctl_helpers.scores import scores

PLAIN = Recipe("plain", epochs=4, batch_size=8, learning_rate=0.02)
RICH = replace(
    PLAIN,
    schedule="plateau",
    averaging=0.75,
    weight_decay=0.01,
    shift=3,
    cutmix=0.5,
)
TRANSFER = recipe("quick", True, epochs=4, batch_size=8)
STILL = replace(PLAIN, learning_rate=1e-12)  # of next to nothing: the network stays what it is
TRUTH = np.arange(27) % 3
TRAIN, WATCHED = np.arange(20), np.arange(20, 27)


class Stopped(Exception):
    """As a kill, behind an epoch."""


@pytest.fixture(scope="module")
def speech():
    """Values of 27 utterances of three emotions, hard to tell apart."""
    values = np.random.default_rng(0).normal(size=(27, 40, 39))
    return (values + TRUTH[:, None, None] * 0.1).astype(np.float32)


def small(shape=(40, 39), dropout=0.25, norm=False):
    """A network that is built in no time and has dropout, as CPAC, and batch statistics."""
    inputs = keras.Input(shape)
    x = layers.Flatten()(layers.AveragePooling1D(4)(inputs))
    x = Dropout(dropout)(layers.BatchNormalization()(x) if norm else x)
    return keras.Model(inputs, layers.Dense(3, "softmax")(Dropout(dropout / 2)(x)))


def watching(part):
    return training.Watch(part, WATCHED, TRUTH[WATCHED])


def train(values, chosen=PLAIN, make=small, seed=0, watch=None, after_epoch=None, **options):
    """Train from the very beginning; return the network and its training."""
    backend.prepare(seed)
    model = make()
    training.compile_model(model, chosen, len(TRAIN))
    labels = one_hot(TRUTH, 3, chosen.smoothing)
    batches = training.Batches(values, TRAIN, labels, recipe=chosen, seed=seed)
    trained = training.Training(model, batches, chosen, watch, values, **options)
    return model, trained.run(after_epoch)


def adapt(values, after_epoch=None, **options):
    """Train with margin disparity towards the watched part."""
    backend.prepare(4)
    model = build(TRANSFER, (40, 39), 3)
    adapting = adaptation.training_model(model, "caam-mdd", TRANSFER)
    training.compile_model(adapting, TRANSFER, 20)
    labels = one_hot(TRUTH, 3)
    batches = training.Pairs(values, TRAIN, WATCHED, labels, recipe=TRANSFER, seed=4)
    trained = training.Training(adapting, batches, TRANSFER, **options)
    return model, trained.run(after_epoch)


def stop_behind(number):
    def after_epoch(epoch):
        if epoch + 1 == number:
            raise Stopped

    return after_epoch


def assert_same(one, other):
    for mine, theirs in zip(one[0].get_weights(), other[0].get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert one[1].history == other[1].history
    assert one[1].best.get("epoch") == other[1].best.get("epoch")
    if one[1].best:
        np.testing.assert_array_equal(one[1].best["probabilities"], other[1].best["probabilities"])


@pytest.mark.parametrize(
    "run",
    [
        train,
        lambda *a, **o: train(*a, watch=watching("test"), **o),
        lambda *a, **o: train(
            *a, RICH, lambda: small(norm=True), watch=watching("validation"), **o
        ),
        adapt,
    ],
    ids=["plain", "best test", "rich", "adaptation"],
)
def test_a_stopped_training_goes_on_as_if_it_had_not_been(speech, tmp_path, run):
    whole = run(speech)
    assert [row["epoch"] for row in whole[1].history] == [0, 1, 2, 3]
    with pytest.raises(Stopped):
        run(speech, folder=tmp_path, seconds=0, after_epoch=stop_behind(2))
    assert [file.name for file in tmp_path.iterdir()] == [training.CHECKPOINT]
    trained = []
    resumed = run(speech, folder=tmp_path, after_epoch=trained.append)
    assert trained == [2, 3]
    assert_same(resumed, whole)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04half", b"text"])
def test_a_torn_checkpoint_is_left_alone(speech, tmp_path, content):
    (tmp_path / training.CHECKPOINT).write_bytes(content)
    trained = []
    train(speech, replace(PLAIN, epochs=1), folder=tmp_path, after_epoch=trained.append)
    assert trained == [0]


def test_a_short_training_writes_no_checkpoint(speech, tmp_path):
    train(speech, folder=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_seed_gives_the_same_numbers_twice(speech):
    one, again, other = (train(speech, seed=seed) for seed in (3, 3, 4))
    assert_same(again, one)
    assert one[1].history != other[1].history


def test_a_loss_that_is_not_finite_ends_the_training(speech):
    with pytest.raises(StudyError, match=r"expected a finite loss, got .* of 4 \(recipe plain\)"):
        train(speech * np.float32("nan"), replace(PLAIN, loss="cross-entropy"))


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="other backends keep this loss finite"
)
def test_a_loss_that_overflows_ends_the_training(speech):
    with pytest.raises(StudyError, match=r"expected a finite loss, got .* of 4 \(recipe plain\)"):
        train(speech * 1e20, replace(PLAIN, learning_rate=1e30, loss="cross-entropy"))


@pytest.mark.parametrize(("share", "epochs"), [(0.5, 2), (0.6, 3), (1.0, 4)])
def test_the_weights_of_the_last_epochs_are_averaged(speech, share, epochs):
    after, model = [], small()
    model, _ = train(
        speech,
        replace(PLAIN, averaging=share),
        lambda: model,
        after_epoch=lambda epoch: after.append(model.get_weights()),
    )
    assert len(after) == 4
    for found, *kept in zip(model.get_weights(), *after[-epochs:], strict=True):
        np.testing.assert_allclose(found, np.mean(kept, axis=0), atol=1e-6)
        assert (found != kept[-1]).any()


def test_history_is_the_mean_over_the_epochs_utterances(speech):
    model, trained = train(speech, replace(STILL, epochs=1), lambda: small(dropout=0))
    p = keras.ops.convert_to_numpy(model(speech[TRAIN]))
    y = one_hot(TRUTH, 3, STILL.smoothing)[TRAIN]
    (row,) = trained.history
    assert set(row) == {"epoch", "loss", "accuracy"} and trained.best == {}
    assert row["accuracy"] == pytest.approx((p.argmax(1) == TRUTH[TRAIN]).mean(), abs=1e-6)
    margins = y * np.maximum(0.9 - p, 0) ** 2 + 0.5 * (1 - y) * np.maximum(p - 0.1, 0) ** 2
    assert row["loss"] == pytest.approx(margins.sum(1).mean(), rel=1e-5)


@pytest.mark.parametrize(("part", "metric"), [("validation", "uar"), ("test", "war")])
def test_the_best_epoch_is_kept(part, metric):
    """Whatever is learned: weights are set so that the second epoch is best, the fourth as good."""
    values = np.eye(3, dtype=np.float32)[TRUTH][:, None]
    right = 9 * np.eye(3, dtype=np.float32)
    wrong, half = np.roll(right, 1, axis=1), right * [1, 1, -1]
    inputs = keras.Input((1, 3))
    dense = layers.Dense(3, "softmax", use_bias=False)
    model = keras.Model(inputs, dense(layers.Flatten()(inputs)))
    dense.set_weights([wrong])
    kernels = [right, half, right, wrong]
    _, trained = train(
        values,
        STILL,
        lambda: model,
        watch=watching(part),
        after_epoch=lambda epoch: dense.set_weights([kernels[epoch]]),
    )
    best, truth = trained.best, TRUTH[WATCHED]
    assert best["epoch"] == 1 and best["mark"] == 1
    np.testing.assert_array_equal(best["probabilities"].argmax(axis=1), truth)
    expected = scores(truth, (values[WATCHED, 0] @ half).argmax(axis=1))[metric]
    assert 0 < expected < 1
    found = [row[f"{part}_{metric}"] for row in trained.history]
    assert found == [0, 1, pytest.approx(expected), 1]
    if part == "validation":
        np.testing.assert_allclose(best["weights"][0], right, atol=1e-5)


def test_watching_changes_nothing_that_is_learned(speech):
    alone, _ = train(speech)
    watched, trained = train(speech, watch=watching("test"))
    for one, other in zip(alone.get_weights(), watched.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert all(0 <= row["test_uar"] <= 1 for row in trained.history)


def order_of(drawn, values):
    """Which utterances a batch holds."""
    return [int(np.flatnonzero((values == one).all(axis=(1, 2)))[0]) for one in drawn]


def test_batches_hold_every_row_once_in_another_order_every_epoch(speech):
    labels = one_hot(TRUTH, 3)
    batches = training.Batches(speech, TRAIN, labels, recipe=PLAIN, seed=1)
    assert len(batches) == 3
    orders = []
    for epoch in (0, 1):
        drawn = [batches[epoch, index] for index in range(len(batches))]
        assert [len(x) for x, _ in drawn] == [8, 8, 4]
        x, y = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
        order = order_of(x, speech)
        np.testing.assert_array_equal(y, labels[order])
        assert sorted(order) == TRAIN.tolist()
        orders.append(order)
    assert orders[0] != orders[1]


def pairs_of(rows, seed=3):
    values = np.arange(sum(rows), dtype="float32")[:, None, None]
    source, target = np.split(np.arange(sum(rows)), rows[:1])
    labels = np.eye(sum(rows), dtype="float32")
    labels[target] = np.nan  # nobody may look at them
    pairs = training.Pairs(values, source, target, labels, recipe=TRANSFER, seed=seed)
    return pairs, values, source, labels


def test_pairs_hold_as_many_of_both_and_all_of_the_longer():
    for rows in (6, 16), (16, 6):
        pairs, *_ = pairs_of(rows)
        drawn = [pairs[0, index] for index in range(len(pairs))]
        assert len(pairs) == 2
        sides = [np.concatenate([x[i].ravel() for x, _ in drawn]).astype(int) for i in (0, 1)]
        for found, count in zip(sides, rows, strict=True):
            repeated = np.bincount(found - found.min(), minlength=count)
            expected = [1] * 16 if count == 16 else [2, 2, 3, 3, 3, 3]  # as evenly as can be
            assert sorted(repeated) == expected
        labels = np.concatenate([y for _, y in drawn])
        np.testing.assert_array_equal(labels.argmax(axis=1), sides[0])


def test_the_labelled_half_of_pairs_is_what_batches_give_alone():
    pairs, values, source, labels = pairs_of((6, 16))
    repeated = training.repeat(source, 16, seed=3)
    alone = training.Batches(values, repeated, labels, recipe=TRANSFER, seed=3)
    for epoch in range(2):
        for index in range(2):
            drawn, expected = pairs[epoch, index], alone[epoch, index]
            np.testing.assert_array_equal(drawn[0][0], expected[0])
            np.testing.assert_array_equal(drawn[1], expected[1])


def test_pairs_follow_from_seed_epoch_and_place_and_are_shuffled_apart():
    first, later = pairs_of((16, 16))[0], pairs_of((16, 16))[0]
    first[0, 0]
    for one, other in zip(first[1, 1][0], later[1, 1][0], strict=True):
        np.testing.assert_array_equal(one, other)
    (source, target), _ = first[1, 0]
    assert (source.ravel() + 16 != target.ravel()).any()  # sorted alike, they must not pair up


def test_predict_is_the_network_on_the_rows(speech):
    model = small()
    found = training.predict(model, speech, WATCHED)
    expected = keras.ops.convert_to_numpy(model(speech[WATCHED], training=False))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_plateau_rises_falls_and_stays():
    chosen = Recipe("flat", schedule="plateau", learning_rate=0.01)
    rate = training.optimizer(chosen, 100)._learning_rate
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
