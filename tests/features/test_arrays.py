import os

import numpy as np
import pandas as pd
import pytest

from ctl_helpers.errors import StudyError
from ctl_helpers.features import extract, feature_key

RNG = np.random.default_rng(0)


@pytest.fixture
def manifest():
    names = ["wav/a.wav", "wav/b.wav", "more/a.wav", "long.wav[0.00-1.25]", "long.wav[1.25-2.50]"]
    paths = [f"/data/ser/emodb/{name.split('[')[0]}" for name in names]
    return pd.DataFrame({"path": paths, "corpus": "emodb", "utterance": names})


def save_npz(folder, values, names):
    np.savez(folder / "own.npz", values=values, utterance=names)
    return folder / "own.npz"


def save_npy(folder, values, names, column="utterance"):
    np.save(folder / "own.npy", values)
    pd.DataFrame({column: names}).to_csv(folder / "own.csv", index=False)
    return folder / "own.npy"


@pytest.mark.parametrize("shape", [(5, 7), (5, 4, 3)])
@pytest.mark.parametrize("save", [save_npz, save_npy])
def test_rows_are_found_by_name(manifest, tmp_path, shape, save):
    values = RNG.normal(size=shape)
    order = RNG.permutation(5)
    names = manifest["utterance"][order].to_list()
    found = extract(manifest, save(tmp_path, values[order], names))
    np.testing.assert_array_equal(found.values, values.astype(np.float32))
    assert found.values.dtype == np.float32 and found.speech is None and found.settings is None
    assert found.key == feature_key(manifest, str(tmp_path / f"own.{save.__name__[-3:]}"))


@pytest.mark.parametrize(
    "rename",
    [
        lambda name: f"emodb/{name}",
        lambda name: f"/data/ser/emodb/{name}",
        lambda name: f"C:\\other\\place\\{name}".replace("/", "\\"),
        lambda name: f"./{name} ",
    ],
)
def test_names_may_be_endings_of_the_path_or_paths_elsewhere(manifest, tmp_path, rename):
    values = RNG.normal(size=(7, 3)).astype(np.float32)
    names = [rename(name) for name in ["c.wav", *manifest["utterance"][::-1], "d.wav"]]
    found = extract(manifest, save_npy(tmp_path, values, names, column="file"))
    np.testing.assert_array_equal(found.values, values[5:0:-1])


def test_large_arrays_are_mapped_not_read(manifest, tmp_path):
    values = np.arange(15, dtype=np.float32).reshape(5, 3)
    found = extract(manifest, save_npy(tmp_path, values, manifest["utterance"]))
    assert isinstance(found.values, np.memmap) and not found.values.flags.writeable


def test_the_key_is_that_of_content_and_rows(manifest, tmp_path):
    values = np.ones((5, 3))
    names = manifest["utterance"].to_list()
    file = save_npy(tmp_path, values, names)
    key = feature_key(manifest, file)
    assert feature_key(manifest[:4], file) != key
    moved = manifest.assign(path="/elsewhere/" + manifest["utterance"])
    assert feature_key(moved, file) == key
    values[3, 1] += 1
    assert feature_key(manifest, save_npy(tmp_path, values, names)) != key


NAMES = ["wav/a.wav", "wav/b.wav", "more/a.wav", "long.wav[0.00-1.25]", "long.wav[1.25-2.50]"]


@pytest.mark.parametrize(
    ("values", "names", "expected"),
    [
        (np.ones((4, 2)), NAMES[:4], r"got 0 for 'long.wav\[1.25-2.50\]'"),
        (
            np.ones((2, 2)),
            NAMES[:2],
            "got 0 for 'more/a.wav' and others than one for 2 more; its names are such as 'wav/a",
        ),
        (np.ones((6, 2)), [*NAMES, NAMES[1]], "got 2 for 'wav/b.wav'"),
        (np.ones((5, 2)), ["a.wav", *NAMES[1:]], r"'a\.wav' is the name of several utterances"),
        (np.ones((5, 2)), NAMES[:4], "got 4 names of 5 rows"),
        (np.ones((5, 2)), NAMES, "expected rows that differ, got 5 alike"),
        (np.ones((5, 0)), NAMES, r"got float64 of shape \(5, 0\)"),
        (np.diag([1, 1e20, 1, 1, 1]), NAMES, r"got others in 'wav/b\.wav'"),
        (np.ones(5), NAMES, r"got float64 of shape \(5,\)"),
        (np.full((5, 2), "x"), NAMES, "got <U1 of shape"),
        (
            np.diag([1, 1, np.nan, 1, 1]),
            NAMES,
            "expected finite values up to 1e\\+15, got others in 'more/a.wav'",
        ),
        (np.diag([1, 1, 1, 1, 1e300]), NAMES, r"got others in 'long.wav\[1.25"),
    ],
)
def test_mistakes_are_named(manifest, tmp_path, values, names, expected):
    if names[0] == "a.wav":
        manifest = manifest.iloc[[0, 1, 2]]
        names = ["a.wav", "wav/b.wav", "none", "none.wav", "other"]
    for save in (save_npz, save_npy):
        with pytest.raises(StudyError, match=expected) as caught:
            extract(manifest, save(tmp_path, values, names))
        assert "\n" not in str(caught.value) and "own.np" in str(caught.value)


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("exploded",)


def test_files_that_are_no_such_array(manifest, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StudyError, match=r"own\.npy.*No such file"):
        extract(manifest, "own.npy")
    with pytest.raises(StudyError, match=r"cannot read own\.npz"):
        feature_key(manifest, "own.npz")
    np.save("own.npy", np.ones((5, 2)))
    with pytest.raises(StudyError, match=r"No such file or directory: 'own\.csv'"):
        extract(manifest, "own.npy")
    pd.DataFrame({"name": NAMES}).to_csv("own.csv")
    with pytest.raises(StudyError, match="a column utterance, path, file; got 'utterance'"):
        extract(manifest, "own.npy")
    np.savez("own.npz", features=np.ones((5, 2)))
    with pytest.raises(StudyError, match="values and utterance"):
        extract(manifest, "own.npz")
    np.savez("own.npz", values=np.ones((5, 2)), utterance=np.array([Bomb()] * 5))
    with pytest.raises(StudyError, match="no pickled objects"):
        extract(manifest, "own.npz")
    np.savez_compressed("whole.npz", values=np.ones((5, 2)), utterance=NAMES)
    whole = (tmp_path / "whole.npz").read_bytes()
    for content in (b"", b"text", b"\x93NUMPY", whole[:300], whole[:60] + b"x" * 60 + whole[120:]):
        for name in ("own.npz", "own.npy"):
            (tmp_path / name).write_bytes(content)
            with pytest.raises(StudyError, match="expected numbers of shape"):
                extract(manifest, name)
    assert not (tmp_path / "exploded").exists()
