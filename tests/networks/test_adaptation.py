"""Methods of adaptation against NumPy, gradient reversal against the chain rule."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from toys import write_code

from ctl_helpers.networks import ADAPTATIONS, adaptation, backend
from ctl_helpers.networks.adaptation.method import GradientReversal
from ctl_helpers.networks.cpac import with_embedding
from ctl_helpers.networks.recipes import recipe
from ctl_helpers.plugins import load

RECIPE = recipe("quick", across=True, gamma=1.6)
ROWS, DIMENSION, CLASSES = 12, 7, 5


@pytest.fixture
def points():
    """Embeddings and probabilities of two corpora."""
    rng = np.random.default_rng(3)
    z = rng.normal(np.array([0.0, 0.5])[:, None, None], size=(2, ROWS, DIMENSION))
    return [*z.astype("float32"), *rng.dirichlet(np.ones(CLASSES), (2, ROWS)).astype("float32")]


def method(name, points):
    """Make the layer of a method and the value of its discrepancy."""
    place, settings = ADAPTATIONS[name]
    layer = load(place)(RECIPE, **settings)
    tensors = [ops.convert_to_tensor(point) for point in points]
    passed = layer([ops.concatenate(tensors[:2]), ops.concatenate(tensors[2:])])
    np.testing.assert_array_equal(passed, points[2])
    return layer, float(layer.discrepancy(*tensors))


def softmax(logits):
    e = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def adversarial_head(layer, z):
    kernel, bias = layer.head.get_weights()
    return softmax(np.maximum(z, 0) @ kernel + bias)


def discriminate(layer, x):
    """Probability of the source."""
    weights = layer.discriminator.get_weights()
    for kernel, bias in zip(weights[::2], weights[1::2], strict=True):
        x = x @ kernel + bias
        if kernel.shape[1] > 1:
            x = np.maximum(x, 0)
    return 1 / (1 + np.exp(-x[:, 0]))


def test_caam_as_released_takes_soft_labels_and_renormalises(points):
    layer, found = method("caam-released", points)
    z_source, z_target, p_source, p_target = points
    q_source, q_target = adversarial_head(layer, z_source), adversarial_head(layer, z_target)
    other = (1 - q_target) / (1 - q_target).sum(axis=1, keepdims=True)
    expected = -(p_target * np.log(other)).sum(1).mean()
    expected += 1.6 * -(p_source * np.log(q_source)).sum(1).mean()
    assert found == pytest.approx(expected, rel=1e-5)


def test_mdd_as_published_takes_the_most_probable_label(points):
    layer, found = method("caam-mdd", points)
    z_source, z_target, p_source, p_target = points
    q_source, q_target = adversarial_head(layer, z_source), adversarial_head(layer, z_target)
    rows = np.arange(ROWS)
    expected = -np.log(1 - q_target[rows, p_target.argmax(1)]).mean()
    expected += 1.6 * -np.log(q_source[rows, p_source.argmax(1)]).mean()
    assert found == pytest.approx(expected, rel=1e-5)


def test_dann_is_the_cross_entropy_of_a_discriminator(points):
    layer, found = method("dann", points)
    source, target = discriminate(layer, points[0]), discriminate(layer, points[1])
    expected = -0.5 * (np.log(source).mean() + np.log(1 - target).mean())
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ["cdan", "cdan-e"])
def test_cdan_sees_the_outer_product_and_weighs_by_entropy(name, points):
    layer, found = method(name, points)
    means = []
    for z, p, is_source in ((points[0], points[2], True), (points[1], points[3], False)):
        joint = np.stack(
            [np.outer(one_p, one_z).ravel() for one_p, one_z in zip(p, z, strict=True)]
        )
        guess = discriminate(layer, joint)
        weights = 1 + np.exp((p * np.log(p)).sum(1)) if name == "cdan-e" else np.ones(ROWS)
        means.append(np.average(-np.log(guess if is_source else 1 - guess), weights=weights))
    assert found == pytest.approx(np.mean(means), rel=1e-4)


def test_coral_is_the_distance_of_covariances(points):
    _, found = method("coral", points)
    difference = np.cov(points[0].T) - np.cov(points[1].T)
    assert found == pytest.approx((difference**2).sum() / (4 * DIMENSION**2), rel=1e-4)


@pytest.mark.parametrize("name", list(ADAPTATIONS)[1:])
def test_a_last_batch_of_one_utterance_has_a_finite_loss(name, points):
    assert np.isfinite(method(name, [side[:1] for side in points])[1])


@pytest.mark.parametrize("name", ["mmd", "jan"])
def test_kernel_alignment_pair_by_pair(name, points):
    _, found = method(name, points)
    z, p = np.concatenate(points[:2]), np.concatenate(points[2:])
    pairs = [(a, b) for a in range(2 * ROWS) for b in range(2 * ROWS)]
    unit = np.mean([((z[a] - z[b]) ** 2).sum() for a, b in pairs])
    total = 0.0
    for a, b in pairs:
        distance = ((z[a] - z[b]) ** 2).sum() / unit
        kernel = np.mean([np.exp(-distance / 2.0**power) for power in range(-2, 3)])
        if name == "jan":
            kernel *= np.exp(-((p[a] - p[b]) ** 2).sum() / 1.68)
        total += kernel * (1 if (a < ROWS) == (b < ROWS) else -1)
    assert found == pytest.approx(total / ROWS**2, rel=1e-3)


def test_information_is_the_negated_mutual_information(points):
    _, found = method("information", points)
    p = points[3]
    joint = p / len(p)  # every utterance as probable as any other
    apart = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    assert found == pytest.approx(-(joint * np.log(joint / apart)).sum(), rel=1e-4)


@pytest.mark.parametrize("name", ["coral", "mmd", "jan"])
def test_equal_corpora_do_not_differ(name, points):
    same = [points[0], points[0], points[2], points[2]]
    assert method(name, same)[1] == pytest.approx(0, abs=1e-6)


def trained_once(model, x, y, rate=1.0):
    """Take one step down the gradient; return what it took off the weights."""
    before = model.get_weights()
    model.compile(keras.optimizers.SGD(rate), "mse")
    model.train_on_batch(x, y)
    return [old - new for old, new in zip(before, model.get_weights(), strict=True)]


def test_reversal_turns_the_gradient_with_the_weight_of_its_schedule():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(6, 3)).astype("float32"), rng.normal(size=(6, 1)).astype("float32")
    inputs = keras.Input((3,))
    reversal = GradientReversal(strength=0.8, steps=1000.0)
    hidden = layers.Dense(2, use_bias=False)(inputs)
    model = keras.Model(inputs, layers.Dense(1, use_bias=False)(reversal(hidden)))
    first, second = (layer.get_weights()[0] for layer in (model.layers[1], model.layers[-1]))
    reversal.step.assign(700.0)

    changed = dict(zip([w.path for w in model.weights], trained_once(model, x, y), strict=True))
    changed = [value for path, value in changed.items() if "kernel" in path]
    error = 2 * (x @ first @ second - y) / len(x)
    weight = 0.8 * (2 / (1 + np.exp(-0.7)) - 1)
    np.testing.assert_allclose(changed[1], (x @ first).T @ error, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(changed[0], -weight * x.T @ error @ second.T, rtol=1e-4, atol=1e-6)
    assert float(reversal.step) == 701


def test_reversal_begins_at_nothing_and_counts_training_steps_alone():
    reversal = GradientReversal()
    x = ops.ones((2, 3))
    np.testing.assert_array_equal(reversal(x), x)
    assert float(reversal.step) == 0
    reversal(x, training=True)
    reversal(x, training=True)
    assert float(reversal.step) == 2


class Movable(layers.Layer):
    """Embeddings that are weights, with a method's loss on them."""

    def __init__(self, method, points):
        super().__init__()
        self.method, self.p = method, points[2:]
        self.z = [self.add_weight(z.shape, name=f"z_{i}") for i, z in enumerate(points[:2])]
        for variable, value in zip(self.z, points[:2], strict=True):
            variable.assign(value)

    def call(self, inputs):
        self.add_loss(self.method.discrepancy(*self.z, *map(ops.convert_to_tensor, self.p)))
        return inputs


