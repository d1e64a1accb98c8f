"""A network as one file: saved with all it needs, used on new recordings, and damaged."""

import json
import os
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pandas as pd
import pytest
from conftest import REPOSITORY, noise, write_wav
from toys import NETWORK, Toys, toy_corpus, write_code

from ctl_helpers.corpora import load_manifest
from ctl_helpers.errors import StudyError
from ctl_helpers.methods import parse
from ctl_helpers.protocols import problems_inside
from ctl_helpers.runs.model import MODEL, load_network, load_predictor, save_network
from ctl_helpers.runs.predict import predict_files
from ctl_helpers.runs.run import Run, compute
from ctl_helpers.runs.store import RunStore

KINDS = ("none", "utterance", "global", "speaker", "speaker-20s")
CARD = {"classes": ["angry", "sad"], "features": None, "normalisation": "none", "padding": "kept"}
CARD |= {"mean": None, "scale": None}


@pytest.fixture(scope="module")
def place(tmp_path_factory, cache):
    """A corpus, and a network that was trained on one fold of it under every normalisation."""
    folder = tmp_path_factory.mktemp("place")
    toy_corpus(folder / "corpora", "tones", utterances=12)
    write_code(folder, "mine.py", NETWORK)
    return folder


@pytest.fixture(scope="module")
def runs(place):
    manifest = load_manifest(place / "corpora", "tones")
    (problem,) = problems_inside(manifest, "kfold", 2, only=[0])
    changes = {"epochs": 1, "batch_size": 8, "padding": "zeroed"}
    runs = {
        kind: Run(problem, parse(f"{place}/mine.py:network/released", kind, changes=changes))
        for kind in KINDS
    }
    assert compute(runs.values(), RunStore(place / "runs"), jobs=1) == {}
    return runs


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_run_predicts_from_recordings_what_it_predicted(place, runs, kind):
    problem, folder = runs[kind].problem, place / "runs" / runs[kind].name
    expected = pd.read_csv(folder / "predictions.csv")
    files = problem.manifest["path"].iloc[problem.test]
    table, notes, problems = predict_files(folder, files, jobs=2)
    assert table["file"].tolist() == files.tolist() and not problems
    assert table["start"].isna().all()
    p = table[["angry", "sad"]].to_numpy()
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-5)
    assert (table["emotion"] == np.array(["angry", "sad"])[p.argmax(axis=1)]).all()
    assert len(notes) == kind.startswith("speaker")  # of one, here
    if not kind.startswith("speaker"):
        np.testing.assert_allclose(p, expected[["p_angry", "p_sad"]], atol=1e-4)


def test_files_folders_and_patterns_name_recordings_once(place, runs, tmp_path):
    model = place / "runs" / runs["none"].name / "model.keras"
    folder = place / "corpora" / "tones"
    (loop := tmp_path / "loop").mkdir()
    (loop / "again").symlink_to(loop)
    (loop / "tones").symlink_to(folder)
    words = [folder, folder / "000.wav", f"{folder}/00*.wav", f"{loop}/**/*.wav"]
    table, *_ = predict_files(model, words, jobs=2)
    assert len(table) == table["file"].nunique() == 12


def test_what_cannot_be_told_from_is_named_and_the_rest_is_predicted(place, runs, tmp_path):
    model = place / "runs" / runs["none"].name
    good = write_wav(tmp_path / "two channels ü.flac", noise(0.5, 44_100, channels=2), 44_100)
    tone = noise(0.5)
    bad = {
        "silent.wav": np.zeros(8000),
        "short.wav": noise(100 / 8000),
        "antiphase.wav": np.stack([tone, -tone], axis=1),
    }
    files = [write_wav(tmp_path / name, samples) for name, samples in bad.items()]
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "text.wav").write_text("no sound")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe.wav")  # nobody will ever write into it
    files += [tmp_path / name for name in ("empty.wav", "text.wav", "pipe.wav")]
    files.append(files[0].rename(tmp_path / os.fsdecode(b"gr\xfcn.wav")))
    write_wav(files[0], np.zeros(8000))
    os.mkfifo(tmp_path / "folder" / "pipe.wav")
    (tmp_path / "folder" / "gone.wav").symlink_to(tmp_path / "nothing.wav")
    (tmp_path / "folder" / "loop.wav").symlink_to(tmp_path / "folder" / "loop.wav")
    words = [*files, tmp_path / "folder", good]
    files += [tmp_path / "folder" / name for name in ("pipe.wav", "gone.wav", "loop.wav")]
    table, _, problems = predict_files(model, words, jobs=2)
    assert table["file"].tolist() == [str(good)]
    assert sum("it is a folder or a pipe, not a file" in line for line in problems) == 1
    assert sum(line.endswith("gone.wav: there is no such file") for line in problems) == 1
    assert sorted(line.split(": ")[0] for line in problems) == sorted(map(str, files))
    assert all("\n" not in line for line in problems)


