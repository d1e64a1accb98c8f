import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import REPOSITORY, write_wav

from ctl_helpers.corpora import (
    CATALOGUE,
    audit,
    find_corpora,
    is_miniature,
    load_manifest,
    make_miniature,
)
from ctl_helpers.corpora import miniature as module
from ctl_helpers.errors import StudyError

NAMES = ("casia", "emodb", "ravdess", "savee")


def test_all_four_are_found(miniature):
    assert list(find_corpora(miniature)) == list(NAMES)
    assert is_miniature(miniature) and is_miniature(miniature / "emodb")


def test_real_speech_is_not_taken_for_synthetic(tmp_path):
    assert not is_miniature(tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_each_stands_in_for_its_original(miniature, name):
    entry, manifest = CATALOGUE[name], load_manifest(miniature, name)
    assert manifest.attrs["problems"] == []
    assert set(manifest["emotion"]) == set(entry.emotions)
    assert set(manifest["speaker"]) <= set(entry.speakers)
    assert manifest["speaker"].nunique() >= 4
    assert 60 <= len(manifest) <= 120
    smallest = min(Counter(zip(manifest["speaker"], manifest["emotion"], strict=True)).values())
    assert smallest >= 2
    assert set(manifest["sampling_rate"]) == {entry.sampling_rate}
    assert manifest["duration"].between(0.5, entry.samples / 22_050).all()
    assert {soundfile.info(path).subtype for path in manifest["path"]} == {"PCM_16"}
    assert name == "emodb" or {
        entry.parse(Path(path).relative_to(miniature / name)).identity for path in manifest["path"]
    } <= set(entry.published)


def test_recordings_are_sound(miniature):
    problems = {name: audit(miniature, name).problems["kind"].tolist() for name in NAMES}
    assert problems == {"casia": [], "emodb": [], "ravdess": ["stereo"], "savee": []}


@pytest.mark.parametrize("name", NAMES)
def test_emotions_differ_as_the_literature_says(miniature, name):
    manifest = load_manifest(miniature, name)
    level = [np.sqrt(np.mean(soundfile.read(path)[0] ** 2)) for path in manifest["path"]]
    means = manifest.assign(level=level).groupby("emotion")[["duration", "level"]].mean()
    assert means.loc["angry", "duration"] < means.loc["neutral", "duration"]
    assert means.loc["neutral", "duration"] < means.loc["sad", "duration"]
    assert means.loc["sad", "level"] < means.loc["neutral", "level"] < means.loc["angry", "level"]


def test_same_seed_same_bytes_other_seed_other_bytes(miniature, tmp_path, monkeypatch):
    lines = list(module._lines())
    monkeypatch.setattr(module, "_lines", lambda: lines[::40])
    folders = [make_miniature(tmp_path / str(n), seed) for n, seed in enumerate((3, 3, 4))]
    first, again, other = (
        {f.relative_to(folder): f.read_bytes() for f in folder.rglob("*.wav")} for folder in folders
    )
    assert first == again and len(first) == 11
    assert first.keys() == other.keys()
    assert all(first[name] != other[name] for name in first)


def test_made_once_into_the_cache(tmp_path, monkeypatch):
    spoken = []

    def speak(folder, seed):
        spoken.append(seed)
        (folder / "emodb").mkdir()

    monkeypatch.setenv("CTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "_speak", speak)
    folders = [make_miniature(seed=seed) for seed in (0, 0, 1)]
    assert folders[0] == folders[1] != folders[2]
    assert spoken == [0, 1]
    assert all(folder.parent == tmp_path / "cache" for folder in folders)


def test_nothing_is_left_of_what_was_cut_short(tmp_path, monkeypatch):
    def speak(folder, seed):
        (folder / "emodb").mkdir()
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_speak", speak)
    with pytest.raises(KeyboardInterrupt):
        make_miniature(tmp_path / "miniature")
    assert list(tmp_path.iterdir()) == []


def test_what_killed_processes_left_is_removed_and_what_is_being_made_is_not(miniature, tmp_path):
    shutil.copytree(miniature, tmp_path / "miniature")
    others = ("miniature-0123456789ab", "corpora.old")
    for name in (".miniature-partial-dead", ".miniature-partial-alive", *others):
        write_wav(tmp_path / name / "emodb" / "one.wav")
        if not name.endswith("alive"):
            os.utime(tmp_path / name, (0, 0))
    make_miniature(tmp_path / "miniature")
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"miniature", ".miniature-partial-alive", *others}


def test_a_disk_that_takes_no_more_is_named(tmp_path):
    make = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (9999, 9999));"
        "from ctl_helpers.corpora import make_miniature; make_miniature('miniature')"
    )
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", make], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    expected = f"StudyError: miniature corpora: cannot write to {tmp_path} (File too large)"
    assert done.stderr.splitlines()[-1].endswith(expected)
    assert list(tmp_path.iterdir()) == []


def test_two_at_once_end_with_one_folder(tmp_path, monkeypatch):
    root = tmp_path / "miniature"
    monkeypatch.setattr(module, "_speak", lambda folder, seed: None)

    def speak(folder, seed):
        monkeypatch.setattr(module, "_speak", lambda folder, seed: None)
        make_miniature(root)

    monkeypatch.setattr(module, "_speak", speak)
    assert make_miniature(root) == root
    assert [path.name for path in tmp_path.iterdir()] == ["miniature"]


def test_a_folder_with_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(StudyError, match="is there already and holds something else"):
        make_miniature(tmp_path)
    assert (tmp_path / "thesis.txt").exists()


def test_a_voice_that_fails_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr("espeakng_loader.get_data_path", lambda: str(tmp_path / "nothing"))
    with pytest.raises(StudyError, match=r"eSpeak NG could not speak .*voices were not") as error:
        make_miniature(tmp_path / "miniature")
    assert "\n" not in str(error.value)


def test_a_folder_that_can_not_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StudyError, match="cannot write"):
        make_miniature(tmp_path / "file" / "miniature")
