import json

import pandas as pd
import pytest

from ctl_helpers.errors import StudyError
from ctl_helpers.protocols import make_splits, read_partition


def manifest_of(emotions, speakers):
    paths = [f"/data/toy/wav/{row:03d}.wav" for row in range(len(emotions))]
    named = {"path": paths, "corpus": "toy", "emotion": emotions, "speaker": speakers}
    return pd.DataFrame(named)


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
    assert [split.held_out for split in splits] == [True, False, True]


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
