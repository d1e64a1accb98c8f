import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from conftest import REPOSITORY
from scipy.special import softmax
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from toys import CLASSIFIER, toy_features, toy_manifest, write_code

from ctl_helpers.errors import StudyError
from ctl_helpers.methods import parse
from ctl_helpers.methods.shallow import CLASSIFIERS
from ctl_helpers.protocols import problems_across, problems_inside

EMOTIONS = ("angry", "happy", "sad")


def problem_of(manifest, *features, folds=2):
    return problems_inside(manifest, "kfold", folds)[0].with_features(*features)


def solve(text, problem, tmp_path, normalisation="own"):
    method = parse(text, normalisation, across=problem.across)
    return method.run(problem, 0, tmp_path).probabilities["last"]


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_every_classifier_learns_what_can_be_separated(tmp_path, classifier):
    manifest = toy_manifest(EMOTIONS, 36)
    features = toy_features(manifest, None, level=20.0)
    many = replace(features, values=np.tile(features.values, 50))  # as weak machines want them
    problem = problem_of(manifest, many)
    p = solve(f"x.npz+{classifier}", problem, tmp_path)
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(p.argmax(axis=1), problem.truth[problem.test])


@pytest.mark.parametrize(("normalisation", "by"), [("global", None), ("speaker", "speaker")])
def test_a_linear_machine_is_scikit_learns(tmp_path, normalisation, by):
    manifest = toy_manifest(EMOTIONS, 36)
    features = toy_features(manifest, None)
    problem = problem_of(manifest, features)
    found = solve("x.npz+linear", problem, tmp_path, normalisation)
    x = np.array(features.values, float)
    if by is None:
        x = StandardScaler().fit(x[problem.train]).transform(x)
    else:
        for rows in manifest.groupby(by).indices.values():
            x[rows] = StandardScaler().fit_transform(x[rows])
    machine = SVC(kernel="linear", C=0.01).fit(x[problem.train], problem.truth[problem.train])
    expected = softmax(machine.decision_function(x[problem.test]), axis=1)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_ridge_weighs_values_by_how_they_tell_emotions_apart(tmp_path):
    manifest = toy_manifest(EMOTIONS, 36)
    problem = problem_of(manifest, toy_features(manifest, None))
    found = solve("x.npz+ridge", problem, tmp_path)
    train, y = problem.train, problem.truth[problem.train]
    x = StandardScaler().fit(problem.features[0].values[train])
    x = x.transform(np.array(problem.features[0].values, float))
    groups = [x[train][y == code] for code in range(3)]
    between = sum(len(g) * g.mean(axis=0) ** 2 for g in groups) / 2  # the mean of all is 0
    within = sum(((g - g.mean(axis=0)) ** 2).sum(axis=0) for g in groups) / (len(train) - 3)
    x *= np.sqrt(between / within)
    squared = ((x[:, None] - x[None, train]) ** 2).sum(axis=-1)
    kernel = np.exp(-squared / squared[train].mean())
    targets = np.eye(3)[y]
    weights = np.linalg.solve(
        kernel[train] + 0.02 * np.eye(len(train)), targets - targets.mean(axis=0)
    )
    shares = kernel[problem.test] @ weights + targets.mean(axis=0)
    np.testing.assert_allclose(found, softmax(6 * shares, axis=1), atol=1e-4)


def test_ridge_takes_values_that_never_change_or_tell_the_emotion_alone(tmp_path):
    manifest = toy_manifest(EMOTIONS, 36)
    features, truth = toy_features(manifest, None), problem_of(manifest).truth
    constant = replace(features, values=np.ones_like(features.values))
    p = solve("x.npz+ridge", problem_of(manifest, constant), tmp_path)
    shares = np.bincount(problem_of(manifest).truth[problem_of(manifest).train]) / 18
    np.testing.assert_allclose(p, np.tile(softmax(6 * shares), (18, 1)), atol=1e-6)
    told = replace(features, values=np.column_stack([features.values, truth]).astype(np.float32))
    problem = problem_of(manifest, told)
    p = solve("x.npz+ridge", problem, tmp_path)
    np.testing.assert_array_equal(p.argmax(axis=1), problem.truth[problem.test])


