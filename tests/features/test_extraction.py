import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import soundfile
from conftest import SHARED, needs_shared
from toy_recordings import SHORT, write_recordings

from ctl_helpers.corpora import load_manifest
from ctl_helpers.errors import StudyError
from ctl_helpers.features import FEATURES, PRESETS, extract, feature_key
from ctl_helpers.features.functionals import frame_functionals


@pytest.fixture
def recordings(tmp_path):
    """Five short recordings of two speakers and their manifest."""
    return write_recordings(tmp_path / "audio", 5)


@needs_shared
@pytest.mark.parametrize(("corpus", "shape"), [("emodb", (3, 188, 39)), ("casia", (3, 172, 39))])
def test_real_speech(corpus, shape, tmp_path):
    manifest = load_manifest(SHARED / "corpora", corpus).iloc[::200][:3]
    found = extract(manifest, "released", jobs=2, cache=tmp_path)
    assert found.values.shape == shape
    assert found.manifest.index.tolist() == [0, 1, 2]
    assert found.key == feature_key(manifest, "released")


@pytest.mark.parametrize(
    ("name", "frames"), [("casia", 172), ("emodb", 188), ("ravdess", 215), ("savee", 254)]
)
def test_released_frames_per_corpus(name, frames, tmp_path):
    manifest = write_recordings(tmp_path, 1, corpus=name)
    assert extract(manifest, jobs=2, cache=tmp_path).values.shape == (1, frames, 39)


def test_two_jobs_give_what_one_gives(tmp_path):
    manifest = write_recordings(tmp_path / "audio", 40)
    one = extract(manifest, SHORT, jobs=1, cache=tmp_path / "one")
    two = extract(manifest, SHORT, jobs=2, cache=tmp_path / "two")
    assert one.key == two.key
    np.testing.assert_array_equal(one.values, two.values)
    np.testing.assert_array_equal(one.speech, two.speech)


def test_every_name_has_a_line_and_a_key_without_extracting(recordings, tmp_path):
    assert set(PRESETS) < set(FEATURES)
    names = [name for name in FEATURES if name not in ("egemaps", "compare")]
    keys = {name: feature_key(recordings, name) for name in names}
    assert len(set(keys.values())) == len(keys)
    for name in ("released", "mfcc-statistics"):
        assert extract(recordings, name, jobs=2, cache=tmp_path).key == keys[name]
    assert feature_key(recordings, "released", samples=96_000) == keys["released"]
    assert feature_key(recordings, "released", samples=88_000) != keys["released"]
    assert feature_key(recordings[::-1], "released") != keys["released"]


def test_key_does_not_depend_on_the_folder(recordings, tmp_path):
    moved = write_recordings(tmp_path / "moved", 5)
    assert feature_key(moved, SHORT) == feature_key(recordings, SHORT)


@pytest.mark.parametrize("none", ["", np.nan, None])
def test_rows_without_a_digest_are_refused(recordings, none):
    some = recordings.assign(digest=[*recordings["digest"][:2], none, none, none])
    for manifest in (some, recordings.drop(columns="digest")):
        with pytest.raises(StudyError, match="expected a manifest with the digest of every sound"):
            feature_key(manifest, SHORT)


def test_segments_of_a_file_are_read_alone(recordings, tmp_path):
    (tmp_path / "own.py").write_text(
        "def own(signal, rate):\n    return [len(signal), signal[0]]\n"
    )
    parts = recordings.iloc[[0, 0]].assign(start=[0.0, 0.1], end=[0.1, 0.15], digest=["a", "b"])
    found = extract(parts, f"{tmp_path}/own.py:own", jobs=2, cache=tmp_path)
    samples = soundfile.read(recordings["path"][0])[0]
    np.testing.assert_allclose(found.values, [[1600, samples[0]], [800, samples[1600]]], rtol=1e-6)


def test_statistics_are_those_of_the_mfcc(recordings, tmp_path):
    mfcc = extract(recordings, "released", jobs=2, cache=tmp_path)
    found = extract(recordings, "mfcc-statistics", jobs=2, cache=tmp_path)
    spoken = [
        frame_functionals(values[first:end])
        for values, (first, end) in zip(mfcc.values, mfcc.speech, strict=True)
    ]
    np.testing.assert_array_equal(found.values, np.float32(spoken))
    assert found.values.shape == (5, 195) and found.speech is None and found.settings is None


