import subprocess
import sys

import keras
import numpy as np
import pandas as pd
import pytest
from conftest import REPOSITORY
from reference_cpac import randomised

from benchmarks import ablation, measure, precision
from benchmarks.plain import flops_per_utterance, plain_cpac
from ctl_helpers.networks.cpac import cpac
from ctl_helpers.networks.losses import margin_loss, one_hot
from ctl_helpers.networks.recipes import transfer_recipe


def pair():
    """The plain stack and ours with the same weights and without dropout."""
    plain, ours = plain_cpac(64, 39, 4), cpac(64, 39, 4, dropout=(0, 0, 0), head_dropout=0)
    for layer in plain.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0
    randomised(ours)
    plain.set_weights(ours.get_weights())
    return plain, ours


def test_the_yardstick_is_the_same_network_and_learns_the_same():
    plain, ours = pair()
    x = np.random.default_rng(1).normal(size=(8, 64, 39, 1)).astype(np.float32)
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


def test_plain_is_as_large_as_ours():
    assert plain_cpac(172).count_params() == cpac(172).count_params() == 321_799


def test_operations_are_those_that_were_counted():
    assert flops_per_utterance(172, 39, 6) == pytest.approx(0.39e9, rel=0.02)


def test_repetitions_are_interleaved():
    called = []
    found = measure.interleave(
        {name: lambda name=name: called.append(name) or len(called) for name in "ab"}, 3
    )
    assert "".join(called) == "ab" + "ababab"
    assert found == {"a": [3, 5, 7], "b": [4, 6, 8]}
    assert measure.ratios([2, 3], [1, 2]) == [2, 1.5]
    assert measure.spread([3, 1, 2]) == "2 (1 to 3)"


def test_an_ablation_changes_one_thing_at_a_time():
    base = transfer_recipe("modern")
    found = ablation.conditions(base, "caam-mdd", ["source-only", "caam-mdd"])
    names = [name for name, *_ in found]
    assert names[0] == "as it is" and names[-1] == "method source-only"
    assert "without augmentation" in names and "method caam-mdd" not in names
    assert len({tuple(told) for _, *told in found}) == len(found)
    some = ablation.conditions(base, "caam-mdd", [], ["without shift"])
    assert [name for name, *_ in some] == ["as it is", "without shift"]
    trimmed = {name: settings for name, _, settings, _ in found}
    assert trimmed["silence at the ends kept"].trim is None
    assert trimmed["as it is"].trim == trimmed["without shift"].trim == 40


def test_an_ablation_prints_means_and_intervals_over_seeds(monkeypatch, capsys, tmp_path):
    asked = []

    def transfer(source, target, recipe, *, method, seeds, store, jobs):
        asked.append((source, target, recipe, method))
        uar = [0.4 + 0.1 * seed + (0.1 if recipe.padding == "kept" else 0) for seed in seeds]
        return pd.DataFrame({"source": source, "target": target, "seed": seeds, "uar": uar})

    monkeypatch.setattr(ablation, "transfer", transfer)
    monkeypatch.setattr(ablation, "load_manifest", lambda root, name: name)
    monkeypatch.setattr(ablation, "transfer_features", lambda manifest, preset: manifest)
    names = ["--names", "casia", "emodb", "--methods", "coral"]
    ablation.main([str(tmp_path), "--out", str(tmp_path), *names])
    lines = capsys.readouterr().out.splitlines()
    assert len(asked) == 2 * (len([line for line in lines if line.startswith("|")]) - 2)
    assert "| condition | CASIA → EmoDB | EmoDB → CASIA | mean | seeds |" in lines
    # 50 ± t(0.975, 2) 10 / sqrt(3)
    cells = 3 * ["50.0 [25.2, 74.8]"]
    assert f"| as it is | {' | '.join(cells)} | 3 |" in lines
    assert any(line.startswith("| padding kept | 60.0 [35.2, 84.8] |") for line in lines)
    assert any(line.startswith("| method coral |") for line in lines)


def test_no_gpu_is_one_clear_line():
    done = subprocess.run(
        [sys.executable, "-c", NO_GPU], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("benchmarks: benchmark on a GPU: expected a GPU")


NO_GPU = """
import sys
from ctl_helpers.networks import backend
backend.device = lambda: "CPU of a test"
from benchmarks.__main__ import main
sys.exit(main(["--gpu", "--quick"]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("what", [[], ["--cross-validation"], ["--scale", "200"]], ids=str)
def test_every_benchmark_runs(what, tmp_path):
    command = [sys.executable, "-m", "benchmarks", "--quick", "--json", str(tmp_path / "all.json")]
    done = subprocess.run([*command, *what], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "| --- |" in done.stdout and (tmp_path / "all.json").stat().st_size > 100


def test_precisions_are_compared_fold_by_fold():
    scores = {"float32": [0.8, 0.9, 0.7], "bfloat16": [0.82, 0.9, 0.68]}
    runs = {
        name: pd.DataFrame(
            {"split": list("abc"), "uar": uar, "utterances": 10, "train_utterances": 90}
        )
        for name, uar in scores.items()
    }
    table, test = precision.paired(runs)
    assert table.loc["a"].to_dict() == pytest.approx({"float32": 80, "bfloat16": 82})
    assert test.difference == pytest.approx(0, abs=1e-9) and test.p == pytest.approx(1)
