"""What the tests share: real speech where it is there, synthetic speech everywhere."""

import io
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ctl_helpers.corpora import make_miniature

# Tests run side by side, a process per core: more threads in each would only take turns.
for _threads in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
    os.environ.setdefault(_threads, "1")

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("CTL_SHARED", REPOSITORY.parent / "shared"))
"""Folder with real corpora and golden vectors, which is not part of the repository."""

needs_shared = pytest.mark.skipif(
    not (SHARED / "corpora" / "emodb").is_dir(),
    reason=f"needs the real corpora and golden vectors in {SHARED}",
)


def noise(seconds: float = 0.2, rate: int = 8000, seed: int = 0, channels: int = 1) -> np.ndarray:
    """Quiet noise, another for every seed: shape (samples,) or (samples, channels)."""
    shape = (round(seconds * rate), channels) if channels > 1 else round(seconds * rate)
    return np.random.default_rng(seed).uniform(-0.3, 0.3, shape)


def write_wav(path: Path, samples: np.ndarray | None = None, rate: int = 8000, **options) -> Path:
    """Write a recording (by default some noise), and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    memory = io.BytesIO()  # to a file, soundfile would wait each time until it is on the disk
    memory.name = path.name
    soundfile.write(memory, noise(rate=rate) if samples is None else samples, rate, **options)
    path.write_bytes(memory.getvalue())
    return path


def lay_out(folder: Path, names: Iterable[str]) -> Path:
    """Write a short recording, no two alike, under each name below a folder."""
    samples = noise(0.12)
    for number, name in enumerate(names):
        samples[:2] = number % 100 / 100, number // 100 / 100
        write_wav(folder / name, samples)
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, so that no process waits for them at the end."""
    longest = ("test_pages.py", "test_kills.py", "test_cli.py")
    items.sort(key=lambda item: item.path.name not in longest)


@pytest.fixture(scope="session")
def miniature(tmp_path_factory, worker_id) -> Path:
    """Folder of the miniature corpora, made once for all tests in all processes; read only."""
    own = tmp_path_factory.getbasetemp()
    return make_miniature((own if worker_id == "master" else own.parent) / "miniature")


@pytest.fixture(scope="session")
def own_cache(tmp_path_factory) -> Path:
    """Folder of a cache that only these tests use."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def cache(own_cache):
    """Keep features in a cache that only these tests use."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CTL_CACHE", str(own_cache))
        yield own_cache
