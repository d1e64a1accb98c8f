import keras
import numpy as np
import pytest

from ctl_helpers.networks import backend


def test_prepare_seeds_every_source_of_chance():
    drawn = []
    for seed in (5, 5, 6):
        backend.prepare(seed, threads=1)
        layer = keras.layers.Dense(4)
        layer.build((None, 3))
        mask = keras.layers.Dropout(0.5)(np.ones((4, 50), np.float32), training=True)
        mask = keras.ops.convert_to_numpy(mask).ravel()
        drawn.append(np.concatenate([mask, layer.get_weights()[0].ravel(), np.random.rand(3)]))
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert (drawn[0] != drawn[2]).any()


def test_versions_name_keras_its_backend_and_numpy():
    found = backend.versions()
    assert set(found) == {"keras", "numpy", keras.backend.backend()}
    assert found["keras"] == keras.__version__ and found["numpy"] == np.__version__


def test_the_device_has_a_name():
    assert backend.device() and "\n" not in backend.device()
    assert backend.on_gpu() == (not backend.device().lower().startswith("cpu"))


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="PyTorch takes threads at any time")
def test_threads_are_set():
    import torch

    before = torch.get_num_threads()
    backend.prepare(0, threads=1)
    assert torch.get_num_threads() == 1
    torch.set_num_threads(before)


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="JAX compiles")
def test_compiled_programs_are_kept(tmp_path, monkeypatch):
    import jax

    before = jax.config.jax_compilation_cache_dir
    monkeypatch.setenv("CTL_CACHE", str(tmp_path))
    jax.config.update("jax_compilation_cache_dir", None)
    backend.prepare(0)
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / "jax")
    jax.config.update("jax_compilation_cache_dir", before)
