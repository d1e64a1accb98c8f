"""Networks as methods: what is trained on, adapted to and looked at."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from toys import CHANGES, NETWORK, toy_features, toy_manifest, write_code

from ctl_helpers.errors import StudyError
from ctl_helpers.methods import parse
from ctl_helpers.methods.network import normalised
from ctl_helpers.networks import build, training
from ctl_helpers.networks.backend import prepare
from ctl_helpers.networks.cpac import with_embedding
from ctl_helpers.networks.losses import one_hot
from ctl_helpers.protocols import problems_across, problems_inside, validation_part
from ctl_helpers.runs.model import load_network, save_network

CASIA = ("angry", "happy", "sad", "surprise")
EMODB = ("angry", "boredom", "happy", "sad")


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    return f"{write_code(tmp_path_factory.mktemp('code'), 'mine.py', NETWORK)}:network"


@pytest.fixture
def method(network):
    def make(name="", normalisation="global", selection="last", **changes):
        changes = CHANGES | {"settings": {}} | changes
        if name:  # of adaptation, with a network that is built in no time
            changes["network"] = network
        return parse(f"{name or network}/released", normalisation, selection, changes, bool(name))

    return make


def inside(protocol="kfold", only=0, **options):
    manifest = toy_manifest(**options)
    problem = problems_inside(manifest, protocol, 2, only=[only])[0]
    return problem.with_features(toy_features(manifest))


def across(scoring="transductive", labels="emotion"):
    """Twelve of one corpus to thirty of another, whose level is another."""
    casia, emodb = toy_manifest(CASIA, 16, corpus="casia"), toy_manifest(EMODB, 40, 5, "emodb")
    both = {"casia": casia, "emodb": emodb}
    problems = problems_across(both, "casia", "emodb", scoring, labels)
    features = toy_features(problems[0].manifest, level=2.0)
    values = np.array(features.values)
    values[problems[0].manifest["corpus"] == "emodb"] += 5
    return [problem.with_features(replace(features, values=values)) for problem in problems]


def test_validation_picks_an_epoch_on_whole_speakers_of_the_training_part(method, tmp_path):
    problem = inside("loso", only=1)
    outcome = method(selection="validation", epochs=4).run(problem, 3, tmp_path)
    train, rows = validation_part(problem.train, problem.manifest, True, seed=3)
    assert outcome.details["validation"] == len(rows) == 6
    assert set(outcome.probabilities) == {"validation"}
    history = outcome.history
    best = int(np.argmax([row["validation_uar"] for row in history]))
    assert outcome.epochs == {"validation": best}
    assert not any("test" in name for row in history for name in row)
    # As a training of only so many epochs on the rest.
    chosen = replace(method(epochs=best + 1).recipe, epochs=best + 1)
    shorter = replace(problem, train=train)
    alone = replace(method(), recipe=chosen).run(shorter, 3, tmp_path / "alone")
    np.testing.assert_allclose(
        outcome.probabilities["validation"], alone.probabilities["last"], atol=1e-6
    )


@pytest.mark.parametrize("selection", ["last", "validation"])
def test_labels_of_the_test_part_change_nothing(method, tmp_path, selection):
    problem = inside()
    labels = problem.manifest["emotion"].to_numpy(copy=True)
    labels[problem.test] = labels[problem.test][::-1]
    other = replace(problem, manifest=problem.manifest.assign(emotion=labels))
    assert (problem.truth != other.truth).any()
    chosen = method(selection=selection)
    first, second = (chosen.run(one, 0, tmp_path).probabilities for one in (problem, other))
    np.testing.assert_array_equal(first[selection], second[selection])


def test_embeddings_are_those_of_the_test_part(method, tmp_path):
    problem = inside()
    outcome = method(normalisation="none").run(problem, 0, tmp_path)
    x = problem.features[0].values[problem.test]
    p, z = map(keras.ops.convert_to_numpy, with_embedding(outcome.model)(x))
    np.testing.assert_allclose(outcome.probabilities["last"], p, atol=1e-5)
    np.testing.assert_allclose(outcome.embeddings["embeddings"], z, atol=1e-5)
    assert set(outcome.embeddings) == {"embeddings"}


KEPT = """
from keras import Input, Model, Sequential, layers

BASE = []

def network(frames, coefficients, classes, dropout=0.0):
    if not BASE:
        shape = Input((frames, coefficients))
        BASE.append(Sequential([shape, layers.GlobalAveragePooling1D(), layers.Dense(8)]))
        BASE[0].trainable = not dropout
    inputs = Input((frames, coefficients))
    return Model(inputs, layers.Dense(classes, "softmax")(BASE[0](inputs)))
