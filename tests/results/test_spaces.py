"""Spaces before and after adaptation, and the distance of corpora in them."""

import json
import shutil

import fabricated
import numpy as np
import pandas as pd
import pytest

from ctl_helpers.errors import StudyError
from ctl_helpers.features import Features
from ctl_helpers.networks.recipes import TRANSFER_RECIPES
from ctl_helpers.results import spaces
from ctl_helpers.results.runs import load_predictions, load_runs
from ctl_helpers.runs.store import RunStore


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return fabricated.fill(tmp_path_factory.mktemp("store"), folds=1).root


def cloud(offset, sizes=(60, 60), seed=0):
    points = np.random.default_rng(seed).normal(size=(sum(sizes), 4))
    points[: sizes[0], 0] += offset
    return points, np.repeat(["casia", "emodb"], sizes)


def test_the_distance_is_that_of_the_best_linear_border():
    # Of two normal clouds d deviations apart, the best border errs in Phi(-d / 2).
    for apart, error in ((1.0, 0.3085), (2.0, 0.1587), (4.0, 0.0228)):
        found = spaces.proxy_a_distance(*cloud(apart, (1500, 1500)))
        assert found == pytest.approx(2 * (1 - 2 * error), abs=0.08)
    assert spaces.proxy_a_distance(*cloud(0.0, (1500, 1500))) == pytest.approx(0, abs=0.15)
    assert spaces.proxy_a_distance(*cloud(50.0)) == 2


def test_the_larger_corpus_does_not_count_for_more():
    found = spaces.proxy_a_distance(*cloud(2.0, (3000, 300)))
    assert found == pytest.approx(2 * (1 - 2 * 0.1587), abs=0.15)
    assert spaces.proxy_a_distance(*cloud(0.0, (3000, 300))) == pytest.approx(0, abs=0.25)


def test_what_is_no_pair_of_corpora_is_named():
    with pytest.raises(StudyError, match="expected two corpora, got casia"):
        spaces.proxy_a_distance(np.zeros((4, 2)), ["casia"] * 4)
    assert np.isnan(spaces.proxy_a_distance(np.eye(3), ["casia", "emodb", "emodb"]))


def joined(values, corpora, emotions):
    manifest = pd.DataFrame({"corpus": corpora, "emotion": emotions, "speaker": "a"})
    return Features(values, manifest, "toy", failed={2: "by hand"})


def test_the_features_of_both_corpora_over_shared_emotions():
    values = np.random.default_rng(0).normal(size=(6, 20, 3)).astype(np.float32)
    corpora = ["casia"] * 3 + ["emodb"] * 3
    emotions = ["angry", "happy", "happy", "boredom", "happy", "angry"]
    space = spaces.feature_space(joined(values, corpora, emotions))
    rows = [0, 1, 4, 5]
    assert list(space.labels["corpus"]) == ["casia", "casia", "emodb", "emodb"]
    assert list(space.labels["emotion"]) == ["angry", "happy", "happy", "angry"]
    expected = np.concatenate([values[rows].mean(axis=1), values[rows].std(axis=1)], axis=1)
    np.testing.assert_allclose(space.points, expected)
    plain = spaces.feature_space(joined(values[:, 0], corpora, emotions))
    np.testing.assert_array_equal(plain.points, values[rows, 0])


def test_nearest_neighbours_by_plain_loops():
    generator = np.random.default_rng(1)
    points = generator.normal(size=(30, 3)) * [1, 10, 100]
    labels = pd.DataFrame({"emotion": generator.choice(["a", "b", "c"], 30), "corpus": "x"})
    labels["speaker"] = [""] * 10 + ["1", "2"] * 10
    found = spaces.neighbours(spaces.Space(points, labels), ("emotion", "speaker", "corpus"))
    found = found.set_index("by")
    assert list(found.index) == ["emotion", "speaker"]  # a single corpus says nothing
    for by, rows in (("emotion", slice(0, 30)), ("speaker", slice(10, 30))):
        some, values = points[rows] / points[rows].std(axis=0), labels[by].to_numpy()[rows]
        same, chance = [], []
        for i, point in enumerate(some):
            others = [j for j in range(len(some)) if j != i]
            nearest = min(others, key=lambda j: ((some[j] - point) ** 2).sum())
            same.append(values[nearest] == values[i])
            chance.append(np.mean([values[j] == values[i] for j in others]))
        assert found.loc[by, "share"] == pytest.approx(np.mean(same))
        assert found.loc[by, "chance"] == pytest.approx(np.mean(chance))
        assert found.loc[by, "utterances"] == len(some)


