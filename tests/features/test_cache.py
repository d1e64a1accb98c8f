import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from toy_recordings import SHORT, with_digests, write_recordings

from ctl_helpers.errors import StudyError
from ctl_helpers.features import extract

HERE = Path(__file__).parent
CODE = """
    import resource, sys
    from pathlib import Path
    from toy_recordings import write_recordings
    from ctl_helpers.features import extract
    folder = Path(sys.argv[1])
    manifest = write_recordings(folder / f"audio of {sys.argv[2]}", 40)
    own = f"{folder}/own.py:own"
"""
OWN = "def own(signal, rate):\n    return signal[:1000]\n"


@pytest.fixture
def recordings(tmp_path):
    return write_recordings(tmp_path / "audio", 5)


def start(folder, name, code):
    """Run code in a process of its own that has made the same recordings, under other names."""
    paths = [str(HERE), str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")]
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(CODE) + textwrap.dedent(code), str(folder), name],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths), "CTL_PROGRESS": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def file_of(cache):
    (file,) = cache.glob("features/*/*.npy")
    return file


def silence_all(manifest):
    """Take the recordings away, so that their features can only be read from the cache."""
    for path in manifest["path"]:
        os.unlink(path)


def test_what_is_there_is_not_computed_again(recordings, tmp_path):
    first = extract(recordings, SHORT, jobs=2, cache=tmp_path)
    silence_all(recordings)
    second = extract(recordings, SHORT, jobs=2, cache=tmp_path)
    assert isinstance(second.values, np.memmap) and not second.values.flags.writeable
    assert second.key == first.key
    np.testing.assert_array_equal(second.values, first.values)
    np.testing.assert_array_equal(second.speech, first.speech)


def test_only_a_changed_file_is_computed_again(recordings, tmp_path):
    first = extract(recordings, SHORT, jobs=2, cache=tmp_path)
    silence_all(recordings)
    soundfile.write(recordings["path"][2], 0.1 * np.sin(np.arange(7000)), 16_000)
    changed = recordings.copy()
    changed.loc[2, "digest"] = with_digests(recordings[2:3])["digest"][2]
    second = extract(changed, SHORT, jobs=2, cache=tmp_path)
    assert second.key != first.key
    others = [0, 1, 3, 4]
    np.testing.assert_array_equal(second.values[others], first.values[others])
    np.testing.assert_array_equal(second.speech[others], first.speech[others])
    fresh = extract(changed[2:3], SHORT, jobs=2, cache=tmp_path / "fresh")
    np.testing.assert_array_equal(second.values[2:3], fresh.values)


def test_what_failed_is_computed_again_only_where_that_is_asked_for(recordings, tmp_path):
    whole = extract(recordings, SHORT, jobs=2, cache=tmp_path / "whole")
    os.rename(recordings["path"][2], tmp_path / "away.wav")
    first = extract(recordings, SHORT, jobs=2, cache=tmp_path)
    assert list(first.failed) == [2] and first.key == whole.key
    os.rename(tmp_path / "away.wav", recordings["path"][2])
    stamp = file_of(tmp_path).stat().st_mtime_ns
    again = extract(recordings, SHORT, jobs=2, cache=tmp_path, retry=False)
    assert list(again.failed) == [2] and file_of(tmp_path).stat().st_mtime_ns == stamp
    others = extract(recordings[2:], SHORT, jobs=2, cache=tmp_path, retry=False)
    assert not others.failed  # in a list of its own it is new
    mended = extract(recordings, SHORT, jobs=2, cache=tmp_path)
    np.testing.assert_array_equal(mended.values, whole.values)
    assert not mended.failed


def test_order_copies_and_subsets_compute_nothing(recordings, tmp_path):
    first = extract(recordings, SHORT, jobs=2, cache=tmp_path)
    silence_all(recordings)
    again = extract(recordings.iloc[[3, 0, 0]], SHORT, jobs=2, cache=tmp_path)
    np.testing.assert_array_equal(again.values, first.values[[3, 0, 0]])


def test_other_settings_are_other_rows(recordings, tmp_path):
    chosen = [SHORT, replace(SHORT, samples=12_000), replace(SHORT, window="hamming")]
    found = [extract(recordings, one, jobs=2, cache=tmp_path) for one in chosen]
    assert len({one.key for one in found}) == 3
    assert np.abs(found[0].values - found[2].values).max() > 1


@pytest.mark.parametrize("place", ["magic", "header", "checksum", "name", "speech", "values"])
def test_a_flipped_bit_is_noticed_and_mended(recordings, tmp_path, caplog, place):
    first = extract(recordings, SHORT, jobs=2, cache=tmp_path)
    values, speech = np.array(first.values), first.speech
    file, size = file_of(tmp_path), first.values.strides[0]
    row = file.stat().st_size - 3 * size
    offsets = {"magic": 1, "header": 60, "checksum": row, "name": row + 9, "speech": row + 29}
    data = bytearray(file.read_bytes())
    data[offsets.get(place, row + 5000)] ^= 1 << 3
    file.write_bytes(data)
    os.utime(file, (1, 1))  # as for a process that reads it for the first time
    second = extract(recordings, SHORT, jobs=2, cache=tmp_path)
    np.testing.assert_array_equal(second.values, values)
    np.testing.assert_array_equal(second.speech, speech)
    assert second.key == first.key
    assert caplog.text.count("damaged") == caplog.text.count("\n") == 1
    caplog.clear()
    extract(recordings, SHORT, jobs=2, cache=tmp_path)
    assert not caplog.text


