"""Transfer between corpora: who is kept, adapted to and scored; what a run holds."""

import json
from dataclasses import replace

import keras
import numpy as np
import pandas as pd
import pytest
from keras import ops

from ctl_helpers.errors import StudyError
from ctl_helpers.features.mfcc import Features, FeatureSettings
from ctl_helpers.features.normalisation import frame_statistics
from ctl_helpers.methods import transfers
from ctl_helpers.methods.transfers import (
    LABELS,
    pairs,
    svm_on_features,
    transfer,
    transfer_features,
)
from ctl_helpers.networks import adaptation, backend, training
from ctl_helpers.networks.adaptation.method import Method
from ctl_helpers.networks.losses import one_hot
from ctl_helpers.networks.recipes import recipe, transfer_recipe
from ctl_helpers.results.runs import load_history, load_predictions

# Small enough to train in a second, still the whole way.
SETTINGS = {"epochs": 2, "batch_size": 8, "learning_rate": 0.01, "normalisation": "corpus"}
NETWORK = {"convolutions": False, "capsule_gain": 30.0, "head_gain": 4.0, "reversal_steps": 5.0}
RECIPE = transfer_recipe("quick", **SETTINGS, **NETWORK)


def corpus(name, emotions, speakers=4, takes=1, seed=0):
    """Invent a corpus: every speaker says everything, each emotion on a level of its own."""
    rows = [
        {"emotion": emotion, "speaker": f"s{speaker}", "text": str(take)}
        for speaker in range(speakers)
        for emotion in emotions
        for take in range(takes)
    ]
    manifest = pd.DataFrame(rows).assign(corpus=name, sex="f", duration=1.0, sampling_rate=16_000)
    manifest["path"] = [f"/data/{name}/{row:03d}.wav" for row in range(len(rows))]
    level = manifest["emotion"].map(sorted(emotions).index).to_numpy() + 5.0 * seed
    values = np.random.default_rng(seed).normal(level[:, None, None], 1, (len(rows), 40, 39))
    speech = np.tile([0, 40], (len(rows), 1))
    settings = FeatureSettings(samples=96_000)
    return Features(values.astype("float32"), manifest, settings, f"key of {name}", speech)


def standardised(values):
    return (values - values.mean(axis=(0, 1))) / values.std(axis=(0, 1))


@pytest.fixture(scope="module")
def source():
    return corpus("casia", ["angry", "happy", "sad", "surprise"])


@pytest.fixture(scope="module")
def target():
    return corpus("emodb", ["angry", "boredom", "happy", "sad"], speakers=5, takes=2, seed=1)


@pytest.fixture(scope="module")
def runs(source, target, tmp_path_factory):
    """A run without adaptation and one of CAAM, with the store they lie in."""
    store = tmp_path_factory.mktemp("runs")
    frames = [
        transfer(source, target, RECIPE, method=method, store=store, jobs=1)
        for method in ("source-only", "caam-released")
    ]
    return store, pd.concat(frames, ignore_index=True)


def test_a_run_holds_what_the_tables_and_figures_read(runs, source, target):
    store, frame = runs
    assert set(frame["task"]) == {"transfer"}
    assert set(frame["protocol"]) == {"transductive"}
    assert list(frame["method"]) == ["source-only", "caam-released"]
    assert (frame["source"] + frame["target"] == "casiaemodb").all()
    assert set(frame["utterances"]) == {5 * 3 * 2}
    assert set(frame["train_utterances"]) == {4 * 3}

    predictions = load_predictions(store, frame)
    columns = ["p_angry", "p_happy", "p_sad"]
    assert [name for name in predictions if name.startswith("p_")] == columns
    np.testing.assert_allclose(predictions[columns].sum(axis=1), 1, atol=1e-4)
    assert set(predictions["corpus"]) == {"emodb"}
    assert set(predictions["emotion"]) == {"angry", "happy", "sad"}
    right = predictions["emotion"] == predictions["predicted"]
    np.testing.assert_allclose(right.groupby(predictions["run"], sort=False).mean(), frame["war"])

    history = load_history(store, frame)
    assert list(history.groupby("run").size()) == [2, 2]
    assert (history.groupby("run")["loss"].last() < history.groupby("run")["loss"].first()).all()
    assert (history["discrepancy"] > 0).tolist() == [False, False, True, True]
    for run in frame["run"]:
        with np.load(store / run / "embeddings.npz", allow_pickle=False) as arrays:
            assert arrays["embeddings"].shape == (30, 64)
            assert arrays["source_embeddings"].shape == (12, 64)
            assert list(arrays["source_emotions"][:3]) == ["angry", "happy", "sad"]
        spec = json.loads((store / run / "spec.json").read_text())
        assert spec["recipe"]["gamma"] == 1.5  # published for CASIA -> EmoDB
        assert spec["labels"] == "emotion"