def test_a_runs_space_is_its_source_and_its_scored_target(store):
    runs = load_runs(store)
    run = runs.loc[runs["source"] != "", "run"].iloc[0]
    space = spaces.run_space(store / run)
    told = load_predictions(store, runs[runs["run"] == run])
    assert space.points.shape == (len(space.labels), 8)
    assert list(space.labels["emotion"][100:]) == list(told["emotion"])
    pair = runs.set_index("run").loc[run]
    assert list(space.labels["corpus"].unique()) == [pair["source"], pair["target"]]
    inside = runs.loc[runs["source"] == "", "run"].iloc[0]
    alone = spaces.run_space(store / inside)
    assert set(alone.labels["corpus"]) == {"casia"} and alone.points.shape == (120, 8)
    with pytest.raises(StudyError, match="expected a run with embeddings"):
        spaces.run_space(store)


def test_distances_per_method_with_the_interval_over_seeds(store, tmp_path):
    runs = load_runs(store)
    points, corpora = cloud(50.0)
    before = spaces.Space(points, pd.DataFrame({"corpus": corpora, "emotion": "sad"}))
    pair = runs[runs["source"] == "casia"]
    table = spaces.distances(store, pair, before).set_index("method")
    assert table.index[0] == "features" and table["distance"].iloc[0] == 2
    assert table.loc["source-only", "distance"] > 1.9 > table.loc["caam-mdd", "distance"] + 0.3
    assert (table["runs"][1:] == 3).all()
    row = table.loc["caam-mdd"]
    found = [
        spaces.proxy_a_distance(space.points, space.labels["corpus"])
        for space in (
            spaces.run_space(store / run) for run in pair.loc[pair["method"] == "caam-mdd", "run"]
        )
    ]
    assert row["distance"] == pytest.approx(np.mean(found))
    assert row["distance_low"] < min(found) <= max(found) < row["distance_high"]
    assert len(spaces.distances(store, runs)) == 6
    assert spaces.distances(tmp_path, runs, before).empty


def test_sides_of_several_corpora_are_a_source_and_a_target(tmp_path):
    recipe = fabricated.recipe("released", recipes=TRANSFER_RECIPES)
    pair = {"source": "casia+ravdess", "target": "emodb", "protocol": "transductive"}
    pair |= {"method": "source-only", "split": "all", "recipe": recipe}
    run = fabricated.add_run(RunStore(tmp_path), **pair)
    points, corpora = cloud(50.0, (90, 60))
    corpora = corpora.astype("U7")
    corpora[:30] = "ravdess"
    before = spaces.Space(points, pd.DataFrame({"corpus": corpora, "emotion": "sad"}))
    table = spaces.distances(tmp_path, load_runs(tmp_path), before)
    assert table["distance"].iloc[0] == 2 and len(table) == 2
    told = pd.read_csv(run / "predictions.csv")
    told["corpus"] = np.resize(["emodb", "savee"], len(told))  # a target of two
    told.to_csv(run / "predictions.csv", index=False)
    space = spaces.run_space(run)
    of_target = space.labels["corpus"] != "casia+ravdess"
    of_target = spaces.Space(space.points[of_target], space.labels[of_target])
    found = spaces.svm_on_features(run, repeats=3)
    alone = tmp_path / "alone"
    shutil.copytree(run, alone)
    spec = json.loads((alone / "spec.json").read_text())
    spec["problem"]["source"] = ""
    (alone / "spec.json").write_text(json.dumps(spec))
    told.assign(corpus="emodb").to_csv(alone / "predictions.csv", index=False)
    pd.testing.assert_frame_equal(found, spaces.svm_on_features(alone, repeats=3))


def test_the_svm_on_labelled_targets_stands_beside_the_published_one(store, tmp_path):
    runs = load_runs(store)
    pair = runs[runs["source"] == "casia"]
    table = spaces.labelled_svm(store, pair, repeats=2)
    ours = table[table["reported_by"] == "this study"]
    assert set(zip(ours["method"], ours["split"], strict=True)) == {
        (method, split) for method in pair["method"].unique() for split in ("random", "speaker")
    }
    row = ours[(ours["method"] == "caam-mdd") & (ours["split"] == "speaker")].iloc[0]
    of_method = pair.loc[pair["method"] == "caam-mdd", "run"]
    each = [spaces.svm_on_features(store / run, "speaker", 2)["uar"].mean() for run in of_method]
    assert row["runs"] == len(each) == 3
    assert row["uar"] == pytest.approx(100 * np.mean(each))
    assert row["uar_low"] <= 100 * min(each) <= 100 * max(each) <= row["uar_high"]
    theirs = table[table["method"] == "CAAM+SVM"].iloc[0]
    assert (theirs["uar"], theirs["war"]) == (66.83, 69.51)  # table S5, CASIA to EmoDB
    assert spaces.labelled_svm(tmp_path, runs).empty
