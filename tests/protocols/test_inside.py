import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.model_selection import KFold
from toys import PROTOCOL, write_code

from ctl_helpers.errors import StudyError
from ctl_helpers.protocols import PROTOCOLS, make_splits, problems_inside, validation_part


def manifest_of(emotions, speakers, texts="", corpus="toy"):
    return pd.DataFrame(
        {
            "path": [f"/data/toy/wav/{row:03d}.wav" for row in range(len(emotions))],
            "corpus": corpus,
            "emotion": emotions,
            "speaker": speakers,
            "text": texts,
        }
    )


def groups(manifest, rows, column):
    return set(manifest[column].to_numpy()[rows])


@st.composite
def manifests(draw):
    """Corpora of two to four emotions, speakers and sentences, in any proportion."""
    size = draw(st.integers(4, 60))
    words = [draw(st.lists(st.sampled_from(w), min_size=size, max_size=size)) for w in _WORDS]
    assume(len(set(words[0])) > 1 and len(set(words[1])) > 1)
    return manifest_of(*words)


_WORDS = ("afhs", "123456", "xyzuvw")
_APART = {  # what no training and test part share
    "loso": ["speaker"],
    "grouped": ["speaker"],
    "sentences": ["text"],
    "strangers": ["speaker", "text"],
}


@settings(deadline=None, max_examples=80)
@given(manifests(), st.sampled_from(sorted(PROTOCOLS)), st.integers(2, 5), st.integers(0, 9))
def test_every_row_is_tested_once_and_what_is_held_out_is_kept_apart(
    manifest, protocol, folds, seed
):
    try:
        splits = make_splits(manifest, protocol, folds, seed)
    except StudyError as error:
        assert "\n" not in str(error)
        assume(False)
    tested = np.concatenate([split.test for split in splits])
    assert sorted(tested) == list(range(len(manifest)))
    apart = _APART.get(protocol, [])
    for split in splits:
        assert not set(split.train) & set(split.test) and len(split.test)
        if protocol != "strangers":  # which leaves out what shares either with the test part
            assert len(split.train) and len(split.train) + len(split.test) == len(manifest)
        assert split.held_out == ("speaker" in apart)
        for column in apart:
            parts = [groups(manifest, rows, column) for rows in (split.train, split.test)]
            assert not parts[0] & parts[1]
    again = make_splits(manifest, protocol, folds, seed)
    assert all(np.array_equal(a.test, b.test) for a, b in zip(splits, again, strict=True))


@settings(deadline=None, max_examples=60)
@given(manifests(), st.sampled_from(sorted(PROTOCOLS)), st.integers(0, 9))
def test_validation_part_divides_the_training_part(manifest, protocol, seed):
    try:
        split = make_splits(manifest, protocol, 2)[0]
        given = (split.train, manifest, split.held_out, seed)
        train, validation = validation_part(*given)
    except StudyError:
        assume(False)
    assert sorted([*train, *validation]) == split.train.tolist()
    assert len(train) and len(validation)
    if split.held_out:
        assert not groups(manifest, train, "speaker") & groups(manifest, validation, "speaker")
    else:
        assert groups(manifest, train, "emotion") == groups(manifest, split.train, "emotion")
    again = validation_part(*given)
    assert np.array_equal(again[0], train) and np.array_equal(again[1], validation)


@settings(deadline=None, max_examples=40)
@given(manifests(), st.sampled_from(["kfold", "loso", "grouped"]), st.integers(2, 4))
def test_inner_folds_divide_each_training_part_and_leave_the_test_part_alone(
    manifest, protocol, folds
):
    try:
        outer = make_splits(manifest, protocol, folds)
        inner = make_splits(manifest, f"inner:{protocol}", folds)
    except StudyError:
        assume(False)
    assert len(inner) == 3 * len(outer)
    for number, split in enumerate(outer):
        three = inner[3 * number : 3 * number + 3]
        assert all(one.name.startswith(f"{split.name}, ") for one in three)
        np.testing.assert_array_equal(np.sort(np.concatenate([s.test for s in three])), split.train)
        for one in three:
            np.testing.assert_array_equal(
                np.sort(np.concatenate([one.train, one.test])), split.train
            )
            if protocol != "kfold":
                speakers = [groups(manifest, rows, "speaker") for rows in (one.train, one.test)]
                assert not set.intersection(*speakers)


