import io
import shutil

import librosa
import numpy as np
import pytest
import soundfile
from conftest import SHARED, needs_shared, noise, write_wav
from layouts import counts, speech

from ctl_helpers.corpora import drop_copies, load_manifest

RATE = 16_000


def coded(samples, file_format, subtype):
    """Samples after a lossy codec, and their rate."""
    memory = io.BytesIO()
    soundfile.write(memory, samples, RATE, format=file_format, subtype=subtype)
    memory.seek(0)
    return soundfile.read(memory)


def padded(samples):
    return np.concatenate([np.zeros(3000), samples, np.zeros(9000)])


CHANGES = {
    "exact": lambda x: (x, RATE),
    "level": lambda x: (0.2 * x, RATE),
    "polarity": lambda x: (-x, RATE),
    "padding": lambda x: (padded(x), RATE),
    "8 kHz": lambda x: (librosa.resample(x, orig_sr=RATE, target_sr=8000), 8000),
    "44.1 kHz": lambda x: (librosa.resample(x, orig_sr=RATE, target_sr=44_100), 44_100),
    "noise": lambda x: (x + 0.1 * x.std() * np.random.default_rng(1).normal(size=len(x)), RATE),
    "mp3": lambda x: coded(x, "MP3", "MPEG_LAYER_III"),
    "vorbis": lambda x: coded(x, "OGG", "VORBIS"),
    "mu-law": lambda x: coded(x, "WAV", "ULAW"),
    "all": lambda x: (librosa.resample(padded(0.4 * x), orig_sr=RATE, target_sr=8000), 8000),
}


def corpus(folder, seeds=range(6)):
    for seed in seeds:
        write_wav(folder / ("angry", "sad")[seed % 2] / f"{seed}.wav", speech(seed=seed), RATE)
    return folder


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_is_left_out(tmp_path, change):
    folder = corpus(tmp_path / "mine")
    samples, rate = CHANGES[change](speech(seed=2))
    write_wav(folder / "angry" / "copy.wav", samples, rate)
    manifest = load_manifest(tmp_path, "mine")
    assert len(manifest) == 6
    assert manifest.attrs["problems"] == [
        {
            "path": "angry/copy.wav",
            "kind": "duplicate",
            "reason": "the same sound as angry/2.wav",
        }
    ]


@pytest.mark.parametrize("change", ["level", "padding", "8 kHz", "all"])
def test_a_changed_copy_of_a_short_sound_is_left_out(tmp_path, change):
    seeds = [seed for seed in range(12) if speech(0.4, seed=seed).any()]
    for seed in seeds:
        samples = speech(0.4, seed=seed)
        write_wav(tmp_path / "mine" / "sad" / f"{seed:02}.wav", samples, RATE)
        copy = tmp_path / "mine" / "sad" / f"copy of {seed:02}.wav"
        write_wav(copy, *CHANGES[change](samples))
    kept = load_manifest(tmp_path, "mine")["utterance"]
    assert kept.tolist() == [f"sad/{seed:02}.wav" for seed in seeds]


def test_short_tones_of_one_pitch_are_no_copies(tmp_path):
    tone = 0.2 * np.sin(2 * np.pi * 300 * np.arange(0, 0.4, 1 / RATE))
    for seed in range(6):
        samples = tone + 0.3 * noise(0.4, RATE, seed=seed)
        write_wav(tmp_path / "mine" / "sad" / f"{seed}.wav", samples, RATE)
    assert len(load_manifest(tmp_path, "mine")) == 6


def test_the_original_is_kept_beside_a_folder_of_copies(tmp_path):
    folder = corpus(tmp_path / "mine" / "speech")
    for seed in range(6):
        samples, rate = CHANGES["noise"](speech(seed=seed))
        path = folder.parent / "augmented" / ("angry", "sad")[seed % 2] / f"{seed}.wav"
        write_wav(path, samples, rate)
    manifest = load_manifest(tmp_path, "mine")
    assert len(manifest) == 6 and manifest["utterance"].str.startswith("speech/").all()


@pytest.mark.parametrize("change", ["exact", "level"])
def test_one_sound_with_two_emotions_is_left_out(tmp_path, change):
    folder = corpus(tmp_path / "mine")
    samples, rate = CHANGES[change](speech(seed=2))
    write_wav(folder / "sad" / "copy.wav", samples, rate)
    manifest = load_manifest(tmp_path, "mine")
    assert counts(manifest) == {"angry": 2, "sad": 3}
    assert [(p["path"], p["kind"], p["reason"]) for p in manifest.attrs["problems"]] == [
        ("angry/2.wav", "contradiction", "the same sound as sad/copy.wav, which is sad"),
        ("sad/copy.wav", "contradiction", "the same sound as angry/2.wav, which is angry"),
    ]


def test_a_published_corpus_keeps_a_changed_copy_under_another_emotion(tmp_path):
    folder = tmp_path / "casia" / "wangzhe"
    for seed in range(4):
        write_wav(folder / "sad" / f"{201 + seed}.wav", speech(seed=seed), RATE)
    write_wav(folder / "fear" / "201.wav", padded(speech(seed=0)), RATE)
    manifest = load_manifest(tmp_path, "casia")
    assert len(manifest) == 5 and manifest.attrs["problems"] == []
    assert {note["kind"] for note in manifest.attrs["notes"]} == {"contradiction"}


def test_copies_across_corpora(tmp_path):
    corpus(tmp_path / "first")
    corpus(tmp_path / "second", range(5, 10))
    write_wav(tmp_path / "second" / "happy" / "x.wav", *CHANGES["all"](speech(seed=0)))
    shutil.copytree(tmp_path / "second" / "sad", tmp_path / "third" / "happy")
    manifests = [load_manifest(tmp_path, name) for name in ("first", "second", "third")]
    first, second, third = drop_copies(manifests)
    assert len(first) == 6
    assert second["utterance"].tolist() == ["angry/6.wav", "angry/8.wav", "sad/7.wav", "sad/9.wav"]
    assert third.empty
    # The index says which rows of the manifest are left.
    left = manifests[1].loc[second.index, "utterance"]
    assert left.tolist() == second["utterance"].tolist()


def test_different_sounds_are_no_copies(tmp_path):
    for seed in range(40):
        write_wav(tmp_path / "mine" / "angry" / f"{seed}.wav", speech(seed=seed), RATE)
        write_wav(tmp_path / "mine" / "sad" / f"{seed}.wav", noise(1, RATE, seed=seed), RATE)
    assert len(load_manifest(tmp_path, "mine")) == 80


@needs_shared
@pytest.mark.skipif(not (SHARED / "corpora" / "ravdess").is_dir(), reason="needs RAVDESS")
def test_the_one_pair_of_ravdess():
    manifest = load_manifest(SHARED / "corpora", "ravdess")
    assert len(manifest) == 1439
    (problem,) = manifest.attrs["problems"]
    assert "Actor_07/03-01-03-01-02-02-07" in problem["path"]
    assert "Actor_07/03-01-03-01-02-01-07" in problem["reason"]