def test_margin_disparity_teaches_its_head_and_misleads_the_encoder(points):
    def disparity(z, layer):
        q = [adversarial_head(layer, np.asarray(part)) for part in z]
        rows = np.arange(ROWS)
        on_source = -np.log(q[0][rows, points[2].argmax(1)]).mean()
        return 1.6 * on_source - np.log(1 - q[1][rows, points[3].argmax(1)]).mean()

    layer, before = method("caam-mdd", points)
    layer.reversal.step.assign(1e6)  # the full weight
    movable = Movable(layer, points)
    inputs = keras.Input((1,))
    trained_once(keras.Model(inputs, movable(inputs)), np.zeros((1, 1)), np.zeros((1, 1)), 0.05)
    moved = [ops.convert_to_numpy(z) for z in movable.z]
    after = disparity(points[:2], layer)
    assert after < before - 1e-4
    assert disparity(moved, layer) > after + 1e-4


def small():
    """An encoder and a head that are built in no time; what is around them does not matter."""
    inputs = keras.Input((40, 39))
    x = layers.Dense(6, "tanh", name="embedding")(layers.GlobalAveragePooling1D()(inputs))
    return keras.Model(inputs, layers.Dense(3, "softmax")(x))


def speech(seed, rows=8):
    return np.random.default_rng(seed).normal(size=(rows, 40, 39)).astype("float32")


