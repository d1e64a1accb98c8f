"""Runs in MLflow."""

import logging
import sys

import pytest
from toys import Toys

from ctl_helpers.results.runs import load_runs
from ctl_helpers.runs.run import compute
from ctl_helpers.runs.store import RunStore


@pytest.fixture
def toys(tmp_path):
    return Toys(tmp_path / "toys").write()


def test_a_run_is_in_mlflow_where_its_variable_is_set(toys, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    (run,) = toys.runs(only=[0])
    assert compute([run], RunStore(tmp_path / "runs"), jobs=1) == {}
    (row,) = load_runs(tmp_path / "runs").to_dict("records")
    (found,) = mlflow.search_runs(output_format="list")
    assert found.info.run_name == row["run"] and found.data.params["method"] == run.method.label
    assert found.data.metrics["last uar"] == pytest.approx(row["uar"])
    history = mlflow.MlflowClient().get_metric_history(found.info.run_id, "loss")
    assert [point.step for point in history] == [0, 1]


def test_a_run_is_well_where_mlflow_is_not(toys, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "mlflow", None)  # as where it is not installed
    monkeypatch.setattr(logging.getLogger("ctl_helpers"), "propagate", True)
    (run,) = toys.runs(toys.classifier, only=[0])
    assert compute([run], RunStore(tmp_path / "runs"), jobs=1) == {}
    assert f"MLflow does not have run {run.name}" in caplog.text