def test_aligned_ridge_needs_a_corpus_or_speakers_that_are_new():
    def suited(normalisation, **how):
        problem = replace(problem_of(toy_manifest(EMOTIONS, 36)), **how)
        return parse("x.npz+aligned-ridge", normalisation).suits(problem)

    assert suited("speaker", held_out=True)
    assert suited("own", source="emodb", target="casia")
    assert not suited("own", held_out=True)
    assert not suited("speaker")


def test_two_classes_and_two_sets_of_features(tmp_path):
    manifest = toy_manifest(("angry", "sad"), 24)
    sets = [toy_features(manifest, None, k, seed=k) for k in (3, 5)]
    problem = problem_of(manifest, *sets)
    found = solve("x.npz+y.npz+linear", problem, tmp_path)
    # Side by side, each of the same total variance, and a variance of 1 a value over both.
    scaled = [StandardScaler().fit(s.values[problem.train]).transform(s.values) for s in sets]
    x = np.hstack([block * np.sqrt(4 / block.shape[1]) for block in scaled])
    machine = SVC(kernel="linear", C=0.01).fit(x[problem.train], problem.truth[problem.train])
    decision = machine.decision_function(x[problem.test])
    np.testing.assert_allclose(found, softmax(np.stack([-decision, decision], 1), 1), atol=1e-4)


def test_a_set_beside_itself_is_as_that_set_alone(tmp_path):
    manifest = toy_manifest(EMOTIONS, 36)
    wide = toy_features(manifest, None, coefficients=200)
    alone = solve("x.npz+linear", problem_of(manifest, wide), tmp_path)
    twice = solve("x.npz+y.npz+linear", problem_of(manifest, wide, wide), tmp_path)
    # Twice the values of the same variance: twice the kernel, as twice the penalty C would be.
    x = StandardScaler().fit(wide.values[problem_of(manifest, wide).train]).transform(wide.values)
    problem = problem_of(manifest, wide)
    machine = SVC(kernel="linear", C=0.02).fit(x[problem.train], problem.truth[problem.train])
    expected = softmax(machine.decision_function(x[problem.test]), axis=1)
    np.testing.assert_allclose(twice, expected, atol=1e-3)
    assert np.abs(alone - 1 / 3).max() > 0.05 and np.abs(twice - 1 / 3).max() > 0.05


def test_an_emotion_that_is_only_tested_has_no_probability(tmp_path):
    manifest = toy_manifest(("angry", "sad"), 12)
    manifest.loc[5, "emotion"] = "happy"
    problems = problems_inside(manifest, "kfold", 12)
    (problem,) = (one for one in problems if 5 in one.test)
    p = solve("x.npz+rbf", problem.with_features(toy_features(manifest, None)), tmp_path)
    assert problem.classes == ("angry", "happy", "sad") and p[0, 1] == 0 and p[0, [0, 2]].all()


def test_a_classifier_of_ones_own(tmp_path):
    file = write_code(tmp_path, "mine.py", CLASSIFIER)
    manifest = toy_manifest(EMOTIONS, 36)
    problem = problem_of(manifest, toy_features(manifest, None, level=20.0))
    p = solve(f"x.npz+{file}:classifier", problem, tmp_path)
    np.testing.assert_array_equal(p.argmax(axis=1), problem.truth[problem.test])


FORESTS = """
import random
import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.neighbors import KNeighborsClassifier

class Drawing(KNeighborsClassifier):
    def predict_proba(self, x):
        one = random.random()
        return np.random.permutation(np.eye(len(x), len(self.classes_))) * (1 - one) + one / 3

def forest(): return RandomForestClassifier(3)
def drawing(): return Drawing()
def by_seed(seed): return RandomForestClassifier(3, random_state=seed)
"""