def test_the_saved_network_predicts_what_was_written(runs, target):
    store, frame = runs
    run = frame["run"][1]
    model = keras.saving.load_model(store / run / "model.keras")
    known = standardised(target.values[target.manifest["emotion"] != "boredom"])
    written = load_predictions(store, frame[1:])[["p_angry", "p_happy", "p_sad"]]
    np.testing.assert_allclose(
        model.predict(known[..., None], verbose=0), written, rtol=1e-4, atol=1e-5
    )


def test_a_run_that_is_there_is_not_computed_again(runs, source, target, monkeypatch):
    store, frame = runs
    monkeypatch.setattr(transfers, "_run_transfer", None)
    again = transfer(source, target, RECIPE, method="source-only", store=store, jobs=1)
    assert list(again["run"]) == [frame["run"][0]]


def test_source_only_is_training_on_the_source_without_any_target(runs, source, target):
    store, frame = runs
    part = source.select(np.flatnonzero(source.manifest["emotion"] != "surprise"))
    backend.prepare(0)
    model = adaptation.predictor(40, 39, 3, **training.network(RECIPE))
    training.compile_model(model, RECIPE, 30)
    labels = one_hot(part.manifest["emotion"].map(["angry", "happy", "sad"].index), 3)
    rows = training.repeat(np.arange(12), 30, seed=0)
    training.fit(model, standardised(part.values), labels, rows, RECIPE, seed=0)
    known = standardised(target.values[target.manifest["emotion"] != "boredom"])
    written = load_predictions(store, frame[:1])[["p_angry", "p_happy", "p_sad"]]
    found = model.predict(known[..., None], verbose=0)
    np.testing.assert_allclose(found, written, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_labels_of_the_target_change_no_prediction(runs, source, target, tmp_path):
    store, frame = runs
    kept = target.manifest["emotion"] != "boredom"
    told = target.manifest["emotion"].copy()
    told[kept] = np.random.default_rng(0).permutation(told[kept])
    other = replace(target, manifest=target.manifest.assign(emotion=told), key="other labels")
    again = transfer(source, other, RECIPE, method="caam-released", store=tmp_path, jobs=1)
    first, second = load_predictions(store, frame[1:]), load_predictions(tmp_path, again)
    assert (first["emotion"] != second["emotion"]).any()
    assert first["p_angry"].std() > 0.01  # it has something to say
    for column in ("utterance", "predicted", "p_angry", "p_happy", "p_sad"):
        np.testing.assert_array_equal(first[column], second[column])


@pytest.mark.slow
def test_training_goes_on_from_a_checkpoint_as_if_never_stopped(
    source, target, tmp_path, monkeypatch
):
    class Stopped(Exception):
        pass

    monkeypatch.setattr(training, "_SECONDS_BETWEEN_CHECKPOINTS", -1)
    whole, _ = transfers.shared(source, target)
    classes = ["angry", "happy", "sad"]
    changes = replace(RECIPE, epochs=3)
    rows = (np.arange(12), np.arange(40))
    labels = one_hot(whole.manifest["emotion"].map(classes.index), 3)

    def train(folder, stop=None):
        backend.prepare(4)
        model = adaptation.predictor(40, 39, 3, **training.network(changes))
        trained = adaptation.training_model(model, "caam-mdd", changes)
        training.compile_model(trained, changes, 40)
        batches = training.Pairs(
            (whole.values, rows[0]), (target.values, rows[1]), labels, recipe=changes, seed=4
        )
        follow = training.Follow(trained, None, changes, None, None, folder)
        if stop is not None:
            save = follow._save

            def save_and_stop():
                save()
                if len(follow.history) == stop:
                    raise Stopped

            follow._save = save_and_stop
        training.fit_batches(trained, batches, follow)
        return model.get_weights(), follow.history

    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir(), two.mkdir()
    expected, history = train(one)
    with pytest.raises(Stopped):
        train(two, stop=1)
    found, resumed = train(two)
    for a, b in zip(expected, found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)
    assert [row["epoch"] for row in resumed] == [row["epoch"] for row in history] == [0, 1, 2]
    assert resumed[-1]["loss"] == pytest.approx(history[-1]["loss"], rel=1e-5)


class Nearer(Method):
    """A method from outside the package."""

    def discrepancy(self, z_source, z_target, p_source, p_target, training=False):
        return ops.mean(ops.square(ops.mean(z_source, axis=0) - ops.mean(z_target, axis=0)))


@pytest.mark.slow
def test_inductive_scoring_of_an_added_method_scores_each_half_once(
    source, target, tmp_path, monkeypatch
):
    monkeypatch.setitem(adaptation.METHODS, "nearer", Nearer)
    frame = transfer(
        *(source, target, replace(RECIPE, epochs=1)),
        method="nearer",
        scoring="inductive",
        labels="valence",
        store=tmp_path,
        jobs=1,
    )
    assert list(frame["split"]) == ["half 0", "half 1"]
    predictions = load_predictions(tmp_path, frame)
    assert set(predictions["emotion"]) == {"positive", "negative"}
    assert len(predictions) == len(target.manifest) == predictions["utterance"].nunique()
    assert predictions.groupby("speaker")["run"].nunique().eq(1).all()


def batches_of(recipe, rows=(6, 16), seed=3):
    values = [np.arange(n, dtype="float32")[:, None, None] + 100 * i for i, n in enumerate(rows)]
    labels = np.eye(rows[0], dtype="float32")
    both = [(value, np.arange(len(value))) for value in values]
    return training.Pairs(*both, labels, recipe=recipe, seed=seed), (*both[0], labels)


def test_pairs_hold_as_many_of_both_and_all_of_the_longer():
    pairs, _ = batches_of(RECIPE)
    drawn = [pairs[index] for index in range(len(pairs))]
    assert len(pairs) == 2
    source, target = (np.concatenate([x[i].ravel() for x, _ in drawn]).astype(int) for i in (0, 1))
    assert sorted(target) == list(range(100, 116))
    assert sorted(np.bincount(source)) == [2, 2, 3, 3, 3, 3]  # 16 of 6, as evenly as can be
    labels = np.concatenate([y for _, y in drawn])
    np.testing.assert_array_equal(labels.argmax(axis=1), source)


def test_the_labelled_half_of_pairs_is_what_batches_give_alone():
    pairs, (values, rows, labels) = batches_of(RECIPE)
    repeated = training.repeat(rows, 16, seed=3)
    alone = training.Batches(values, repeated, labels, recipe=RECIPE, seed=3)
    for epoch in range(2):
        pairs.epoch = alone.epoch = epoch
        for index in range(2):
            np.testing.assert_array_equal(pairs[index][0][0], alone[index][0])
            np.testing.assert_array_equal(pairs[index][1], alone[index][1])


def test_pairs_follow_from_seed_epoch_and_place_and_are_shuffled_apart():
    first, _ = batches_of(RECIPE, rows=(16, 16))
    later, _ = batches_of(RECIPE, rows=(16, 16))
    first[0]
    first.epoch = later.epoch = 1
    for one, other in zip(first[1][0], later[1][0], strict=True):
        np.testing.assert_array_equal(one, other)
    (source, target), _ = first[0]
    assert (source.ravel() + 100 != target.ravel()).any()  # sorted alike, they must not pair up


def test_only_shared_emotions_are_kept(source, target):
    kept_source, kept_target = transfers.shared(source, target)
    for kept in (kept_source, kept_target):
        assert set(kept.manifest["emotion"]) == {"angry", "happy", "sad"}
    assert len(kept_source.manifest) == 12
    assert len(kept_target.manifest) == 30
    np.testing.assert_array_equal(
        kept_target.values, target.values[target.manifest["emotion"] != "boredom"]
    )


def test_arousal_and_valence_keep_every_emotion(source, target):
    _, kept = transfers.shared(source, target, "arousal")
    assert len(kept.manifest) == len(target.manifest)
    told = dict(zip(target.manifest["emotion"], kept.manifest["emotion"], strict=True))
    assert told == {"angry": "high", "happy": "high", "boredom": "low", "sad": "low"}


def test_label_sets_cover_the_nine_emotions():
    from ctl_helpers.corpora import EMOTIONS

    for mapping in (LABELS["arousal"], LABELS["valence"]):
        assert set(mapping) == set(EMOTIONS)
        assert len(set(mapping.values())) == 2


def test_halves_of_speakers_change_with_the_seed(target):
    seen = set()
    for seed in range(8):
        (_, adapt, test), (_, adapt_again, test_again) = transfers._splits(
            target.manifest, "inductive", seed
        )
        speakers = target.manifest["speaker"].to_numpy()
        assert not set(speakers[adapt]) & set(speakers[test])
        assert sorted([*adapt, *test]) == list(range(len(target.manifest)))
        np.testing.assert_array_equal(adapt_again, test)
        np.testing.assert_array_equal(test_again, adapt)
        seen.add(frozenset(speakers[adapt]))
    assert len(seen) > 1


def normalised(source, target, kind, adapt):
    job = transfers.TransferJob(
        *({}, source, target, adapt, adapt, replace(RECIPE, normalisation=kind), None, 1)
    )
    return transfers._normalised(job)


def test_resampled_versions_of_both_corpora_are_normalised_alike(source, target):
    adapt = np.arange(16)
    for kind, moved in (("corpus", 0), ("global", 3)):
        recipe = replace(RECIPE, normalisation=kind, resampled=(1.1,))
        versions = tuple(
            (replace(side, values=side.values + 3 * side.values.std()),)
            for side in (source, target)
        )
        job = transfers.TransferJob(*({}, source, target, adapt, adapt, recipe, None, 1, versions))
        for features, rows in zip(transfers._normalised(job), (slice(None), adapt), strict=True):
            (version,) = features.versions
            away = version[rows].mean() - features[rows].mean()
            assert away == pytest.approx(0, abs=1e-3) if not moved else away > 1


def test_normalisation_over_both_corpora(source, target):
    adapt = np.arange(16)
    every = np.arange(len(target.manifest))
    x_source, x_target = normalised(source, target, "corpus", every)
    for values in (x_source[:], x_target[:]):
        np.testing.assert_allclose(values.mean(axis=(0, 1)), 0, atol=1e-4)
        np.testing.assert_allclose(values.std(axis=(0, 1)), 1, atol=1e-4)

    _, x_target = normalised(source, target, "corpus", adapt)  # nothing of who is but scored
    np.testing.assert_allclose(x_target[adapt].mean(axis=(0, 1)), 0, atol=1e-4)
    assert np.abs(x_target[every[16:]].mean(axis=(0, 1))).max() > 1e-3

    _, x_target = normalised(source, target, "global", adapt)
    mean, deviation = frame_statistics(source.values)
    np.testing.assert_allclose(x_target[:], (target.values - mean) / deviation, atol=1e-4)

    several = replace(target, manifest=target.manifest.assign(corpus=["emodb", "own"] * 20))
    _, x_target = normalised(source, several, "corpus", every)
    for rows in (every[::2], every[1::2]):
        np.testing.assert_allclose(x_target[rows].mean(axis=(0, 1)), 0, atol=1e-4)

    x_source, x_target = normalised(source, target, "speaker", adapt)
    for features, values in ((source, x_source[:]), (target, x_target[:])):
        for rows in features.manifest.groupby("speaker").indices.values():
            np.testing.assert_allclose(values[rows].mean(axis=(0, 1)), 0, atol=1e-4)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"method": "magic"}, "method: expected one of source-only"),
        ({"scoring": "both"}, "scoring: expected one of transductive, inductive, got 'both'"),
        ({"labels": "mood"}, "labels: expected one of emotion, arousal, valence, got 'mood'"),
        ({"recipe": recipe("quick")}, "recipe: expected a TransferRecipe, got Recipe"),
        ({"target": corpus("casia", ["angry", "sad"])}, "expected two corpora, got 'casia'"),
        ({"target": corpus("own", ["angry", "calm"])}, "two emotions or more that casia and own"),
        (
            {"target": replace(corpus("own", ["sad"]), settings=FeatureSettings(samples=88_000))},
            "expected features of both corpora with the same settings",
        ),
        (
            {"target": corpus("own", ["angry", "sad"], speakers=1), "scoring": "inductive"},
            "scoring 'inductive': expected a target of two speakers or more",
        ),
    ],
)
def test_what_does_not_fit_is_told_in_one_line(source, target, tmp_path, changes, told):
    given = {"source": source, "target": target, "recipe": RECIPE, "store": tmp_path} | changes
    with pytest.raises(StudyError, match=told) as error:
        transfer(**given)
    assert "\n" not in str(error.value)