def test_kfold_is_scikit_learns_with_the_released_seed():
    manifest = manifest_of(["sad", "happy"] * 30, ["1"] * 60)
    ours = make_splits(manifest, "kfold")
    theirs = KFold(10, shuffle=True, random_state=98).split(np.zeros(60))
    assert [split.name for split in ours] == [f"fold {number}" for number in range(10)]
    for split, (train, test) in zip(ours, theirs, strict=True):
        assert np.array_equal(split.train, train) and np.array_equal(split.test, test)


def test_stratified_keeps_the_shares():
    manifest = manifest_of(["sad"] * 40 + ["happy"] * 20, ["1"] * 60)
    for split in make_splits(manifest, "stratified"):
        assert manifest["emotion"].iloc[split.test].value_counts().to_dict() == {
            "sad": 4,
            "happy": 2,
        }


def test_loso_names_speakers_and_tells_corpora_apart():
    manifest = manifest_of(["sad", "happy"] * 4, list("11223344"))
    assert [s.name for s in make_splits(manifest, "loso")] == [f"speaker {n}" for n in "1234"]
    both = pd.concat([manifest, manifest.assign(corpus="other")], ignore_index=True)
    splits = make_splits(both, "loso")
    assert len(splits) == 8 and splits[0].name == "speaker other 1"


def test_validation_takes_whole_speakers_and_leaves_the_rest():
    manifest = manifest_of(["sad", "happy"] * 15, [f"{n:02d}" for n in range(10) for _ in range(3)])
    rows = make_splits(manifest, "loso")[0].train
    train, validation = validation_part(rows, manifest, True, seed=1)
    assert len(groups(manifest, validation, "speaker")) == 1
    assert len(groups(manifest, train, "speaker")) == 8


def test_problems_say_how_much_of_the_protocol_they_are():
    manifest = manifest_of(["sad", "zeal", "angry", "awe"] * 3, list("111222333444"))
    problems = problems_inside(manifest, "kfold", 3, division=5, only=[2, 0])
    assert [problem.split for problem in problems] == ["fold 2", "fold 0"]
    splits = make_splits(manifest, "kfold", 3, 5)
    np.testing.assert_array_equal(problems[0].test, splits[2].test)
    for problem in problems:
        assert problem.classes == ("angry", "sad", "awe", "zeal")  # the study's order, then others
        assert (problem.corpus, problem.protocol, problem.division) == ("toy", "kfold", 5)
        assert (problem.folds, problem.of_folds, problem.of_utterances) == (3, 3, 12)
        assert not problem.across and not len(problem.adapt) and not problem.synthetic
    by_speaker = problems_inside(manifest, "loso", 3)
    assert [problem.folds for problem in by_speaker] == [None] * 4
    assert all(problem.held_out for problem in by_speaker)


def test_a_protocol_of_ones_own_is_a_function_in_a_file(tmp_path):
    file = write_code(tmp_path, "mine.py", PROTOCOL)
    manifest = manifest_of(["sad", "happy"] * 5, ["1", "2"] * 5)
    problems = problems_inside(manifest, f"{file}:halves", division=3)
    assert [problem.split for problem in problems] == ["first half", "second half"]
    assert problems[0].train.tolist() == problems[1].test.tolist()
    assert problems[0].of_utterances == 10 and problems[0].folds is None