def test_segments_are_means_of_the_frames_of_equal_parts(recordings, tmp_path):
    frames = extract(recordings, "pitch", jobs=2, cache=tmp_path)
    found = extract(recordings, "segments", jobs=2, cache=tmp_path).values
    assert found.shape == (5, 16 * 39 + 1)
    for values, (first, end), row in zip(frames.values, frames.speech, found, strict=True):
        count = end - first
        weights = np.zeros((16, count))  # how much of every frame lies in every part
        for part, frame in np.ndindex(16, count):
            start, stop = part * count / 16, (part + 1) * count / 16
            weights[part, frame] = max(0, min(stop, frame + 1) - max(start, frame))
        means = weights / weights.sum(axis=1, keepdims=True) @ values[first:end]
        np.testing.assert_allclose(row[:-1], means.ravel(), rtol=1e-4, atol=1e-4)
        assert row[-1] == pytest.approx(np.log(count))


def test_what_cannot_be_used_is_left_out_by_name(recordings, tmp_path, caplog):
    whole = extract(recordings, SHORT, jobs=2, cache=tmp_path / "whole")
    with open(recordings["path"][1], "wb") as file:
        file.write(b"no audio")
    os.unlink(recordings["path"][3])
    soundfile.write(recordings["path"][4], np.full(9000, np.inf), 22_050, subtype="FLOAT")
    found = extract(recordings, SHORT, jobs=2, cache=tmp_path)
    assert list(found.failed) == [1, 3, 4] and found.key == whole.key
    assert found.failed[4] == "the recording holds values that are not finite (NaN)"
    np.testing.assert_array_equal(found.values[[0, 2]], whole.values[[0, 2]])
    np.testing.assert_array_equal(found.speech[[0, 2]], whole.speech[[0, 2]])
    assert np.isnan(found.values[[1, 3, 4]]).all()
    assert len(caplog.records) == 1 and "3 of 5 left out: 1.wav: not a readable" in caplog.text


def test_nothing_that_can_be_used(tmp_path):
    named = {"path": str(tmp_path / "a.wav"), "corpus": "toy", "utterance": "a.wav", "digest": "x"}
    manifest = pd.DataFrame([named])
    for content in (None, "text"):
        if content:
            (tmp_path / "a.wav").write_text(content)
        with pytest.raises(StudyError, match=r"none of 1 utterances can be used: .*a\.wav"):
            extract(manifest, jobs=2, cache=tmp_path)


OWN = """
import numpy as np

def levels(signal, sampling_rate):
    assert signal.dtype == np.float32 and sampling_rate == 16000
    return np.abs(signal[:4000]).reshape(50, 80)

def lengths(signal, sampling_rate):
    return signal

def odd(signal, sampling_rate):
    return np.full(3, np.nan if len(signal) < 6000 else 1)

def complex_(signal, sampling_rate):
    return np.fft.rfft(signal, 8)

def broken(signal, sampling_rate):
    raise ZeroDivisionError("by hand")
"""


def test_a_function_of_ones_own(recordings, tmp_path, caplog):
    (tmp_path / "own.py").write_text(OWN)
    own = f"{tmp_path}/own.py:levels"
    found = extract(recordings, own, jobs=2, cache=tmp_path)
    expected = [np.abs(soundfile.read(path)[0][:4000]) for path in recordings["path"]]
    np.testing.assert_allclose(found.values.reshape(5, -1), expected, rtol=1e-6)
    assert found.values.dtype == np.float32 and found.speech is None
    assert found.key == feature_key(recordings, own)
    (tmp_path / "own.py").write_text(OWN.replace("np.abs", "2 * np.abs"))
    doubled = extract(recordings, own, jobs=1, cache=tmp_path)
    np.testing.assert_array_equal(doubled.values, 2 * found.values)

    odd = extract(recordings, f"{tmp_path}/own.py:odd", jobs=1, cache=tmp_path)
    kept = [row for row in range(5) if row not in odd.failed]
    assert 0 < len(kept) < 5 and (odd.values[kept] == 1).all()
    assert "not finite" in caplog.text
    with pytest.raises(StudyError, match=r"shape \(16000,\), got \("):
        extract(recordings, f"{tmp_path}/own.py:lengths", jobs=1, cache=tmp_path)
    mistakes = {
        "broken": "ZeroDivisionError.*by hand",
        "none": "expected 'none'",
        "complex_": "utterances can be used: .* expected real numbers, got complex ones",
    }
    for name, expected in mistakes.items():
        with pytest.raises(StudyError, match=expected):
            extract(recordings, f"{tmp_path}/own.py:{name}", jobs=1, cache=tmp_path)
    with pytest.raises(StudyError, match=r"expected a file .*not\.py, found none"):
        feature_key(recordings, f"{tmp_path}/not.py:levels")


