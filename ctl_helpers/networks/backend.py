"""What depends on Keras's backend: threads, determinism, device, versions. The only such place."""

import contextlib
import logging
import os
import platform
import random
import threading
from functools import partial

from ctl_helpers.errors import StudyError
from ctl_helpers.parallel import cache_folder
from ctl_helpers.plugins import without_chatter

try:
    with without_chatter():
        import keras
except (ImportError, ValueError) as error:
    raise StudyError(
        f"backend {os.environ.get('KERAS_BACKEND', 'tensorflow')!r}: expected tensorflow, jax or "
        f"torch, and its package to be installed ({error}); unset KERAS_BACKEND for TensorFlow"
    ) from error
try:
    from keras.src.random import seed_generator

    seed_generator.python_random.randint  # noqa: B018
except (ImportError, AttributeError) as error:
    raise StudyError(
        f"Keras {keras.__version__}: expected keras.src.random.seed_generator.python_random, which "
        "its seeds are drawn from, found none; install the Keras of requirements.lock"
    ) from error


def _reset_settings() -> None:
    """Give Keras its own settings back, whatever a keras.json or a user's file has changed."""
    keras.config.set_image_data_format("channels_last")
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)


_reset_settings()

# It warns that every run of a study traces its network anew.
logging.getLogger("tensorflow").setLevel(logging.ERROR)


class _Seeds(threading.local):
    """Where initial weights and dropout masks get their seeds from: a generator for each thread.

    Keras draws them from Python's global generator, which other threads draw from as well: under
    Dask its event loop does, and the same run would give other numbers there.
    """

    generator = random.Random()

    def randint(self, low, high):
        return self.generator.randint(low, high)


_seeds = seed_generator.python_random = _Seeds()


def prepare(seed: int, threads: int | None = None) -> None:
    """Seed every random generator, set the threads that one run may use and Keras's settings.

    Parameters
    ----------
    seed : int
        Of Python, NumPy and the backend.
    threads : int, optional
        TensorFlow and PyTorch take it; TensorFlow only before its first computation.
    """
    keras.utils.clear_session(free_memory=False)  # of the dtype policy as well
    _reset_settings()
    keras.utils.set_random_seed(seed)
    _seeds.generator = random.Random(seed)
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        # All folds are the same programs: each is compiled once, for every process and day.
        if not jax.config.jax_compilation_cache_dir:
            jax.config.update("jax_compilation_cache_dir", str(cache_folder() / "jax"))
    if not threads:
        return
    if backend == "tensorflow":
        import tensorflow as tf

        with contextlib.suppress(RuntimeError):  # already running, with the threads of its start
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(1)
    elif backend == "torch":
        import torch

        torch.set_num_threads(threads)


def training_step(model, features, labels):
    """Make the function that trains a compiled model on a batch, for batches of any size.

    Parameters
    ----------
    model : keras.Model
        Compiled.
    features, labels : array, or tuple of arrays
        A batch, as an example of what will come.

    Returns
    -------
    callable
        Takes features and labels and returns the batch's loss and metrics by name, as
        ``train_on_batch`` does. On TensorFlow that would trace the step once for whole batches and
        once more for the last of an epoch.
    """
    if keras.backend.backend() != "tensorflow":
        return partial(model.train_on_batch, return_dict=True)
    import tensorflow as tf

    signature = keras.tree.map_structure(
        lambda array: tf.TensorSpec((None, *array.shape[1:]), array.dtype), (features, labels)
    )
    traced = tf.function(model.train_step, input_signature=[signature])

    def step(features, labels):
        model.reset_metrics()
        return traced((features, labels))

    return step


def device() -> str:
    """Name the device that computes, in words."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        for gpu in tf.config.list_physical_devices("GPU"):
            return tf.config.experimental.get_device_details(gpu).get("device_name", "GPU")
    elif backend == "jax":
        import jax

        return jax.devices()[0].device_kind
    elif backend == "torch":
        import torch

        if torch.cuda.is_available():
            return torch.cuda.get_device_name(0)
    return f"CPU {platform.machine()}"