@pytest.mark.parametrize(
    ("returned", "expected"),
    [
        ("[Split('a', rows, rows[8:])]", "'a': expected train and test apart, got 2 utterances"),
        ("[Split('a', rows[::2], rows[1::2])] * 2", r"different names, got \['a', 'a'\]"),
        ("[Split('a', rows[:5], rows[5:], held_out=True)]", r"no speaker in both .*toy 1, toy 2"),
        ("[Split('a', rows < 5, rows >= 5)]", "whole numbers, got bool"),
        ("[Split('a', rows, [])]", "rows in test as whole numbers, got .* of shape .0,"),
        ("[Split('a', rows[:5], rows + 5)]", "rows in test from 0 to 9, each once"),
        ("[Split('a', rows[:5], -rows[1:4])]", "rows in test from 0 to 9, each once"),
        ("[Split('a', rows[[0, 0]], rows[5:])]", "rows in train from 0 to 9, each once"),
        ("[]", "expected splits"),
        ("None", "expected a list of Split.*TypeError"),
        ("[(rows[:5], rows[5:])]", "expected a list of Split"),
        ("1 / 0", "ZeroDivisionError"),
    ],
)
def test_a_protocol_of_ones_own_is_what_it_says(tmp_path, returned, expected):
    given = "from ctl_helpers.protocols import Split\nimport numpy as np\ndef mine(table, *_):\n"
    file = write_code(tmp_path, "mine.py", f"{given} rows = np.arange(10)\n return {returned}\n")
    manifest = manifest_of(["sad", "happy"] * 5, ["1", "2"] * 5)
    with pytest.raises(StudyError, match=f"mine.py:mine'.*{expected}") as caught:
        problems_inside(manifest, f"{file}:mine")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("manifest", "protocol", "folds", "expected"),
    [
        (manifest_of(["sad"] * 20, ["1"] * 20), "kfold", 5, "two emotions"),
        (manifest_of(["sad", "happy"], ["1", "2"]), "kfold", 10, "number of utterances"),
        (manifest_of(["sad", "happy"], ["1", "2"]), "kfold", 1, "2 folds"),
        (manifest_of(["sad"] * 9 + ["happy"], ["1"] * 10), "stratified", 5, "of 'happy'"),
        (manifest_of(["sad", "happy"] * 5, ["1"] * 10), "loso", 10, "2 speakers, got 1"),
        (manifest_of(["sad", "happy"] * 5, ["1", ""] * 5), "loso", 10, "got 5 of 10 without"),
        (manifest_of(["sad", "happy"] * 9, list("123") * 6), "grouped", 10, "10 speakers, got 3"),
        (manifest_of(["sad", "happy"] * 5, ["1", "2"] * 5), "bootstrap", 10, "kfold, stratified"),
        (manifest_of(["sad", "happy"] * 5, ["1", "2"] * 5), "sentences", 2, "without"),
        (manifest_of(["sad", "happy"], ["1", "2"]), "partition:/nowhere", 10, "fold_1"),
        (manifest_of(["sad", "happy"], ["1", "2"]), "nowhere.py:halves", 10, "found none"),
    ],
)
def test_mistakes_are_named_in_one_line(manifest, protocol, folds, expected):
    with pytest.raises(StudyError, match=expected) as caught:
        make_splits(manifest, protocol, folds)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("only", [[0, 2], [-1]])
def test_splits_that_are_not_there(only):
    manifest = manifest_of(["sad", "happy"] * 5, ["1", "2"] * 5)
    with pytest.raises(StudyError, match=f"only: expected splits from 0 to 1, got {only[-1]}"):
        problems_inside(manifest, "kfold", 2, only=only)


def test_validation_mistakes():
    manifest = manifest_of(["sad", "happy"], ["1", "2"])
    alone = np.array([0])
    with pytest.raises(StudyError, match="two utterances"):
        validation_part(alone, manifest, False)
    with pytest.raises(StudyError, match="2 speakers"):
        validation_part(alone, manifest, True)