"""


def test_a_layer_that_a_file_keeps_carries_nothing_into_the_next_fold(tmp_path):
    first, second = inside(), inside(only=1)
    found = []
    for folder, folds in (("both", (first, second)), ("alone", (second,))):
        file = write_code(tmp_path / folder, "mine.py", KEPT)
        chosen = parse(f"{file}:network/released", "global", changes=CHANGES | {"settings": {}})
        found.append([chosen.run(fold, 0, tmp_path).probabilities["last"] for fold in folds][-1])
    np.testing.assert_array_equal(*found)


def test_a_layer_that_an_installed_module_keeps_is_refused_once_it_is_trained(
    tmp_path, monkeypatch
):
    monkeypatch.syspath_prepend(write_code(tmp_path, "keeps_layers.py", KEPT).parent)
    monkeypatch.syspath_prepend(write_code(tmp_path, "keeps_frozen.py", KEPT).parent)
    trained, frozen = (
        parse(f"{name}:network/released", "global", changes=CHANGES | {"settings": settings})
        for name, settings in (("keeps_layers", {}), ("keeps_frozen", {"dropout": 0.5}))
    )
    for _ in range(2):
        frozen.run(inside(), 0, tmp_path)
    trained.run(inside(), 0, tmp_path)
    with pytest.raises(StudyError, match=r"keeps_layers:network: expected new weights") as caught:
        trained.run(inside(only=1), 0, tmp_path)
    assert "\n" not in str(caught.value)


def test_settings_of_keras_in_a_file_are_its_own_and_the_same_in_every_fold(method, tmp_path):
    setting = 'import keras\nkeras.config.set_floatx("float64")\n'
    file = write_code(tmp_path, "mine.py", setting + NETWORK)
    precise = parse(f"{file}:network/released", "global", changes=CHANGES | {"settings": {}})
    before = method().run(inside(), 0, tmp_path)
    folds = [precise.run(inside(only=fold), 0, tmp_path).model for fold in (0, 1)]
    assert {str(w.dtype) for model in folds for w in model.weights} == {"float64"}
    after = method().run(inside(), 0, tmp_path)
    np.testing.assert_array_equal(before.probabilities["last"], after.probabilities["last"])
    assert before.history == after.history


SHAPES = """
import keras
from keras import Input, Model, Sequential, layers

class Odd(layers.Layer):
    def __init__(self, what, **kwargs):
        super().__init__(**kwargs)
    def call(self, x):
        return x

def end(frames, coefficients, odd=False):
    inputs = Input((frames, coefficients))
    x = layers.GlobalAveragePooling1D(name="card")(inputs)
    return inputs, Odd(object())(x) if odd else x

def functional(frames, coefficients, classes):
    inputs, x = end(frames, coefficients)
    return Model(inputs, layers.Dense(classes, "softmax")(x))

def sequential(frames, coefficients, classes):
    return Sequential([layers.GlobalAveragePooling1D(), layers.Dense(classes, "softmax")])

def dictionary(frames, coefficients, classes):
    model = functional(frames, coefficients, classes)
    return Model(model.inputs, {"emotion": model.output})

def sigmoid(frames, coefficients, classes):
    inputs, x = end(frames, coefficients)
    return Model(inputs, layers.Dense(classes, "sigmoid")(x))

def nan(frames, coefficients, classes):
    inputs, x = end(frames, coefficients)
    bias = keras.initializers.Constant(float("nan"))
    return Model(inputs, layers.Dense(classes, "softmax", bias_initializer=bias)(x))

def two(frames, coefficients, classes):
    model = functional(frames, coefficients, classes)
    other = Input((1,))
    return Model([model.input, other], layers.Multiply()([model.output, other]))

def odd(frames, coefficients, classes):
    inputs, x = end(frames, coefficients, odd=True)
    return Model(inputs, layers.Dense(classes, "softmax")(x))

class Class(Model):
    def __init__(self, classes):
        super().__init__()
        self.head = layers.Dense(classes, "softmax")
    def call(self, x):
        return self.head(keras.ops.mean(x, axis=1))

def subclass(frames, coefficients, classes):
    return Class(classes)
