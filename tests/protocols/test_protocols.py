import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.model_selection import KFold

from ctl_helpers.errors import StudyError
from ctl_helpers.protocols.inside import (
    PROTOCOLS,
    Split,
    make_splits,
    read_partition,
    validation_part,
)


def manifest_of(emotions, speakers, corpus="toy"):
    return pd.DataFrame(
        {
            "path": [f"/data/toy/wav/{row:03d}.wav" for row in range(len(emotions))],
            "corpus": corpus,
            "emotion": emotions,
            "speaker": speakers,
        }
    )


@st.composite
def manifests(draw):
    """Corpora of two to four emotions and two to six speakers, in any proportion."""
    size = draw(st.integers(4, 60))
    emotions = draw(st.lists(st.sampled_from("afhs"), min_size=size, max_size=size))
    speakers = draw(st.lists(st.sampled_from("123456"), min_size=size, max_size=size))
    assume(len(set(emotions)) > 1 and len(set(speakers)) > 1)
    return manifest_of(emotions, speakers)


@settings(deadline=None, max_examples=60)
@given(manifests(), st.sampled_from(sorted(PROTOCOLS)), st.integers(2, 5), st.integers(0, 9))
def test_every_row_is_tested_once_and_speakers_are_kept_apart(manifest, protocol, folds, seed):
    try:
        splits = make_splits(manifest, protocol, folds, seed)
    except StudyError as error:
        assert "\n" not in str(error)
        assume(False)
    tested = np.concatenate([split.test for split in splits])
    assert sorted(tested) == list(range(len(manifest)))
    for split in splits:
        both = np.concatenate([split.train, split.test])
        assert sorted(both) == list(range(len(manifest)))
        assert len(split.train) and len(split.test)
        if split.speaker_independent:
            speakers = manifest["speaker"].to_numpy()
            assert not set(speakers[split.train]) & set(speakers[split.test])
    assert all(split.speaker_independent == (protocol in ("loso", "grouped")) for split in splits)


@settings(deadline=None, max_examples=60)
@given(manifests(), st.sampled_from(sorted(PROTOCOLS)), st.floats(0.05, 0.5), st.integers(0, 9))
def test_validation_part_divides_the_training_part(manifest, protocol, fraction, seed):
    try:
        split = make_splits(manifest, protocol, 2)[0]
        train, validation = validation_part(split, manifest, fraction, seed)
    except StudyError:
        assume(False)
    assert sorted([*train, *validation]) == split.train.tolist()
    assert len(train) and len(validation)
    if split.speaker_independent:
        speakers = manifest["speaker"].to_numpy()
        assert not set(speakers[train]) & set(speakers[validation])
    else:
        emotions = manifest["emotion"].to_numpy()
        assert set(emotions[train]) == set(emotions[split.train])
    again = validation_part(split, manifest, fraction, seed)
    assert np.array_equal(again[0], train) and np.array_equal(again[1], validation)


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
    split = make_splits(manifest, "loso")[0]
    train, validation = validation_part(split, manifest, 0.1, seed=1)
    assert manifest["speaker"].iloc[validation].nunique() == 1
    assert manifest["speaker"].iloc[train].nunique() == 8


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
        (manifest_of(["sad", "happy"], ["1", "2"]), "partition:/nowhere", 10, "fold_1"),
    ],
)
def test_mistakes_are_told_in_one_line(manifest, protocol, folds, expected):
    with pytest.raises(StudyError, match=expected) as caught:
        make_splits(manifest, protocol, folds)
    assert "\n" not in str(caught.value)


def test_validation_mistakes():
    manifest = manifest_of(["sad", "happy"], ["1", "2"])
    split = Split("fold 0", np.array([0]), np.array([1]), False)
    with pytest.raises(StudyError, match="two utterances"):
        validation_part(split, manifest)
    with pytest.raises(StudyError, match="between 0 and 1"):
        validation_part(split, manifest, fraction=1)
    alone = Split("speaker 2", np.array([0]), np.array([1]), True)
    with pytest.raises(StudyError, match="2 speakers"):
        validation_part(alone, manifest)


def write_fold(folder, number, train, test, style="_fold_"):
    folder = folder / f"fold_{number}"
    folder.mkdir(parents=True, exist_ok=True)
    for part, wavs in (("train", train), ("test", test)):
        lines = [json.dumps({"key": f"toy-{wav}", "wav": wav, "emo": "anger"}) for wav in wavs]
        (folder / f"toy_{part}{style}{number}.jsonl").write_text("\n".join(lines) + "\n")