def test_features_of_all_corpora_share_a_length(miniature, tmp_path):
    from ctl_helpers.corpora import load_manifest

    part = load_manifest(miniature, "savee", jobs=1).iloc[:2].reset_index(drop=True)
    released = transfer_features(part, jobs=1, cache=tmp_path)
    assert released.values.shape == (2, 188, 39)  # 1 + 96 000 // 512
    assert transfer_features(part, "paper", jobs=1, cache=tmp_path).values.shape == (2, 348, 39)
    with pytest.raises(StudyError, match="feature preset: expected one of paper, released"):
        transfer_features(part, "other")


def test_every_ordered_pair_comes_once():
    found = pairs(["casia", "emodb", "ravdess", "savee"])
    assert len(found) == len(set(found)) == 12
    assert all(a != b for a, b in found)


def embedded(folder, spread, speakers=10, takes=20):
    """Fabricate what svm_on_features reads: classes apart within a speaker, speakers far apart."""
    rng = np.random.default_rng(0)
    speaker = np.repeat(np.arange(speakers), takes)
    emotion = np.tile(np.arange(takes) % 2, speakers)
    z = rng.normal(0, 0.05, (len(speaker), 64))
    z[np.arange(len(speaker)), speaker] += spread * rng.choice([-1, 1], len(speaker))
    z[:, 63] += emotion
    frame = pd.DataFrame(
        {"speaker": speaker.astype(str), "emotion": np.array(["sad", "happy"])[emotion]}
    )
    folder.mkdir(exist_ok=True)
    np.savez(folder / "embeddings.npz", embeddings=z.astype("float32"))
    frame.to_csv(folder / "predictions.csv", index=False)
    return folder