def test_only_damaged_rows_are_computed_again(recordings, tmp_path):
    first = np.array(extract(recordings, SHORT, jobs=2, cache=tmp_path).values)
    file = file_of(tmp_path)
    data = bytearray(file.read_bytes())
    data[-100] ^= 1  # in the last row
    file.write_bytes(data)
    os.utime(file, (1, 1))
    silence_all(recordings[:4])
    again = extract(recordings, SHORT, jobs=2, cache=tmp_path)
    np.testing.assert_array_equal(again.values, first)


@pytest.mark.parametrize("length", [0, 50, 1000])
def test_a_file_cut_short_is_made_anew(recordings, tmp_path, length):
    first = np.array(extract(recordings, SHORT, jobs=2, cache=tmp_path).values)
    file = file_of(tmp_path)
    file.write_bytes(file.read_bytes()[:length])
    again = extract(recordings, SHORT, jobs=2, cache=tmp_path)
    np.testing.assert_array_equal(again.values, first)


def test_a_killed_process_leaves_nothing_half(recordings, tmp_path):
    own = f"{tmp_path}/own.py:own"
    (tmp_path / "own.py").write_text(
        "import os, pathlib\ncalls = []\ndef own(signal, rate):\n    calls.append(1)\n"
        "    if len(calls) == 4 and pathlib.Path(__file__).with_name('kill').exists():\n"
        "        os.kill(os.getppid(), 9)\n    return signal[:10]\n"
    )
    (tmp_path / "kill").touch()
    code = "extract(manifest[:5], own, jobs=1, cache=folder / 'cache')"
    process = start(tmp_path, "one", code)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    (tmp_path / "kill").unlink()
    (stale,) = tmp_path.rglob("partial-*")
    assert not list(stale.parent.glob("*.npy"))
    fresh = shutil.copytree(stale, stale.with_name("partial-fresh"))
    # What was left behind goes away once nobody can be working on it any more.
    for path in (*stale.iterdir(), stale):
        os.utime(path, (time.time() - 4000,) * 2)
    assert len(extract(recordings, own, jobs=2, cache=tmp_path / "cache").values) == 5
    assert fresh.exists() and not stale.exists()


def test_two_processes_at_once_agree(tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    code = "print(extract(manifest, own, jobs=2, cache=folder / 'cache').values.sum())"
    both = [start(tmp_path, name, code) for name in ("one", "two")]
    said = [process.communicate()[0] for process in both]
    assert said[0] == said[1] and float(said[0])
    assert not list(tmp_path.rglob("partial-*"))


def test_several_threads_at_once_agree(recordings, tmp_path):
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: extract(recordings, SHORT, 2, tmp_path), range(4)))
    for one in found:
        assert one.key == found[0].key
        np.testing.assert_array_equal(one.values, found[0].values)
    assert not list(tmp_path.rglob("partial-*"))


def test_a_full_disk_is_named_with_the_folder(tmp_path):
    code = """
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        extract(manifest, own, jobs=2, cache=folder / "cache")
    """
    (tmp_path / "own.py").write_text(OWN)
    said = start(tmp_path, "one", code).communicate()[0].splitlines()[-1]
    assert f"StudyError: features: cannot write to the cache folder {tmp_path}/cache" in said
    assert "File too large" in said  # with a limit in place of a disk
    assert not list((tmp_path / "cache").rglob("*.npy"))
    assert not list((tmp_path / "cache").rglob("partial-*"))


def test_a_cache_that_is_a_file_is_named(recordings, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StudyError, match=r"cache folder .*file/features.*Not a directory"):
        extract(recordings, SHORT, jobs=2, cache=tmp_path / "file")


def test_a_full_cache_that_is_read_only_serves(recordings, tmp_path):
    cache = tmp_path / "cache"
    first = extract(recordings, SHORT, jobs=2, cache=cache)
    for path in (*cache.rglob("*"), cache):
        path.chmod(0o555 if path.is_dir() else 0o444)
    again = extract(recordings, SHORT, jobs=2, cache=cache)
    np.testing.assert_array_equal(again.values, first.values)
    for path in (cache, *cache.rglob("*")):
        path.chmod(0o755)


def test_an_interrupted_extraction_leaves_nothing(recordings, tmp_path):
    (tmp_path / "own.py").write_text(
        "def own(signal, rate):\n    if len(signal) < 10_000:\n        raise KeyboardInterrupt\n"
        "    return signal[:9]\n"
    )
    with pytest.raises(KeyboardInterrupt):
        extract(recordings, f"{tmp_path}/own.py:own", jobs=2, cache=tmp_path / "cache")
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