@pytest.mark.parametrize("name", ["source-only", "caam-released"])
def test_training_model_gives_the_predictors_probabilities_of_the_source(name):
    backend.prepare(1)
    model = small()
    trained = adaptation.training_model(model, name, RECIPE)
    x = speech(0) if name == "source-only" else (speech(0), speech(1))
    np.testing.assert_allclose(
        trained.predict(x, verbose=0), model.predict(speech(0), verbose=0), atol=1e-6
    )
    own = {id(weight) for weight in trained.trainable_weights}
    assert own >= {id(weight) for weight in model.trainable_weights}


def test_predictor_is_the_published_encoder_and_head():
    model = adaptation.predictor(172, 39, 5)
    with_scale = adaptation.predictor(172, 39, 5, attention="scaled")
    # CPAC's 321 799 for six emotions, less 65 of the sixth; less the attention's scale.
    assert model.count_params() == 321_799 - 65 - 1
    assert with_scale.count_params() == 321_799 - 65


def test_the_task_head_is_a_constant_in_the_adversarial_losses():
    """With the reversal's weight at 0, its first value, a step is that of the source alone."""
    y = np.eye(3, dtype="float32")[[0, 1, 2, 0, 1, 2, 0, 1]]
    weights = []
    for name in ("source-only", "caam-released", "cdan-e"):
        backend.prepare(1)
        model = small()
        trained = adaptation.training_model(model, name, RECIPE)
        trained.compile(keras.optimizers.SGD(1.0), "categorical_crossentropy")
        before = model.get_weights()
        x = speech(0) if name == "source-only" else (speech(0), speech(1))
        trained.train_on_batch(x, y)
        weights.append(np.concatenate([weight.ravel() for weight in model.get_weights()]))
        assert np.abs(weights[-1] - np.concatenate([w.ravel() for w in before])).max() > 1e-3
    np.testing.assert_allclose(weights[1], weights[0], atol=1e-6)
    np.testing.assert_allclose(weights[2], weights[0], atol=1e-6)


TOY = '''
from keras import ops
from ctl_helpers.networks.adaptation.method import Method

class Nearer(Method):
    """The distance of the means, whatever the scale."""

    def discrepancy(self, z_source, z_target, p_source, p_target, training=False):
        distance = ops.abs(ops.mean(z_source, axis=0) - ops.mean(z_target, axis=0))
        return ops.mean(distance) / ops.mean(ops.abs(z_source))
'''


def test_a_method_is_one_class_and_one_line_in_the_table(monkeypatch, tmp_path):
    file = write_code(tmp_path, "nearer.py", TOY)
    monkeypatch.setitem(ADAPTATIONS, "nearer", (f"{file}:Nearer", {}))
    backend.prepare(1)
    model = small()
    trained = adaptation.training_model(model, "nearer", RECIPE.change(strength=30.0))
    trained.compile("sgd", "categorical_crossentropy")
    y = np.eye(3, dtype="float32")[[0, 1, 2, 0, 1, 2, 0, 1]]
    embed = with_embedding(model)
    z_source, z_target = (embed.predict(speech(seed), verbose=0)[1] for seed in (0, 1))
    label_loss = -np.log(model.predict(speech(0), verbose=0)[y > 0]).mean()
    logs = trained.train_on_batch((speech(0), speech(1)), y, return_dict=True)
    distance = np.abs(z_source.mean(0) - z_target.mean(0)).mean() / np.abs(z_source).mean()
    assert logs["discrepancy"] == pytest.approx(distance, rel=1e-3)
    assert logs["loss"] == pytest.approx(label_loss + 30 * distance, rel=1e-3)