def test_partition_is_matched_by_the_end_of_the_path(tmp_path):
    paths = ["/d/Casia/wangzhe/sad/201.wav", "/d/Casia/wangzhe/angry/201.wav"]
    paths += ["/d/Casia/LiuChang/sad/201.wav", "/d/Casia/LiuChang/angry/201.flac"]
    manifest = manifest_of(["sad", "angry"] * 2, ["w", "w", "l", "l"]).assign(path=paths)
    theirs = [path.replace("/d/Casia", "downloads/casia") for path in paths]
    write_fold(tmp_path, 1, theirs[:2], theirs[2:])
    write_fold(tmp_path, 10, theirs[2:], theirs[:2])
    write_fold(tmp_path, 2, theirs[::2], theirs[1::2])
    splits = make_splits(manifest, f"partition:{tmp_path}")
    assert [split.name for split in splits] == ["fold 1", "fold 2", "fold 10"]
    assert [split.train.tolist() for split in splits] == [[0, 1], [0, 2], [2, 3]]
    assert [split.test.tolist() for split in splits] == [[2, 3], [1, 3], [0, 1]]
    assert [split.speaker_independent for split in splits] == [True, False, True]


def test_partition_of_one_speakers_rows_takes_only_that_speakers_lines(tmp_path):
    manifest = manifest_of(["sad", "angry"], ["w", "w"]).assign(
        path=["/d/casia/wangzhe/sad/201.wav", "/d/casia/wangzhe/angry/201.wav"]
    )
    lines = [f"downloads/casia/{s}/{e}/201.wav" for s in ("x", "wangzhe") for e in ("sad", "angry")]
    write_fold(tmp_path, 1, [lines[0], lines[2]], [lines[1], lines[3]])
    (split,) = read_partition(tmp_path, manifest)
    assert split.train.tolist() == [0] and split.test.tolist() == [1]


def test_partition_of_flat_names_matches_folders_and_counts_the_rest(tmp_path, caplog):
    paths = ["/d/savee/AudioData/DC/a01.wav", "/d/savee/AudioData/DC/sa02.wav"]
    paths += ["/d/savee/AudioData/JE/a01.wav", "/d/savee/AudioData/KL/n01.wav"]
    manifest = manifest_of(["angry", "sad", "angry", "neutral"], ["DC", "DC", "JE", "KL"])
    manifest = manifest.assign(path=paths)
    flat = ["downloads/savee/DC_a01.wav", "downloads/savee/DC_sa02.wav"]
    flat += ["downloads/savee/JE_a01.wav", "downloads/savee/JK_a01.wav"]
    write_fold(tmp_path, 1, flat[:2], flat[2:], style="_fold")
    (split,) = read_partition(tmp_path, manifest)
    assert split.train.tolist() == [0, 1] and split.test.tolist() == [2]
    assert "1 of 4 lines" in caplog.text and "1 of 4 utterances" in caplog.text


def test_partition_mistakes(tmp_path):
    manifest = manifest_of(["sad", "happy"], ["1", "2"])
    wavs = ["downloads/toy/wav/000.wav", "downloads/toy/wav/001.wav"]

    def refused(folder, expected):
        with pytest.raises(StudyError, match=expected) as caught:
            read_partition(folder, manifest)
        assert "\n" not in str(caught.value)

    write_fold(tmp_path / "other", 1, ["downloads/x/a.wav"], ["downloads/x/b.wav"])
    refused(tmp_path / "other", "none of 2 lines")
    write_fold(tmp_path / "empty", 1, wavs, [])
    refused(tmp_path / "empty", "test part of fold 1")
    write_fold(tmp_path / "shared", 1, wavs, wavs[:1])
    refused(tmp_path / "shared", "1 utterances in both parts")
    write_fold(tmp_path / "no_train", 1, wavs[:1], wavs[1:])
    (tmp_path / "no_train/fold_1/toy_train_fold_1.jsonl").unlink()
    refused(tmp_path / "no_train", "train_fold_1")
    write_fold(tmp_path / "broken", 1, wavs[:1], wavs[1:])
    (tmp_path / "broken/fold_1/toy_test_fold_1.jsonl").write_text('{"key": "a"}\n')
    refused(tmp_path / "broken", "line 1")
    (tmp_path / "broken/fold_1/toy_test_fold_1.jsonl").write_bytes(b"\xff\xfe\x00")
    refused(tmp_path / "broken", "json lines")