def test_folders_are_read_as_those_of_corpora_are(place, runs, tmp_path):
    model = place / "runs" / runs["none"].name
    write_wav(tmp_path / "elsewhere" / "linked.wav", noise(0.5))
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "given" / "video.m4a").write_bytes(b"no sound")
    (tmp_path / "given" / "pointer.wav").write_text("version https://git-lfs.github.com/spec/v1\n")
    quiet = np.concatenate([noise(0.8), np.zeros(36_800), noise(0.8)])
    write_wav(tmp_path / "given" / "ends.wav", quiet)
    table, _, problems = predict_files(model, [tmp_path / "given"], jobs=2)
    assert [file.split("/")[-1] for file in table["file"]] == ["linked.wav"]
    said = {line.split(": ")[0].split("/")[-1]: line for line in problems}
    assert set(said) == {"video.m4a", "pointer.wav", "ends.wav"}
    assert "git lfs pull" in said["pointer.wav"] and "silent" in said["ends.wav"]


def test_long_recordings_are_told_in_windows(place, runs, tmp_path):
    file = write_wav(tmp_path / "long.wav", noise(5.0))
    table, _, problems = predict_files(place / "runs" / runs["none"].name, [file], 2.0, jobs=2)
    assert table[["start", "end"]].to_numpy().tolist() == [[0, 2], [1, 3], [2, 4], [3, 5]]
    assert not problems


def test_a_speaker_is_all_the_recordings_given(place, runs, tmp_path):
    model = place / "runs" / runs["speaker"].name
    files = [write_wav(tmp_path / f"{seed}.wav", noise(14.1, seed=seed)) for seed in (1, 2)]
    found = [predict_files(model, some, 0.2, jobs=2)[0] for some in (files, files[::-1])]
    one, other = (table.sort_values(["file", "start"]) for table in found)
    assert len(one) == 280
    np.testing.assert_allclose(one[["angry", "sad"]], other[["angry", "sad"]], atol=1e-5)


def test_a_model_that_was_adapted_says_to_whom(place, cache):
    manifest = load_manifest(place / "corpora", "tones")
    problem = problems_inside(manifest, "loso")[0]
    changes = {"epochs": 1, "batch_size": 8, "network": f"{place}/mine.py:network", "settings": {}}
    methods = [
        parse(f"{name}/released", "speaker", changes=changes) for name in ("mmd", "source-only")
    ]
    runs = [Run(problem, method) for method in methods]
    assert compute(runs, RunStore(place / "runs"), jobs=1) == {}
    file = manifest["path"].iloc[0]
    adapted, alone = (predict_files(place / "runs" / run.name, [file], jobs=1)[1] for run in runs)
    assert (
        f"the model was adapted to tones, {problem.split}, not to the recordings given" in adapted
    )
    assert "adapted" not in " ".join(alone)


def test_the_middle_of_a_recording_that_is_a_little_too_long_counts_and_that_is_said(
    place, runs, tmp_path
):
    model, signal = place / "runs" / runs["none"].name, noise(15.0)
    longest = load_network(model / "model.keras")[1]["features"]["samples"] / 22050
    size = int(1.3 * longest * 8000)
    files = [write_wav(tmp_path / name, signal[:size]) for name in ("one.wav", "two.wav")]
    table, notes, problems = predict_files(model, files, jobs=2)
    assert len(table) == 2 and table["start"].isna().all() and not problems
    assert any("one.wav and 1 others: longer than" in line for line in notes)
    assert not any("longer than" in line for line in predict_files(model, files, 1.0, jobs=2)[1])


