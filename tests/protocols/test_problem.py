from dataclasses import replace

import numpy as np
import pytest
from toys import PROTOCOL, toy_features, toy_manifest, write_code

from ctl_helpers.errors import StudyError
from ctl_helpers.methods.vectors import vectors
from ctl_helpers.protocols import problems_inside


def first(manifest, **options):
    return problems_inside(manifest, "kfold", 3, **options)[0]


def test_truth_is_the_place_of_each_emotion_among_the_classes():
    problem = first(toy_manifest(("sad", "angry", "zeal")))
    assert problem.classes == ("angry", "sad", "zeal")
    assert problem.truth.tolist() == [1, 0, 2] * 8


def test_a_specification_follows_what_is_learned_from_and_not_where_it_lies():
    manifest = toy_manifest()
    spec = first(manifest).spec
    assert spec["classes"] == ["angry", "sad"] and spec["folds"] == 3
    moved = manifest.assign(path="/elsewhere/" + manifest["path"])
    assert first(moved).spec == spec

    def changed(column, row, value):
        other = manifest.copy()
        other.loc[row, column] = value
        return first(other).spec != spec

    assert changed("digest", 0, "another sound") and changed("speaker", 5, "09")
    assert changed("emotion", 7, "angry")
    assert first(manifest, division=7).spec != spec
    assert len({str(p.spec) for p in problems_inside(manifest, "kfold", 3)}) == 3


def test_the_hash_of_the_data_is_that_of_all_utterances_and_of_their_division(tmp_path):
    manifest = toy_manifest()
    one, other = problems_inside(manifest, "strangers", 2)[:2]
    assert one.data == other.data == problems_inside(manifest, "strangers", 2, only=[3])[0].data
    edited = manifest.copy()
    (row, *_) = np.setdiff1d(manifest.index, [*one.train, *one.test])
    edited.loc[row, "emotion"] = {"sad": "angry", "angry": "sad"}[manifest["emotion"][row]]
    assert problems_inside(edited, "strangers", 2)[0].data != one.data
    assert problems_inside(manifest, "strangers", 2, division=1)[0].data != one.data
    file = write_code(tmp_path, "mine.py", PROTOCOL)
    before = problems_inside(manifest, f"{file}:halves")[0].data
    file.write_text(PROTOCOL.replace("(seed)", "(seed + 1)"))
    assert problems_inside(manifest, f"{file}:halves")[0].data != before


def test_an_inner_fold_learns_nothing_from_the_outer_test_part():
    manifest = toy_manifest()
    problem = problems_inside(manifest, "inner:kfold", 3)[0]
    outer = np.setdiff1d(np.arange(len(manifest)), [*problem.train, *problem.test])
    assert len(outer) and problem.unseen == outer.tolist() and first(manifest).unseen == []
    features = toy_features(manifest, None)
    values = features.values.copy()
    values[outer] += 100
    for kind in ("speaker", "corpus"):
        one, other = (
            vectors(problem.with_features(given), kind, problem.train, "a", 0)
            for given in (features, replace(features, values=values))
        )
        parts = [*problem.train, *problem.test]
        np.testing.assert_array_equal(one[parts], other[parts])


def test_whether_voices_are_held_out_is_part_of_the_specification_of_ones_own_protocol():
    own = replace(first(toy_manifest()), protocol="mine.py:halves")
    assert own.spec != replace(own, held_out=True, memo={}).spec


def test_utterances_without_features_leave_the_problem():
    manifest = toy_manifest()
    problem, features = first(manifest), toy_features(manifest)
    (kept,) = problem.with_features(features).features
    assert kept is features and not problem.features
    gone = [problem.train[0], problem.test[0], problem.test[-1]]
    some, others = (replace(features, failed=dict.fromkeys(n, "")) for n in (gone[:2], gone[1:]))
    left = problem.with_features(some, others)
    assert left.features == (some, others) and left.failed == sorted(gone)
    for part in ("train", "test"):
        expected = [row for row in getattr(problem, part) if row not in gone]
        assert getattr(left, part).tolist() == expected
    nothing = replace(features, failed=dict.fromkeys(manifest.index, ""))
    with pytest.raises(StudyError, match="no utterance is left that has features"):
        problem.with_features(nothing)


def test_one_emotion_alone_is_no_problem():
    with pytest.raises(StudyError, match="'toy': expected two emotions or more, found sad"):
        first(toy_manifest(("sad",)))
    assert np.shape(first(toy_manifest()).adapt) == (0,)