@pytest.mark.parametrize("name", ["forest", "drawing", "by_seed"])
def test_a_classifier_that_draws_numbers_draws_them_by_the_seed(tmp_path, name):
    file = write_code(tmp_path, "mine.py", FORESTS)
    manifest = toy_manifest(EMOTIONS, 36)
    problem = problem_of(manifest, toy_features(manifest, None))
    method = parse(f"x.npz+{file}:{name}")
    first, again, other = (
        method.run(problem, seed, tmp_path).probabilities["last"] for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_a_classifier_is_repeated_for_every_seed_if_it_takes_one(tmp_path):
    file = write_code(tmp_path, "mine.py", FORESTS)
    assert parse(f"x.npz+{file}:by_seed").seeded
    for name in (f"{file}:forest", f"{file}:RandomForestClassifier", *CLASSIFIERS):
        assert not parse(f"x.npz+{name}").seeded


@pytest.mark.parametrize("kind", ["file", "module"])
def test_a_classifier_that_is_kept_carries_nothing_into_the_next_fold(tmp_path, monkeypatch, kind):
    code = "from sklearn.linear_model import SGDClassifier\n"
    code += "kept = SGDClassifier(loss='log_loss', max_iter=1, warm_start=True, random_state=0)\n"
    write_code(tmp_path, "keeps_one.py", f"{code}def classifier():\n    return kept\n")
    monkeypatch.syspath_prepend(tmp_path)
    place = "keeps_one" if kind == "module" else f"{tmp_path}/keeps_one.py"
    manifest = toy_manifest(EMOTIONS, 36)
    features = toy_features(manifest, None)
    first, second = problems_inside(manifest, "kfold", 2)
    text = f"x.npz+{place}:classifier"
    alone = solve(text, second.with_features(features), tmp_path)
    solve(text, first.with_features(features), tmp_path)
    again = solve(text, second.with_features(features), tmp_path)
    np.testing.assert_array_equal(again, alone)


def across():
    manifests = {name: toy_manifest(EMOTIONS, 36, corpus=name) for name in ("source", "target")}
    problem = problems_across(manifests, "source", "target")[0]
    features = toy_features(problem.manifest, None, level=20.0)
    values = np.array(features.values)
    values[problem.test] += 50  # another microphone
    return problem, replace(features, values=values)


def test_across_corpora_each_corpus_is_standardised_by_itself(tmp_path):
    problem, features = across()
    p = solve("x.npz+linear", problem.with_features(features), tmp_path)
    np.testing.assert_array_equal(p.argmax(axis=1), problem.truth[problem.test])
    p = solve("x.npz+linear", problem.with_features(features), tmp_path, "global")
    assert len(set(p.argmax(axis=1))) == 1  # moved as a whole, all sound alike


def test_labels_of_the_target_change_nothing(tmp_path):
    problem, features = across()
    first = solve("x.npz+linear", problem.with_features(features), tmp_path)
    manifest = problem.manifest.copy()
    labels = manifest["emotion"].to_numpy(copy=True)
    labels[problem.test] = labels[problem.test][::-1]
    other = replace(problem, manifest=manifest.assign(emotion=labels))
    assert (other.truth != problem.truth).any()
    second = solve("x.npz+linear", other.with_features(features), tmp_path)
    np.testing.assert_array_equal(first, second)


def test_what_cannot_be_learned_is_named_in_one_line(tmp_path):
    manifest = toy_manifest(EMOTIONS, 36)
    with pytest.raises(StudyError, match=r"x.npz\+rbf: expected one vector per utterance"):
        solve("x.npz+rbf", problem_of(manifest, toy_features(manifest)), tmp_path)
    alone = toy_manifest(("angry", "sad"), 2)
    problem = problem_of(alone, toy_features(alone, None))
    with pytest.raises(StudyError, match="expected two emotions or more to train on, got one in 1"):
        solve("x.npz+rbf", problem, tmp_path)
    nobody = manifest.assign(speaker="")
    problem = problem_of(nobody, toy_features(nobody, None))
    with pytest.raises(StudyError, match="expected a speaker for every utterance"):
        solve("x.npz+rbf", problem, tmp_path, "speaker")


def test_neither_keras_nor_matplotlib_is_imported():
    code = "import sys, ctl_helpers.methods, ctl_helpers.runs.run, ctl_helpers.study.plan\n"
    code += "print({'keras', 'tensorflow', 'matplotlib', 'IPython'} & set(sys.modules))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert done.stdout.strip() == "set()"