def test_what_is_incomplete_or_clipped_is_predicted_and_said(place, runs, tmp_path):
    loud = write_wav(tmp_path / "loud.wav", np.clip(5 * noise(0.5), -1, 1))
    half = write_wav(tmp_path / "half.wav", noise(1.0))
    half.write_bytes(half.read_bytes()[:8044])
    table, notes, problems = predict_files(place / "runs" / runs["none"].name, [loud, half], jobs=2)
    assert len(table) == 2 and not problems
    assert f"{half}: it holds 50% of what its header says" in notes
    assert f"{loud}: three samples or more in a row at full scale" in notes


def test_nothing_to_predict_is_said(place, runs, tmp_path):
    model = place / "runs" / runs["none"].name
    for word in (tmp_path / "nowhere.wav", tmp_path, f"{tmp_path}/*.wav"):
        with pytest.raises(StudyError, match="found nothing"):
            predict_files(model, [word])


def tiny(head):
    inputs = keras.Input((6, 4))
    return keras.Model(inputs, head(keras.layers.GlobalAveragePooling1D()(inputs)))


def test_a_network_comes_back_with_its_card(tmp_path):
    model = tiny(keras.layers.Dense(2, "softmax"))
    card = CARD | {"mean": [0.5, 1e-9], "words": "Größe"}
    save_network(model, card, tmp_path / "model.keras")
    loaded, found = load_network(tmp_path / "model.keras")
    assert found == card
    x = np.random.default_rng(0).normal(size=(3, 6, 4)).astype(np.float32)
    np.testing.assert_allclose(np.asarray(loaded(x)), np.asarray(model(x)), atol=1e-6)


OWN = """
import keras
from keras import Input, Model, layers
from elsewhere import Shifted

def twice(x):
    return 2 * x

class Scaled(layers.Layer):
    def build(self, shape):
        self.scale = self.add_weight(shape=shape[-1:], initializer="ones")
    def call(self, x):
        return x * self.scale

@keras.saving.register_keras_serializable("somebody")
class Registered(Scaled):
    pass

def network(frames, coefficients, classes):
    inputs = x = Input((frames, coefficients))
    for layer in (Scaled(), Registered(), Shifted(), layers.Activation(twice)):
        x = layer(x)
    return Model(inputs, layers.Dense(classes, "softmax")(layers.GlobalAveragePooling1D()(x)))
"""
SHIFTED = """
from keras import layers

class Shifted(layers.Layer):
    def call(self, x):
        return x + 1
"""
PREDICT = """
import sys
from pathlib import Path
import numpy as np
from ctl_helpers.errors import StudyError
from ctl_helpers.runs.model import load_predictor

file = Path("own.py")
code = file.read_text()
for text in (code + "\\nopen('executed', 'w').close()\\n", None):
    file.write_text(text) if text else file.unlink()
    try:
        load_predictor(sys.argv[1])
    except StudyError as error:
        print(error)
file.write_text(code)
predict, _ = load_predictor(sys.argv[1])
print(predict(np.ones((1, 6, 4), np.float32))[0].tolist())
"""


