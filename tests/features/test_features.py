import errno
import json
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import librosa
import numpy as np
import pandas as pd
import pytest
import soundfile
from conftest import SHARED, needs_shared
from hypothesis import given, settings
from hypothesis import strategies as st

from ctl_helpers.corpora import load_manifest, read_audio
from ctl_helpers.errors import StudyError
from ctl_helpers.features import cache as feature_cache
from ctl_helpers.features import mfcc as features
from ctl_helpers.features.mfcc import PRESETS, FeatureSettings, extract, mfcc, resampled

SHORT = FeatureSettings(samples=16_000)


def librosas(signal, chosen):
    """The same by librosa itself, on the signal padded or cropped as the released code does."""
    missing = chosen.samples - len(signal)
    if missing >= 0:
        signal = np.pad(signal, (missing // 2, missing - missing // 2))
    else:
        signal = signal[-missing // 2 :][: chosen.samples]
    return librosa.feature.mfcc(
        y=signal,
        sr=chosen.sampling_rate,
        n_mfcc=chosen.n_mfcc,
        n_fft=chosen.n_fft,
        win_length=chosen.win_length,
        hop_length=chosen.hop_length,
        window=chosen.window,
    ).T


@pytest.fixture
def recordings(tmp_path):
    """Five short recordings of two speakers and their manifest."""
    return write_recordings(tmp_path / "audio", 5)


def write_recordings(folder, count, corpus="toy"):
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(count)
    paths = [folder / f"{number}.wav" for number in range(count)]
    for path in paths:
        soundfile.write(path, 0.1 * generator.normal(size=generator.integers(4000, 9000)), 16_000)
    return pd.DataFrame(
        {
            "path": [str(path) for path in paths],
            "corpus": corpus,
            "emotion": ["sad", "happy"] * (count // 2) + ["sad"] * (count % 2),
            "speaker": [str(number % 2) for number in range(count)],
        }
    )


@pytest.fixture
def reads(monkeypatch):
    """The paths read from here on, in this process."""
    paths = []

    def counted(path, sampling_rate):
        paths.append(path)
        return read_audio(path, sampling_rate)

    monkeypatch.setattr(features, "read_audio", counted)
    return paths


@pytest.mark.filterwarnings("ignore:n_fft=2048 is too large")
@pytest.mark.parametrize("preset", sorted(set(PRESETS) - {"moments"}))
@settings(deadline=None, max_examples=15)
@given(st.integers(1, 40_000), st.integers(1, 30_000), st.integers(0, 99))
def test_mfcc_is_librosas(preset, length, samples, seed):
    signal = np.random.default_rng(seed).normal(size=length).astype(np.float32) / 10
    chosen = replace(PRESETS[preset], samples=samples)
    values, (first, end) = mfcc(signal, chosen)
    assert values.dtype == np.float32 and values.shape == (chosen.frames, 39)
    cepstra = values[:, -chosen.n_mfcc :]
    np.testing.assert_allclose(cepstra, librosas(signal, chosen), rtol=1e-5, atol=2e-3)
    padding = np.delete(values, np.s_[first:end], axis=0)
    assert (padding == padding[:1]).all()
    assert 0 <= first < end <= chosen.frames


@pytest.mark.parametrize("preset", sorted(PRESETS))
@pytest.mark.parametrize("length", [1, 511, 2048, 9000, 16_000, 20_001])
def test_speech_frames_are_those_whose_window_holds_signal(preset, length):
    chosen = replace(PRESETS[preset], samples=16_000)
    _, (first, end) = mfcc(np.ones(length, np.float32), chosen)
    before = max(0, (16_000 - length) // 2)
    signal = np.zeros(16_000 + 4096)
    signal[2048 + before :][: min(length, 16_000)] = 1
    centres = 2048 + chosen.hop_length * np.arange(chosen.frames)
    reach = chosen.win_length // 2
    holds = [signal[centre - reach : centre + reach].any() for centre in centres]
    assert np.flatnonzero(holds).tolist() == list(range(first, end))


def test_signal_of_unknown_length_keeps_it():
    values, speech = mfcc(np.ones(5120, np.float32), PRESETS["released"])
    assert values.shape == (11, 39) and speech.tolist() == [0, 11]


@needs_shared
@pytest.mark.parametrize(("corpus", "shape"), [("emodb", (3, 188, 39)), ("casia", (3, 172, 39))])
def test_real_speech_is_librosas(corpus, shape, tmp_path):
    manifest = load_manifest(SHARED / "corpora", corpus).iloc[::200][:3].reset_index(drop=True)
    found = extract(manifest, "released", jobs=1, cache=tmp_path)
    assert found.values.shape == shape
    for path, values in zip(manifest["path"], found.values, strict=True):
        signal, _ = librosa.load(path, sr=22_050)
        np.testing.assert_allclose(values, librosas(signal, found.settings), rtol=1e-5, atol=2e-3)


@pytest.mark.parametrize(
    ("name", "frames"), [("casia", 172), ("emodb", 188), ("ravdess", 215), ("savee", 254)]
)
def test_released_frames_per_corpus(name, frames, tmp_path):
    manifest = write_recordings(tmp_path, 1, corpus=name)
    assert extract(manifest, "released", jobs=1, cache=tmp_path).values.shape == (1, frames, 39)


def test_two_jobs_give_what_one_gives(tmp_path):
    manifest = write_recordings(tmp_path / "audio", 40)
    one = extract(manifest, SHORT, jobs=1, cache=tmp_path / "one")
    two = extract(manifest, SHORT, jobs=2, cache=tmp_path / "two")
    assert one.key == two.key
    np.testing.assert_allclose(one.values, two.values, rtol=1e-5, atol=2e-3)
    np.testing.assert_array_equal(one.speech, two.speech)


def test_a_second_call_reads_the_cache(recordings, reads, tmp_path, monkeypatch):
    first = extract(recordings, SHORT, jobs=1, cache=tmp_path)
    assert len(reads) == 5
    monkeypatch.setattr(feature_cache, "_hash_file", pytest.fail)
    second = extract(recordings, SHORT, jobs=1, cache=tmp_path)
    assert len(reads) == 5
    assert isinstance(second.values, np.memmap) and not second.values.flags.writeable
    assert second.key == first.key
    np.testing.assert_array_equal(second.values, first.values)
    np.testing.assert_array_equal(second.speech, first.speech)


def test_a_changed_file_costs_only_itself(recordings, reads, tmp_path):
    first = extract(recordings, SHORT, jobs=1, cache=tmp_path)
    path = recordings["path"][2]
    soundfile.write(path, 0.1 * np.sin(np.arange(7000)), 16_000)
    reads.clear()
    second = extract(recordings, SHORT, jobs=1, cache=tmp_path)
    assert reads == [path] and second.key != first.key
    others = [0, 1, 3, 4]
    np.testing.assert_array_equal(second.values[others], first.values[others])
    np.testing.assert_array_equal(second.speech[others], first.speech[others])
    fresh = extract(recordings, SHORT, jobs=1, cache=tmp_path / "fresh")
    np.testing.assert_array_equal(second.values, fresh.values)


def test_order_copies_and_subsets_compute_nothing(recordings, reads, tmp_path):
    first = extract(recordings, SHORT, jobs=1, cache=tmp_path)
    reads.clear()
    copied = shutil.copy(recordings["path"][0], tmp_path / "copy.wav")
    rows = recordings.iloc[[3, 0, 0]].reset_index(drop=True)
    rows.loc[2, "path"] = str(copied)
    again = extract(rows, SHORT, jobs=1, cache=tmp_path)
    assert not reads
    np.testing.assert_array_equal(again.values, first.values[[3, 0, 0]])


def test_changed_settings_compute_all(recordings, reads, tmp_path):
    keys = {
        extract(recordings, chosen, jobs=1, cache=tmp_path).key
        for chosen in (SHORT, replace(SHORT, samples=12_000), replace(SHORT, window="hamming"))
    }
    assert len(keys) == 3 and len(reads) == 15


def test_key_does_not_depend_on_the_folder(recordings, tmp_path):
    moved = recordings.assign(
        path=[
            str(shutil.copy(path, tmp_path / f"x{row}.wav"))
            for row, path in recordings.path.items()
        ]
    )
    one = extract(recordings, SHORT, jobs=1, cache=tmp_path / "one")
    assert extract(moved, SHORT, jobs=1, cache=tmp_path / "two").key == one.key


def test_a_file_that_cannot_be_read_costs_one_utterance(recordings, tmp_path, caplog):
    whole = extract(recordings, SHORT, jobs=1, cache=tmp_path / "whole")
    with open(recordings["path"][1], "wb") as file:
        file.write(b"no audio")
    os.unlink(recordings["path"][3])
    found = extract(recordings, SHORT, jobs=1, cache=tmp_path)
    assert found.manifest["path"].tolist() == recordings["path"][[0, 2, 4]].tolist()
    assert found.manifest.index.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(found.values, whole.values[[0, 2, 4]])
    np.testing.assert_array_equal(found.speech, whole.speech[[0, 2, 4]])
    assert "1.wav" in caplog.text and "3.wav" in caplog.text
    again = extract(found.manifest, SHORT, jobs=1, cache=tmp_path)
    assert again.key == found.key


def test_an_interrupted_extraction_leaves_nothing_half(recordings, tmp_path, monkeypatch):
    def interrupted(path, sampling_rate):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(features, "read_audio", interrupted)
        with pytest.raises(KeyboardInterrupt):
            extract(recordings, SHORT, jobs=1, cache=tmp_path)
    assert not list(tmp_path.rglob("values.npy"))
    assert len(extract(recordings, SHORT, jobs=1, cache=tmp_path).values) == 5


def test_leftovers_of_killed_processes_are_ignored_and_swept(recordings, tmp_path):
    first = extract(recordings[:1], SHORT, jobs=1, cache=tmp_path)
    folder = next(tmp_path.rglob("index.json")).parent
    fresh, stale = folder.with_name("partial-fresh"), folder.with_name("partial-stale")
    for leftover in (fresh, stale):
        shutil.copytree(folder, leftover)
        (leftover / "values.npy").write_bytes(b"half")
    os.utime(stale, (time.time() - 100_000,) * 2)
    found = extract(recordings, SHORT, jobs=1, cache=tmp_path)
    np.testing.assert_array_equal(found.values[:1], first.values)
    assert fresh.exists() and not stale.exists()


def test_a_damaged_cache_is_made_anew(recordings, reads, tmp_path):
    first = np.array(extract(recordings, SHORT, jobs=1, cache=tmp_path).values)
    values = next(tmp_path.rglob("values.npy"))
    values.write_bytes(values.read_bytes()[:1000])
    (tmp_path / "features" / "contents.json").write_text("{broken")
    second = extract(recordings, SHORT, jobs=1, cache=tmp_path)
    assert len(reads) == 10
    np.testing.assert_array_equal(second.values, first)


def test_several_at_once_agree(recordings, tmp_path):
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: extract(recordings, SHORT, 1, tmp_path), range(4)))
    assert len({one.key for one in found}) == 1
    for one in found:
        np.testing.assert_array_equal(one.values, found[0].values)
    assert not list(tmp_path.rglob("partial-*"))


def test_a_cache_that_cannot_be_written_is_told(recordings, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(StudyError, match="cache folder"):
        extract(recordings, SHORT, jobs=1, cache=tmp_path / "file")

    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(feature_cache, "_write_rows", full)
    with pytest.raises(StudyError, match="No space left"):
        extract(recordings, SHORT, jobs=1, cache=tmp_path)
    assert not list(tmp_path.rglob("partial-*"))


def test_index_is_plain_json(recordings, tmp_path):
    extract(recordings, SHORT, jobs=1, cache=tmp_path)
    index = json.loads(next(tmp_path.rglob("index.json")).read_text())
    assert len(set(index["contents"])) == len(index["speech"]) == 5


def test_corpora_of_different_lengths_need_a_number(tmp_path):
    manifest = pd.concat(
        [write_recordings(tmp_path / name, 2, name) for name in ("emodb", "casia")],
        ignore_index=True,
    )
    with pytest.raises(StudyError, match=r"emodb \(96000\), casia \(88000\)"):
        extract(manifest, "released", cache=tmp_path)
    assert len(extract(manifest, SHORT, jobs=1, cache=tmp_path).values) == 4


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (lambda: FeatureSettings(hop_length=0), "hop_length"),
        (lambda: FeatureSettings(samples=1.5), "samples"),
        (lambda: FeatureSettings(win_length=4096), "win_length"),
        (lambda: FeatureSettings(n_mfcc=200), "n_mfcc"),
        (lambda: extract(pd.DataFrame({"path": [], "corpus": []})), "empty manifest"),
        (lambda: extract(pd.DataFrame({"path": ["/x"], "corpus": ["x"]}), "new"), "paper, rel"),
    ],
)
def test_mistakes_are_told_in_one_line(chosen, expected):
    with pytest.raises(StudyError, match=expected) as caught:
        chosen()
    assert "\n" not in str(caught.value)


def test_nothing_readable_is_told(tmp_path):
    manifest = pd.DataFrame({"path": [str(tmp_path / "a.wav")], "corpus": ["toy"]})
    with pytest.raises(StudyError, match=r"a\.wav"):
        extract(manifest, cache=tmp_path)
    (tmp_path / "a.wav").write_text("text")
    with pytest.raises(StudyError, match=r"a\.wav"):
        extract(manifest, jobs=1, cache=tmp_path)


def test_select(recordings, tmp_path):
    found = extract(recordings, SHORT, jobs=1, cache=tmp_path)
    part = found.select([4, 1])
    assert part.manifest["path"].tolist() == recordings["path"][[4, 1]].tolist()
    np.testing.assert_array_equal(part.values, found.values[[4, 1]])
    np.testing.assert_array_equal(part.speech, found.speech[[4, 1]])
    assert part.key == found.select(np.array([4, 1])).key
    sad = (recordings["emotion"] == "sad").to_numpy()
    assert found.select(sad).key == found.select(np.flatnonzero(sad)).key != part.key
    assert found.select(slice(None)).key == found.key


def test_resampled_recordings_are_shorter_and_higher(tmp_path, monkeypatch):
    monkeypatch.setenv("CTL_CACHE", str(tmp_path / "cache"))
    manifest = write_recordings(tmp_path / "audio", 2)
    for path in manifest["path"]:
        seconds = np.arange(16_000) / 16_000
        tone = sum(np.sin(2 * np.pi * 200 * k * seconds) for k in (1, 2, 3)) / 4
        soundfile.write(path, tone, 16_000)
    plain = extract(manifest, replace(PRESETS["pitch"], samples=44_100), jobs=1)
    faster, slower = resampled(plain, (1.25, 0.8))
    for version, factor in ((faster, 1.25), (slower, 0.8)):
        first, end = version.speech[0]
        pitch = np.median(2 ** version.values[0, first + 3 : end - 3, 1])
        assert pitch == pytest.approx(200 * factor, rel=0.01)
        length = np.diff(plain.speech[0])[0]
        assert end - first == pytest.approx(length / factor, abs=4)
        assert version.key != plain.key
    assert resampled(plain, ()) == ()
    os.remove(manifest["path"][1])
    with pytest.raises(
        StudyError, match="expected 2 recordings that can be read, as before, got 1"
    ):
        resampled(plain, (1.1,))


def test_a_factor_out_of_range():
    with pytest.raises(StudyError, match="factor: expected a number from"):
        FeatureSettings(factor=0)