DEADLY = """
import os, pathlib, signal
def own(signal_, rate):
    calls = pathlib.Path({calls!r})
    if len(signal_) == {length}:
        with open(calls, "a") as file:
            file.write("x")
        if calls.stat().st_size <= {deaths}:
            os.kill(os.getpid(), signal.SIGKILL)
    return signal_[:3]
"""


@pytest.mark.parametrize(
    ("count", "jobs", "deaths", "left_out"),
    [
        (40, 2, 1, 0),
        (6, 1, 10_000, 1),
        pytest.param(40, 2, 10_000, 1, marks=pytest.mark.slow),
        pytest.param(6, 2, 10_000, 1, marks=pytest.mark.slow),
    ],
)
def test_a_recording_whose_process_dies_is_tried_again_then_left_out(
    tmp_path, count, jobs, deaths, left_out
):
    recordings = write_recordings(tmp_path / "audio", count)
    fatal = count // 2
    length = soundfile.info(recordings["path"][fatal]).frames
    code = DEADLY.format(calls=str(tmp_path / "calls"), length=length, deaths=deaths)
    (tmp_path / "own.py").write_text(code)
    found = extract(recordings, f"{tmp_path}/own.py:own", jobs=jobs, cache=tmp_path)
    assert (tmp_path / "calls").stat().st_size > 1
    assert list(found.failed) == [fatal] * left_out
    assert all("process" in reason for reason in found.failed.values())
    kept = [row for row in range(count) if row not in found.failed]
    samples = [soundfile.read(path, dtype="float32")[0][:3] for path in recordings["path"][kept]]
    np.testing.assert_array_equal(found.values[kept], samples)


def test_a_function_that_kills_its_process_costs_itself(recordings, tmp_path):
    for number, way in enumerate(("os._exit(3)", "ctypes.string_at(0)")):
        file = tmp_path / f"own_{number}.py"
        file.write_text(f"import ctypes, os\n\ndef own(signal, rate):\n    {way}\n")
        expected = rf"{file}:own: expected an array for a second of noise, got a process that dies"
        with pytest.raises(StudyError, match=expected):
            extract(recordings, f"{file}:own", jobs=1, cache=tmp_path)


def test_corpora_of_different_lengths_need_a_number(tmp_path):
    sides = [write_recordings(tmp_path / name, 2, name) for name in ("emodb", "casia")]
    manifest = pd.concat(sides)  # with the same index twice
    with pytest.raises(StudyError, match=r"emodb \(96000\), casia \(88000\)"):
        extract(manifest, "released", cache=tmp_path)
    found = extract(manifest, "released", samples=16_000, jobs=2, cache=tmp_path)
    assert found.settings == SHORT and found.values.shape == (4, 32, 39)
    assert found.key == feature_key(manifest, SHORT)


@pytest.mark.parametrize(
    ("rows", "features", "expected"),
    [
        (slice(0), "released", "empty manifest"),
        (slice(0), "egemaps", "empty manifest"),
        (slice(2), "new", r"paper, released, .*\.npz or \.npy.*file\.py:function, got 'new'"),
        (slice(2), "own.py", "got 'own.py'"),
    ],
)
def test_mistakes_are_named_in_one_line(recordings, tmp_path, rows, features, expected):
    with pytest.raises(StudyError, match=expected) as caught:
        extract(recordings[rows], features, cache=tmp_path)
    assert "\n" not in str(caught.value)


def test_resampled_recordings_are_shorter_and_higher(tmp_path):
    manifest = write_recordings(tmp_path / "audio", 2)
    for path in manifest["path"]:
        seconds = np.arange(16_000) / 16_000
        tone = sum(np.sin(2 * np.pi * 200 * k * seconds) for k in (1, 2, 3)) / 4
        soundfile.write(path, tone, 16_000)
    plain = extract(manifest, replace(PRESETS["pitch"], samples=44_100), jobs=2, cache=tmp_path)
    for factor in (1.25, 0.8):
        changed = replace(plain.settings, factor=factor)
        version = extract(manifest, changed, jobs=2, cache=tmp_path)
        first, end = version.speech[0]
        pitch = np.median(2 ** version.values[0, first + 3 : end - 3, 1])
        assert pitch == pytest.approx(200 * factor, rel=0.01)
        length = np.diff(plain.speech[0])[0]
        assert end - first == pytest.approx(length / factor, abs=4)
        assert version.key != plain.key


def test_the_room_is_light_to_import():
    code = "import sys, ctl_helpers.features; print(sorted({'keras', 'librosa', 'opensmile', "
    code += "'tensorflow', 'sklearn', 'matplotlib'} & set(sys.modules)))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "[]\n"