def test_layers_of_ones_own_come_from_their_file_as_it_was_at_the_training(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    write_code(tmp_path, "elsewhere.py", SHIFTED)
    write_code(tmp_path, "own.py", OWN)
    (run,) = Toys(tmp_path).write().runs("own.py:network/released", only=[0], settings={})
    assert compute([run], RunStore(tmp_path / "runs"), jobs=1) == {}
    folder = tmp_path / "runs" / run.name
    expected = load_predictor(folder)[0](np.ones((1, 6, 4), np.float32))[0]
    command = [sys.executable, "-c", PREDICT, str(folder)]
    environment = os.environ | {"PYTHONPATH": f"{REPOSITORY}:{tmp_path}"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    *errors, values = done.stdout.splitlines()
    np.testing.assert_allclose(json.loads(values), expected, atol=1e-6)
    for said, found in zip(errors, ("it has changed", "expected a file own.py"), strict=True):
        assert "Registered, Scaled, Shifted, twice" in said and "expected own.py:network" in said
        assert found in said
    assert not (tmp_path / "executed").exists()  # a card may name any file


def test_litert_gives_the_same_probabilities(tmp_path):
    tensorflow = pytest.importorskip("tensorflow")
    if keras.backend.backend() != "tensorflow" or not hasattr(tensorflow, "lite"):
        pytest.skip("needs TensorFlow's converter")
    model, _ = load_network(MODEL)
    x = np.random.default_rng(0).normal(size=(1, *model.input_shape[1:])).astype(np.float32)
    model.export(tmp_path / "model.tflite", format="litert", verbose=False)
    lite = tensorflow.lite.Interpreter(str(tmp_path / "model.tflite"))
    lite.allocate_tensors()
    lite.set_tensor(lite.get_input_details()[0]["index"], x)
    lite.invoke()
    said = lite.get_tensor(lite.get_output_details()[0]["index"])
    np.testing.assert_allclose(said, np.asarray(model(x)), atol=1e-6)


def damaged(folder, how):
    """A model that cannot be used, in one of several ways."""
    file = folder / "model.keras"
    if how == "missing":
        return file
    if how == "a stranger's":
        tiny(keras.layers.Dense(2)).save(file)
        return file
    if how == "with half a card":
        card = {name: value for name, value in CARD.items() if name != "features"}
        save_network(tiny(keras.layers.Dense(2, "softmax")), card, file)
        return file
    if how == "with code in it":
        save_network(tiny(keras.layers.Lambda(lambda x: x[:, :2])), CARD, file)
        return file
    save_network(tiny(keras.layers.Dense(2, "softmax")), CARD, file)
    content = file.read_bytes()
    if how == "empty":
        file.write_bytes(b"")
    elif how == "cut short":
        file.write_bytes(content[: len(content) // 2])
    elif how == "text":
        file.write_text("no network")
    elif how == "without its weights":
        with zipfile.ZipFile(file) as old:
            kept = {name: old.read(name) for name in old.namelist() if "weights" not in name}
        with zipfile.ZipFile(file, "w") as new:
            for name, data in kept.items():
                new.writestr(name, data)
    return file


HOW = ("missing", "a stranger's", "with code in it", "empty", "cut short", "text")


@pytest.mark.parametrize("how", [*HOW, "without its weights", "with half a card"])
def test_a_damaged_model_is_one_line(tmp_path, how):
    for load in (load_network, load_predictor):
        with pytest.raises(StudyError) as caught:
            load(damaged(tmp_path, how))
        said = str(caught.value)
        assert said.startswith(f"model {tmp_path / 'model.keras'}: ") and "\n" not in said


def test_a_network_whose_weights_are_no_numbers_predicts_nothing(place, runs, tmp_path):
    network, card = load_network(place / "runs" / runs["none"].name)
    network.set_weights([np.full_like(weights, np.nan) for weights in network.get_weights()])
    save_network(keras.Model(network.input, network.layers[-2].output), card, tmp_path / "a.keras")
    with pytest.raises(StudyError, match="probabilities are not finite"):
        predict_files(tmp_path / "a.keras", [place / "corpora" / "tones" / "000.wav"], jobs=2)


def test_a_run_without_a_network_is_named(tmp_path):
    toys = Toys(tmp_path).write()
    (run,) = toys.runs(f"{tmp_path}/vectors.npz+linear", only=[0])
    assert compute([run], RunStore(tmp_path / "runs"), jobs=1) == {}
    with pytest.raises(StudyError, match="a run without a network"):
        load_network(tmp_path / "runs" / run.name)


def test_a_network_of_an_array_of_ones_own_cannot_take_recordings(tmp_path):
    toys = Toys(tmp_path).write()
    (run,) = toys.runs(only=[0], epochs=1)
    assert compute([run], RunStore(tmp_path / "runs"), jobs=1) == {}
    with pytest.raises(StudyError, match="trained on other features than MFCC"):
        predict_files(tmp_path / "runs" / run.name, [tmp_path / "frames.npz"])
