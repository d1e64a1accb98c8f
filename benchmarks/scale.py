"""Features of a thousand utterances and of many more: seconds per utterance and peak memory.

The corpus is synthetic: wav files of noise, features, and reading them back in batches. The time
to start the processes is not counted; memory is that of all processes together.
"""

import json
import subprocess
import sys
import tempfile
import threading
import time
import wave
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.measure import say, table
from ctl_helpers.parallel import parallel_map

RATE, LENGTH, SAMPLES = 16_000, 24_000, 33_075  # 1.5 s, at 16 000 and at 22 050 Hz
EMOTIONS = ["angry", "happy", "neutral", "sad"]
_CHUNK = 500


def report(utterances, small=1000):
    """Measure a small and a large corpus; return the table and the numbers."""
    found = {}
    for count in (small, utterances):
        say(f"{count} utterances")
        with tempfile.TemporaryDirectory() as folder:
            found[count] = _measure(count, folder)
    rows = []
    for count, one in found.items():
        per = {name: 1000 * one[name] / count for name in ("features", "reading")}
        rows.append([count, *(f"{per[name]:.3g}" for name in per), f"{one['memory_mb']:.0f}"])
    more = {name: found[utterances][name] / utterances for name in ("features", "reading")}
    less = {name: found[small][name] / small for name in more}
    growth = ", ".join(f"{name} {more[name] / less[name]:.2f}" for name in more)
    head = ["utterances", "features, ms each", "reading, ms each", "peak memory, MB"]
    return table(head, rows) + f"\n\nCost per utterance, large to small: {growth}.", found


def _measure(count, folder):
    command = [sys.executable, "-m", "benchmarks.scale", str(count), folder]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    peak = [0.0]
    watcher = threading.Thread(target=_watch, args=(process, peak), daemon=True)
    watcher.start()
    output, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"benchmarks: the run on {count} utterances failed")
    watcher.join()
    return json.loads(output.splitlines()[-1]) | {"memory_mb": peak[0]}


def _watch(process, peak):
    while process.poll() is None:
        peak[0] = max(peak[0], sum(map(_resident, _family(process.pid))))
        time.sleep(0.5)


def _family(pid):
    yield pid
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = file.read_text().split()
        except OSError:
            continue
        for child in children:
            yield from _family(int(child))


def _resident(pid):
    """Resident memory in MB, what processes share counted once."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def write_recordings(count, folder):
    """Write recordings that all differ, and return their manifest."""
    starts = range(0, count, _CHUNK)
    parallel_map(partial(_write_chunk, count, folder), starts, description="recordings")
    paths = [str(_path(folder, number)) for number in range(count)]
    rows = np.arange(count)
    return pd.DataFrame(
        {
            "path": paths,
            **{"utterance": paths, "digest": paths, "start": np.nan, "end": np.nan},
            "corpus": "synthetic",
            "emotion": np.array(EMOTIONS)[rows % len(EMOTIONS)],
            "speaker": (rows % 50).astype(str),
            "sex": "",
        }
    )


def _path(folder, number):
    return Path(folder) / f"{number // _CHUNK:04d}" / f"{number:07d}.wav"


def _write_chunk(count, folder, start):
    _path(folder, start).parent.mkdir()
    for number in range(start, min(count, start + _CHUNK)):
        samples = np.random.default_rng(number).integers(-3000, 3000, LENGTH, dtype=np.int16)
        with wave.open(str(_path(folder, number)), "wb") as file:
            file.setparams((1, 2, RATE, 0, "NONE", ""))
            file.writeframes(samples.tobytes())


def main(count, folder):
    """Write recordings and extract their features; print the seconds of the latter as JSON."""
    from ctl_helpers.features import FeatureSettings, extract

    folder = Path(folder)
    manifest = write_recordings(int(count), folder)
    settings = FeatureSettings(samples=SAMPLES)
    extract(manifest[:64], settings, cache=folder / "warm-up")
    started = time.perf_counter()
    features = extract(manifest, settings, cache=folder / "cache")
    extracted = time.perf_counter()
    for start in range(0, len(features.values), _CHUNK):  # read them as a training does
        np.asarray(features.values[start : start + _CHUNK]).mean()
    read = time.perf_counter()
    print(json.dumps({"features": extracted - started, "reading": read - extracted}))


if __name__ == "__main__":
    main(*sys.argv[1:])
