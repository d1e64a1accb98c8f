import subprocess
import sys

import keras
import numpy as np
import pytest
from conftest import REPOSITORY
from reference_cpac import randomised

from benchmarks import measure
from benchmarks.plain import plain_cpac
from ctl_helpers.networks.cpac import cpac
from ctl_helpers.networks.losses import margin_loss, one_hot


def test_the_plain_cpac_is_the_same_network_and_learns_the_same():
    plain, ours = plain_cpac(64, 39, 4), cpac(64, 39, 4, dropout=(0, 0, 0), head_dropout=0)
    assert plain.count_params() == ours.count_params()
    for layer in plain.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0
    randomised(ours)
    plain.set_weights(ours.get_weights())
    x = np.random.default_rng(1).normal(size=(8, 64, 39)).astype(np.float32)
    y = one_hot(np.arange(8) % 4, 4, 0.1)
    before, outputs = ours.get_weights(), []
    for model in (plain, ours):
        outputs.append(keras.ops.convert_to_numpy(model(x, training=True)))
        model.compile(keras.optimizers.SGD(1.0), margin_loss, jit_compile=False)
        model.train_on_batch(x, y)
    np.testing.assert_allclose(*outputs, atol=1e-5)
    assert np.ptp(outputs[0], axis=0).max() > 0.02
    for one, other, was in zip(plain.get_weights(), ours.get_weights(), before, strict=True):
        np.testing.assert_allclose(one - was, other - was, rtol=1e-3, atol=1e-5)


def test_repetitions_are_interleaved():
    called = []
    found = measure.interleave(
        {name: lambda name=name: called.append(name) or len(called) for name in "ab"}, 3
    )
    assert "".join(called) == "ab" + "ababab"
    assert found == {"a": [3, 5, 7], "b": [4, 6, 8]}
    assert measure.ratios([2, 3], [1, 2]) == [2, 1.5]
    assert measure.spread([3, 1, 2]) == "2 (1 to 3)"


@pytest.mark.slow
@pytest.mark.parametrize("what", [[], ["--scale", "200"]], ids=str)
def test_every_benchmark_runs(what, tmp_path):
    command = [sys.executable, "-m", "benchmarks", "--quick", "--json", str(tmp_path / "all.json")]
    done = subprocess.run([*command, *what], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "| --- |" in done.stdout and (tmp_path / "all.json").stat().st_size > 50