def test_svm_on_features_separates_what_can_be(tmp_path):
    run = embedded(tmp_path / "run", 0.0)
    for split in ("random", "speaker"):
        table = svm_on_features(run, split, repeats=3)
        assert list(table["uar"]) == list(table["war"]) == [1, 1, 1]
        assert set(table["train"]) == {160}
        assert set(table["test"]) == {40}
    pd.testing.assert_frame_equal(table, svm_on_features(run, "speaker", repeats=3))


@pytest.mark.parametrize(("utterances", "tested"), [(408, 82), (1000, 200), (360, 72)])
def test_a_fifth_tests_as_the_published_figures_betray(tmp_path, utterances, tested):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "embeddings.npz", embeddings=rng.normal(size=(utterances, 2)))
    emotions = np.where(np.arange(utterances) % 2, "sad", "happy")
    frame = pd.DataFrame({"speaker": "", "emotion": emotions})
    frame.to_csv(tmp_path / "predictions.csv", index=False)
    assert set(svm_on_features(tmp_path, repeats=1)["test"]) == {tested}
    with pytest.raises(StudyError, match="expected two speakers or more, got 1"):
        svm_on_features(tmp_path, "speaker")


def test_svm_on_features_tells_what_is_missing(tmp_path):
    with pytest.raises(StudyError, match="expected a run with"):
        svm_on_features(tmp_path)
    with pytest.raises(StudyError, match="split: expected one of random, speaker"):
        svm_on_features(tmp_path, "fold")