"""


@pytest.mark.parametrize("name", ["functional", "sequential", "dictionary"])
def test_a_network_in_any_of_these_forms_is_trained_and_saved(tmp_path, name):
    file, changes = write_code(tmp_path, "mine.py", SHAPES), CHANGES | {"settings": {}}
    outcomes = [
        parse(f"{file}:{one}/released", "global", changes=changes).run(inside(), 0, tmp_path)
        for one in (name, "functional")
    ]
    first, second = (outcome.probabilities["last"] for outcome in outcomes)
    np.testing.assert_array_equal(first, second)
    assert outcomes[0].embeddings["embeddings"].shape == (12, 4)
    save_network(outcomes[0].model, outcomes[0].card, tmp_path / "model.keras")
    network, card = load_network(tmp_path / "model.keras")
    assert card["classes"] == ["angry", "sad"]
    x = inside().features[0].values[:3]
    expected = keras.ops.convert_to_numpy(outcomes[0].model(x))
    np.testing.assert_allclose(network.predict_on_batch(x), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sigmoid", r"expected finite probabilities .* \(no softmax\?\)"),
        ("nan", "expected finite probabilities .* 0% of them finite"),
        ("two", "expected .* of one input"),
        ("subclass", "expected a functional Keras model, or a Sequential, .* got Class"),
        ("odd", "expected layers that can be saved, .*Odd"),
    ],
)
def test_a_network_that_cannot_be_used_is_not_trained_first(tmp_path, name, expected):
    file = write_code(tmp_path, "mine.py", SHAPES)
    changes = CHANGES | {"settings": {}, "epochs": 10**9}
    with pytest.raises(StudyError, match=f"mine.py:{name}: {expected}") as caught:
        parse(f"{file}:{name}/released", "global", changes=changes).run(inside(), 0, tmp_path)
    assert "\n" not in str(caught.value)


def test_training_sees_resampled_recordings_and_scoring_does_not(method, tmp_path):
    problem = inside()
    chosen = method(normalisation="none", resampled=(0.9, 1.2), features="released")
    assert [getattr(f, "factor", f) for f in chosen.features] == ["released", 0.9, 1.2]
    features = problem.features[0]
    versions = [replace(features, values=features.values + np.float32(100 * k)) for k in (1, 2)]
    outcome = chosen.run(problem.with_features(features, *versions), 0, tmp_path)
    plain = method(normalisation="none").run(problem, 0, tmp_path)
    assert outcome.history[0]["loss"] != plain.history[0]["loss"]
    p = keras.ops.convert_to_numpy(outcome.model(features.values[problem.test]))
    np.testing.assert_allclose(outcome.probabilities["last"], p, atol=1e-5)


def test_resampled_recordings_of_a_new_voice_learn_from_its_seconds_alone(tmp_path):
    (problem,) = across("transductive")
    problem = replace(problem, manifest=problem.manifest.assign(duration=2.0))
    problem = problem.with_features(*[problem.features[0]] * 2)  # played at the same speed
    recipe = parse("cpac/quick", "speaker-5s").recipe
    inputs = normalised(problem, recipe, problem.train)
    np.testing.assert_array_equal(inputs.versions[0][:], inputs[:])


def test_a_network_that_cannot_take_the_features_says_so(tmp_path):
    problem = inside()
    with pytest.raises(StudyError, match="at least 38 frames") as caught:
        parse("cpac/quick").run(problem, 0, tmp_path)
    assert "\n" not in str(caught.value)
    vectors = toy_features(problem.manifest, None)
    with pytest.raises(StudyError, match="at least 38 frames and 38 coefficients, got 1 x 4"):
        parse("cpac/quick", "global").run(problem.with_features(vectors), 0, tmp_path)
    deeper = replace(vectors, values=vectors.values[:, None, None])
    with pytest.raises(StudyError, match="expected features of frames x coefficients"):
        parse("cpac/quick", "none").run(problem.with_features(deeper), 0, tmp_path)


# Across corpora


def test_a_transfer_holds_what_tables_and_figures_read(method, tmp_path):
    (problem,) = across()
    outcomes = {
        name: method(name, "corpus", reversal_steps=1.0).run(problem, 0, tmp_path)
        for name in ("source-only", "caam-released")
    }
    for name, outcome in outcomes.items():
        assert outcome.probabilities["last"].shape == (30, 3)
        arrays = outcome.embeddings
        assert arrays["embeddings"].shape == (30, 6)
        assert arrays["source_embeddings"].shape == (12, 6)
        assert list(arrays["source_emotions"][:3]) == ["angry", "happy", "sad"]
        assert [("discrepancy" in row) for row in outcome.history] == [name != "source-only"] * 2
    first, second = (outcome.probabilities["last"] for outcome in outcomes.values())
    assert np.abs(first - second).max() > 1e-4  # adaptation does something


def test_source_only_is_training_on_the_source_without_any_target(method, tmp_path):
    (problem,) = across()
    chosen = method("source-only", "corpus")
    found = chosen.run(problem, 0, tmp_path).probabilities["last"]
    x = np.array(problem.features[0].values, np.float64)
    for rows in (problem.train, problem.test):
        x[rows] = (x[rows] - x[rows].mean(axis=(0, 1))) / x[rows].std(axis=(0, 1))
    x = x.astype(np.float32)
    prepare(0)
    model = build(chosen.recipe, x.shape[1:], 3)
    training.compile_model(model, chosen.recipe, 30)
    labels = one_hot(problem.truth[problem.train], 3, chosen.recipe.smoothing)
    rows = training.repeat(np.arange(12), 30, seed=0)  # as long as the target would make it
    batches = training.Batches(x[problem.train], rows, labels, recipe=chosen.recipe, seed=0)
    training.Training(model, batches, chosen.recipe).run()
    np.testing.assert_allclose(
        found, keras.ops.convert_to_numpy(model(x[problem.test])), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("name", ["caam-mdd", "mmd", "information"])
def test_labels_of_the_target_change_no_prediction(method, tmp_path, name):
    (problem,) = across()
    labels = problem.manifest["emotion"].to_numpy(copy=True)
    labels[problem.test] = np.random.default_rng(0).permutation(labels[problem.test])
    other = replace(problem, manifest=problem.manifest.assign(emotion=labels))
    assert (problem.truth[problem.test] != other.truth[problem.test]).any()
    chosen = method(name, "corpus")
    first, second = (chosen.run(one, 0, tmp_path).probabilities["last"] for one in (problem, other))
    assert first.std() > 0.01  # it has something to say
    np.testing.assert_array_equal(first, second)


def test_speech_that_is_only_scored_changes_no_training(method, tmp_path):
    first, _ = across("inductive", "valence")
    assert first.classes == ("negative", "positive") and len(first.test) < len(first.train) * 3
    features = first.features[0]
    values = np.array(features.values)
    values[first.test] += 3
    other = first.with_features(replace(features, values=values))
    for kind in ("corpus", "speaker"):
        chosen = method("caam-released", kind, epochs=1)
        weights = [chosen.run(one, 0, tmp_path).model.get_weights() for one in (first, other)]
        for one, two in zip(*weights, strict=True):
            np.testing.assert_array_equal(one, two)


def test_gamma_is_that_published_for_the_pair(method, tmp_path):
    (problem,) = across()
    own = method("caam-mdd", "corpus").run(problem, 0, tmp_path)
    as_published = method("caam-mdd", "corpus", gamma=1.5).run(problem, 0, tmp_path)
    other = method("caam-mdd", "corpus", gamma=4.0).run(problem, 0, tmp_path)
    assert own.history == as_published.history
    assert own.history[0]["discrepancy"] != other.history[0]["discrepancy"]
    turned = replace(problem, source="emodb", target="casia")
    assert method("caam-mdd", "corpus").run(turned, 0, tmp_path).history != own.history


def test_methods_suit_problems_of_their_kind(method):
    (problem,) = across()
    assert method("mmd").suits(problem) and not method().suits(problem)
    assert method().suits(inside()) and not method("mmd").suits(inside())
    held_out = inside("loso")
    assert method().suits(held_out) and method("mmd", "speaker").suits(held_out)
    # Shuffled folds hold no speaker out, and any other normalisation would not say that it listens.
    assert not method("mmd", "speaker").suits(inside())
    assert not method("mmd").suits(held_out) and not method("mmd", "speaker-5s").suits(held_out)


def test_adaptation_to_a_speaker_held_out_listens_and_sees_no_label(method, tmp_path):
    problem = inside("loso")
    mmd = method("mmd", "speaker")
    adapted = mmd.run(problem, 0, tmp_path)
    assert any(row["discrepancy"] for row in adapted.history)
    labels = problem.manifest["emotion"].to_numpy(copy=True)
    labels[problem.test] = labels[problem.test][::-1]
    other = replace(problem, manifest=problem.manifest.assign(emotion=labels))
    assert (problem.truth != other.truth).any()
    again = mmd.run(other, 0, tmp_path).probabilities["last"]
    np.testing.assert_array_equal(adapted.probabilities["last"], again)
    # The same training as from one corpus to another whose only speaker it is.
    pair = replace(problem, source="toy", target="toy", adapt=problem.test)
    as_target = mmd.run(pair, 0, tmp_path).probabilities["last"]
    np.testing.assert_array_equal(adapted.probabilities["last"], as_target)
    alone = method("source-only", "speaker").run(problem, 0, tmp_path).probabilities["last"]
    assert (adapted.probabilities["last"] != alone).any()


def test_a_perceptron_on_two_sets_of_vectors_beside_each_other(tmp_path):
    manifest = toy_manifest(utterances=48)
    sets = [toy_features(manifest, None, k, seed=k, level=4.0) for k in (5, 9)]
    problem = problems_inside(manifest, "loso")[0].with_features(*sets)
    found = parse("perceptron/functionals", "speaker", changes={"features": "x.npz+y.npz"})
    assert found.features == ("x.npz", "y.npz")
    outcome = found.run(problem, 0, tmp_path)
    assert outcome.model.input_shape == (None, 1, 14)
    predicted = outcome.probabilities["last"].argmax(axis=1)
    np.testing.assert_array_equal(predicted, problem.truth[problem.test])
    frames = problem.with_features(toy_features(manifest))
    with pytest.raises(StudyError, match=r"normalisation of recipe functionals.*got 'none'"):
        parse("perceptron/functionals", "none").run(problem, 0, tmp_path)
    with pytest.raises(StudyError, match="expected one vector per utterance"):
        found.run(frames.with_features(sets[0], *frames.features), 0, tmp_path)


def test_a_weighted_perceptron_sees_values_by_how_they_tell_emotions_apart(tmp_path):
    manifest = toy_manifest(utterances=48)
    problem = problems_inside(manifest, "kfold", 2)[0].with_features(
        toy_features(manifest, None, 9, level=4.0)
    )
    changes = {"features": "x.npz"}
    weighted = parse("perceptron/weighted", "global", changes=changes)
    plain, seen = (
        normalised(problem, parse(name, "global", changes=changes).recipe, problem.train).values
        for name in ("perceptron/functionals", "perceptron/weighted")
    )
    x, y = plain[problem.train, 0].astype(float), problem.truth[problem.train]
    groups = [x[y == code] for code in set(y)]
    between = sum(len(g) * (g.mean(axis=0) - x.mean(axis=0)) ** 2 for g in groups)
    weights = np.sqrt(between / sum(((g - g.mean(axis=0)) ** 2).sum(axis=0) for g in groups))
    expected = plain[:, 0] * weights / np.sqrt((weights**2).mean())
    np.testing.assert_allclose(seen[:, 0], expected, atol=1e-4)
    predicted = weighted.run(problem, 0, tmp_path).probabilities["last"].argmax(axis=1)
    np.testing.assert_array_equal(predicted, problem.truth[problem.test])
    with pytest.raises(StudyError, match=r"recipe weighted.* one vector per utterance"):
        network = parse("cpac/weighted", "global", changes={"features": "released"})
        network.run(problem.with_features(toy_features(manifest)), 0, tmp_path)


def test_an_emotion_without_utterances_weighs_nothing(tmp_path):
    manifest = toy_manifest(utterances=48)
    problem = problems_inside(manifest, "kfold", 2)[0].with_features(toy_features(manifest, None))
    train = problem.train[problem.truth[problem.train] > 0]
    found = parse("perceptron/weighted", "global", changes={"features": "x.npz"})
    outcome = found.run(replace(problem, train=train), 0, tmp_path)
    assert np.isfinite(outcome.probabilities["last"]).all()


def test_vectors_across_corpora(tmp_path):
    casia = toy_manifest(CASIA, 96, corpus="casia")
    emodb = toy_manifest(EMODB, 140, 5, corpus="emodb")
    (problem,) = problems_across({"casia": casia, "emodb": emodb}, "casia", "emodb")
    features = toy_features(problem.manifest, None, coefficients=12, level=8.0)
    chosen = parse("cdan-e/functionals", changes={"features": "x.npz"}, across=True)
    outcome = chosen.run(problem.with_features(features), 0, tmp_path)
    predicted = outcome.probabilities["last"].argmax(axis=1)
    assert np.mean(predicted == problem.truth[problem.test]) > 0.9
    assert np.isfinite([row["discrepancy"] for row in outcome.history]).all()
