import random

import keras
import numpy as np
import pytest

from ctl_helpers.networks import backend


def draws(seed, disturb=False):
    """Draw a dropout mask, initial weights and NumPy's numbers after a seed."""
    backend.prepare(seed, threads=1)
    if disturb:  # as other threads do, such as the event loop of Dask
        random.random()
    mask = keras.layers.Dropout(0.5)(np.ones((4, 50), np.float32), training=True)
    layer = keras.layers.Dense(4)
    layer.build((None, 3))
    mask = keras.ops.convert_to_numpy(mask).ravel()
    return np.concatenate([mask, layer.get_weights()[0].ravel(), np.random.rand(3)])


def test_prepare_seeds_every_random_generator():
    drawn = draws(5)
    np.testing.assert_array_equal(draws(5), drawn)
    assert (draws(6) != drawn).any()


def test_what_others_draw_changes_nothing():
    np.testing.assert_array_equal(draws(5, disturb=True), draws(5))


def test_settings_that_others_change_are_reset():
    keras.config.set_floatx("float64")
    keras.config.set_epsilon(0.1)
    keras.config.set_dtype_policy("mixed_float16")
    keras.config.set_image_data_format("channels_first")
    backend.prepare(0)
    assert keras.config.floatx() == keras.config.dtype_policy().name == "float32"
    assert keras.layers.Dense(2).compute_dtype == "float32"
    assert keras.config.epsilon() == 1e-7
    assert keras.config.image_data_format() == "channels_last"


def test_the_device_has_a_name():
    assert backend.device() and "\n" not in backend.device()


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
