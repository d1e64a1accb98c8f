"""The command line: its help, its answers, and one line for every mistake."""

import io
import json
import logging
import os
import re
import resource
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest
import yaml
from conftest import REPOSITORY, noise, write_wav
from fabricated import add_run, fill
from toys import NETWORK, PROTOCOL, toy_corpus, write_code

from ctl_helpers import cli
from ctl_helpers.corpora import load_manifest
from ctl_helpers.methods import parse
from ctl_helpers.protocols import make_splits
from ctl_helpers.results.runs import load_runs
from ctl_helpers.runs.model import MODEL, load_network
from ctl_helpers.runs.store import RunStore
from ctl_helpers.study.opened import open_corpus

COMMANDS = ("study", "splits", "corpora", "train", "predict", "archive", "results")


@pytest.fixture(autouse=True)
def logger():
    """Give the package's logger back as it was: a command makes it print lines."""
    log = logging.getLogger("ctl_helpers")
    before = log.handlers[:], log.propagate
    yield
    log.handlers[:], log.propagate = before


@pytest.fixture(scope="module")
def root(tmp_path_factory, cache):
    root = tmp_path_factory.mktemp("corpora")
    toy_corpus(root, "one", ("angry", "happy", "sad"), 18, 3)
    return toy_corpus(root, "two", ("angry", "neutral", "sad"), 18, 3)


def start(*words, **options):
    command = [sys.executable, "-m", "ctl_helpers", *map(str, words)]
    options = {"capture_output": True, "text": True, "cwd": REPOSITORY} | options
    return subprocess.run(command, check=False, **options)


@pytest.mark.parametrize("command", [(), *[(name,) for name in COMMANDS]])
def test_help_teaches(command, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main([*command, "--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert "usage: ctl-mtnet" in said
    if command in ((), ("study",)):
        assert "examples:" in said and "--corpora" in said
    if not command:
        assert all(re.search(rf"^ +{name} ", said, re.M) for name in COMMANDS)


def test_help_is_there_at_once():
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = start("study", "--help")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0 and "--methods" in done.stdout
    used = (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)
    assert used < 0.5  # 0.3 s on an idle machine


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_a_shell_completes_commands_and_options():
    code = start("--print-completion", "bash").stdout
    code += "\nCOMP_WORDS=(ctl-mtnet WORDS); COMP_CWORD=AT; _shtab_ctl_mtnet; echo ${COMPREPLY[*]}"
    for words, position, expected in [("pre", 1, "predict"), ("study --prot", 2, "--protocols")]:
        command = ["bash", "-c", code.replace("WORDS)", f"{words})").replace("AT;", f"{position};")]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout.split() == [expected]


def test_help_loads_nothing_heavy():
    code = "import sys; from ctl_helpers import cli\ntry: cli.main(['study', '--help'])\n"
    code += "except SystemExit: pass\nprint(sorted(sys.modules), file=sys.stderr)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=True)
    for heavy in ("tensorflow", "keras", "numpy", "pandas", "librosa", "matplotlib"):
        assert f"'{heavy}'" not in done.stderr


def test_a_mistake_is_one_line_and_status_2(tmp_path):
    done = start("study", "--corpora", tmp_path / "nowhere", "--out", tmp_path / "reports")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert str(tmp_path / "nowhere") in done.stderr and "Traceback" not in done.stderr
    assert not load_runs(tmp_path / "reports" / "runs").shape[0]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["study", "--surprise"], "--surprise"),
        (["study", "--epochs"], "--epochs"),
        (["study", "--metods", "cpac"], "did you mean 'methods'?"),
        (["predict", "--names", "a.wav"], "see ctl-mtnet predict --help"),
        (["predict", "--wndow", "3", "a.wav"], "did you mean 'window'?"),
        (["nope"], "invalid choice"),
        ([], "COMMAND"),
        (["predict", "a.wav", "--window", "long"], "--window"),
    ],
)
def test_a_mistyped_option_is_one_line_and_status_2(words, expected, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and expected in said and said.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["study", "--epochs", "0"], "--epochs: expected a whole number from 1, got '0'"),
        (["study", "--epochs", "three"], "--epochs: expected a whole number, got 'three'"),
        (["study", "--engine", "nope"], "--engine: expected one of local, dask"),
        (
            ["study", "--seconds", "-1"],
            "--seconds: expected a number of seconds from 0.1 to 3600, got '-1'",
        ),
        (["study", "--changes", "epochs"], "--changes: expected assignments"),
        (["study", "{file}.yaml"], "no such file"),
        (["study", "{yaml}"], "no setting 'metods'; did you mean 'methods'?"),
        (["study", "--corpora", "{root}", "--methods", "nope"], "NETWORK/RECIPE (cpac"),
        (["study", "--corpora", "{root}", "--methods", "cpac/nope"], "released, paper"),
        (["study", "--methods", "cpac/modem"], "did you mean 'modern'?"),
        (["study", "--methods", "cpca/modern"], "did you mean 'cpac'?"),
        (["study", "--methods", "w2v.npz+liner"], "did you mean 'linear'?"),
        (["study", "--protocols", "losso"], "did you mean 'loso'?"),
        (["study", "--methods", "mfcc+rbf", "--changes", "batchsize=3"], "mean 'batch_size'?"),
        (["study", "--blocks", "foo"], "no block 'foo'; it has none"),
        (["study", "--corpora", "{root}", "--blocks", "foo"], "--blocks foo: expected a study's"),
        (["study", "--corpora", "{root}", "--pairs", "one"], "SOURCE:TARGET"),
        (["study", "--corpora", "{root}", "--names", "nope"], "one, two"),
        (["study", "--corpora", "{root}", "--protocols", "x.py:f"], "a file x.py"),
        (["study", "--corpora", "{root}", "--out", "{file}/reports"], "cannot write"),
        (["study", "--corpora", "{root}", "--methods", "given:no.csv"], "no.csv"),
        (["study", "--corpora", "{root}", "--scheduler", "tcp://a:1"], "the engine dask with it"),
        (["study", "--corpora", "{long}"], "File name too long"),
        (["predict", "a.wav", "--model", ""], "expected a .keras file, found none"),
        (["predict", "a.wav", "--model", "{long}.keras"], "File name too long"),
        (["study", "--corpora", "{empty}"], "{empty}"),
        (["study", "--corpora", "{file}"], "{file}"),
        (["corpora", "{empty}"], "{empty}"),
        (["train", "--out", "model.h5", "--corpora", "{root}"], "ends in .keras"),
        (["train", "--out", "a.keras", "--report", "nowhere"], "expected a report with runs"),
        (
            ["train", "--out", "a.keras", "--recipe", "modern", "--method", "timnet/timnet"],
            "expected --recipe or --method, got both",
        ),
        (["train", "--out", "a.keras", "--corpora", "{root}", "--method", "mfcc+rbf"], "a network"),
        (["train", "--out", "a.keras", "--corpora", "{root}", "--seed", "-1"], "from 0 to"),
        (["predict"], "expected recordings"),
        (["predict", "a.wav", "--plot", "nowhere/a.png"], "a folder that can be written"),
        (["predict", "", "--model", "{model}"], "expected a recording, a folder"),
        (["predict", "a.wav", "--model", "{empty}"], "model.keras"),
        (["predict", "a.wav", "--model", "{file}"], "expected a .keras file, found another file"),
    ],
)
def test_each_mistake_says_what_was_expected(words, expected, capsys, tmp_path, root, monkeypatch):
    monkeypatch.chdir(tmp_path)
    places = {name: tmp_path / name for name in ("file", "empty", "yaml")} | {"root": root}
    places["file"].write_text("")
    places["yaml"].write_text("metods: [cpac]")
    places["empty"].mkdir()
    places |= {"model": MODEL, "long": tmp_path / ("a" * 300)}
    assert cli.main([word.format(**places) for word in words]) == 2
    said = capsys.readouterr().err.splitlines()
    assert said[-1].startswith("error: ") and expected.format(**places) in said[-1]
    assert "Traceback" not in "".join(said)


def test_words_take_the_place_of_the_files(root, tmp_path, capsys):
    file = write_code(
        tmp_path, "mine.yaml", "methods: [mfcc+rbf]\nblocks: {a: {folds: 9}, b: {protocols: loso}}"
    )
    out = tmp_path / "report"
    words = ["study", str(file), "--corpora", str(root), "--out", str(out), "--no-notebooks"]
    words += ["--pairs", "none", "--folds", "2", "--jobs", "1", "--methods", "mfcc+linear"]
    assert cli.main([*words, "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "10 runs to compute" in said and not out.exists()
    assert cli.main([*words, "--blocks", "a"]) == 0
    assert f"report: {out / 'index.html'}" in capsys.readouterr().out
    assert cli.main(words) == 0
    runs = load_runs(out / "runs")
    assert set(runs["method"]) == {"mfcc-statistics+linear"}
    assert runs.groupby("protocol").size().to_dict() == {"kfold": 4, "loso": 6}


def test_synthetic_speech_one_folder_deeper_is_said(miniature, tmp_path, capsys):
    (tmp_path / "deeper").symlink_to(miniature)
    study = ["--names", "emodb", "--methods", "mfcc+linear", "--pairs", "none", "--dry-run"]
    for words in (["corpora", str(tmp_path)], ["study", "--corpora", str(tmp_path), *study]):
        assert cli.main(words) == 0
        assert capsys.readouterr().out.startswith("Synthetic speech")


def test_what_was_left_out_is_a_line_each_and_status_1(root, tmp_path, capsys):
    words = ["study", "--corpora", str(root), "--names", "one", "--methods", "mfcc+linear"]
    words += ["--pairs", "none", "--no-notebooks", "--jobs", "1", "--out", str(tmp_path)]
    assert cli.main([*words, "--protocols", "kfold", "stratified", "--folds", "7"]) == 1
    lines = capsys.readouterr().err.splitlines()
    (line,) = [line for line in lines if line.startswith("left out: ")]
    assert "one" in line and "stratified" in line


INTERRUPTED = PROTOCOL.replace("    rows =", "    raise KeyboardInterrupt\n    rows =")


def test_a_stop_from_the_keyboard_is_one_line(root, tmp_path, capsys):
    file = write_code(tmp_path, "stop.py", INTERRUPTED)
    words = ["study", "--corpora", str(root), "--protocols", f"{file}:halves"]
    assert cli.main([*words, "--methods", "mfcc+linear", "--out", str(tmp_path)]) == 130
    assert capsys.readouterr().err == "stopped; the same command continues from here\n"


def test_corpora_audits_each_and_a_bad_one_is_left_out(root, tmp_path, capsys):
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    (tmp_path / "one" / "000.wav").write_bytes(b"")
    (tmp_path / "broken.csv").write_text("path,emotion\n")
    assert cli.main(["corpora", str(tmp_path), "--problems"]) == 1
    out, err = capsys.readouterr()
    assert re.search(r"^one: 17 .*utterances", out, re.M)
    assert re.search(r"^two: 18 .*utterances", out, re.M)
    assert "000.wav" in out
    (line,) = [line for line in err.splitlines() if line.startswith("left out: ")]
    assert "broken" in line


def test_a_card_quotes_scores_of_the_same_classes_and_settings_alone(root, tmp_path, capsys):
    network = f"{write_code(tmp_path, 'mine.py', NETWORK)}:network/quick"
    at, out = ["--corpora", str(root), "--names", "one"], str(tmp_path / "report")
    said = parse(network).spec()
    asked = {"corpus": "one", "split": "fold 0", "classes": ["angry", "happy", "sad"]}
    asked |= {"folds": 2, "method": said["name"], "recipe": said["recipe"]}
    other = said["recipe"] | {"epochs": 1}
    for more in ({}, {"classes": ["angry", "happy"]}, {"recipe": other}, {"folds": 3}):
        add_run(RunStore(tmp_path / "report" / "runs"), **asked | more)
    runs = load_runs(tmp_path / "report" / "runs")
    wanted = runs["classes"].str.contains("sad") & ~runs["variant"].str.contains('"epochs": 1,')
    scores = 100 * runs[wanted].set_index("folds")["uar"]
    model = str(tmp_path / "mine.keras")
    assert cli.main(["train", *at, "--method", network, "--out", model, "--report", out]) == 0
    capsys.readouterr()
    assert cli.main(["predict", "--model", model, "--card", "--json"]) == 0
    card = json.loads(capsys.readouterr().out)
    assert len(runs) == 4 and sorted(scores.index) == [2, 3]
    assert card["scores"] == [
        f"shuffled k-fold: UAR {scores[folds]:.1f} % over 1 of {folds} folds" for folds in (2, 3)
    ]


def test_train_then_predict(root, tmp_path, capsys, monkeypatch):
    network = f"{write_code(tmp_path, 'mine.py', NETWORK)}:network/quick"
    model = tmp_path / "mine.keras"
    words = ["train", "--corpora", str(root), "--names", "one", "--method", network]
    assert cli.main([*words, "--out", str(model)]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"model: {model}, ") and f"predict --model {model}" in said
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == [
        "mine.keras",
        "mine.py",
    ]
    files = [str(root / "one" / f"00{row}.wav") for row in range(3)]
    (tmp_path / "empty.wav").write_bytes(b"")
    bad, gone = str(tmp_path / "empty.wav"), str(tmp_path / "gone.wav")
    assert cli.main(["predict", "--model", str(model), *files, bad, gone, "--json"]) == 1
    out, err = capsys.readouterr()
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["file"] for row in rows] == files
    for row in rows:
        p = {name: row[name] for name in ("angry", "happy", "sad")}
        assert sum(p.values()) == pytest.approx(1, abs=1e-4)
        assert row["emotion"] == max(p, key=p.get)
    left_out = [line for line in err.splitlines() if line.startswith("left out: ")]
    assert sorted(line.split(": ")[1] for line in left_out) == [bad, gone]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(Path(files[0]).read_bytes())))
    assert cli.main(["predict", "--model", str(model), "-", "--json"]) == 0
    alone = json.loads(capsys.readouterr().out)
    assert alone == {name: pytest.approx(value) for name, value in rows[0].items()} | {"file": "-"}
    assert cli.main(["predict", "--model", str(model), "-", "-"]) == 2
    assert "expected one recording on standard input" in capsys.readouterr().err
    assert cli.main(["predict", "--model", str(model), bad, "--json"]) == 2  # nothing was done
    assert capsys.readouterr().out == ""
    assert cli.main(["predict", "--model", str(model), *files, "--csv"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "file,emotion,angry,happy,sad"
    for words, read in [(["--json"], json.loads), ([], yaml.safe_load)]:
        assert cli.main(["predict", "--model", str(model), "--card", *words]) == 0
        card = read(capsys.readouterr().out)
        assert card["corpora"] == ["one"] and card["utterances"] == 18 and card["limits"]
        assert card["synthetic"] is False


def test_a_training_goes_on_from_its_own_checkpoint_only(root, tmp_path, capsys):
    network = f"{write_code(tmp_path, 'mine.py', NETWORK)}:network/quick"
    out = tmp_path / "mine.keras"
    (out / "in-the-way").mkdir(parents=True)  # so each training ends before its folder is removed
    words = ["train", "--corpora", str(root), "--method", network, "--out", str(out)]
    seen = []
    for more in ("--seed 0", "--seed 1", "--names one", "--epochs 1", "--seed 0"):
        assert cli.main([*words, *more.split()]) == 2
        assert f"train: {out} was not written: " in capsys.readouterr().err
        seen.append(len(list((tmp_path / "mine.partial").iterdir())))
    assert seen == [1, 2, 3, 4, 4]


def test_a_model_of_synthetic_speech_says_so(tmp_path, capsys, miniature):
    network = f"{write_code(tmp_path, 'mine.py', NETWORK)}:network/quick"
    model, file = tmp_path / "mine.keras", write_wav(tmp_path / "a.wav", noise(1.0))
    words = ["--corpora", str(miniature), "--names", "emodb", "--method", network]
    assert cli.main(["train", *words, "--out", str(model)]) == 0
    assert "Synthetic speech" in capsys.readouterr().out.splitlines()[0]
    assert cli.main(["predict", "--model", str(model), str(file)]) == 0
    assert "note: the model has heard synthetic speech only" in capsys.readouterr().err


def test_channels_first_in_kerass_own_settings_change_nothing(tmp_path):
    asked = {"floatx": "float32", "epsilon": 1e-7, "backend": "tensorflow"}
    (tmp_path / "keras.json").write_text(
        json.dumps(asked | {"image_data_format": "channels_first"})
    )
    code = (
        "import numpy as np; from ctl_helpers.runs.model import *; import keras; "
        "x = np.random.default_rng(0).normal(size=(2, 188, 39)).astype('float32'); "
        "network, predict = load_network(MODEL)[0], load_predictor(MODEL)[0]; "
        "np.testing.assert_allclose(network.predict_on_batch(x), predict(x), atol=1e-5)"
    )
    environment = os.environ | {"KERAS_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr


def test_windows_is_one_line():
    code = "import sys; from ctl_helpers import cli; sys.platform = 'win32'; "
    code += "sys.exit(cli.main(['corpora', '.']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "error: system: expected Linux or macOS, got Windows; use WSL\n"


def train(root, folder):
    words = ["train", "--corpora", str(root), "--names", "one", "--recipe", "quick"]
    return [sys.executable, "-m", "ctl_helpers", *words, "--out", str(folder / "a.keras")]


def test_an_unknown_backend_is_one_line(root, tmp_path):
    words = train(root, tmp_path)
    environment = os.environ | {"KERAS_BACKEND": "mxnet"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: backend 'mxnet': expected tensorflow, jax or torch")


@pytest.mark.parametrize("name", ["jax", "torch"])
def test_a_backend_that_is_not_installed_is_one_line(root, tmp_path, name):
    if find_spec(name):
        pytest.skip(f"{name} is installed")
    words = train(root, tmp_path)
    environment = os.environ | {"KERAS_BACKEND": name}
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: ") and name in done.stderr


def test_splits_say_who_trains_and_who_tests(root, capsys):
    words = ["splits", "--corpora", str(root), "--names", "one", "--folds", "3"]
    assert cli.main(words) == 0
    table = pd.read_csv(io.StringIO(capsys.readouterr().out), dtype=str)
    assert table.groupby("split")["utterance"].nunique().tolist() == [18] * 3
    tested = table[table["part"] == "test"]
    assert sorted(tested["utterance"]) == sorted(set(table["utterance"]))
    (manifest,) = [load_manifest(root, "one")]
    splits = make_splits(manifest, "kfold", 3)
    for number, split in enumerate(splits):
        mine = tested.loc[tested["split"] == f"fold {number}", "utterance"]
        assert mine.tolist() == manifest["utterance"].iloc[split.test].tolist()


def test_splits_need_a_protocol(root, capsys):
    assert cli.main(["splits", "--corpora", str(root), "--protocols", "none"]) == 2
    said = "error: splits: expected protocols inside a corpus, got none\n"
    assert capsys.readouterr().err.endswith(said)


def test_raters_vote_where_that_is_asked_for(tmp_path, capsys):
    folder = toy_corpus(tmp_path, "rated", utterances=8) / "rated"
    table = pd.read_csv(folder / "manifest.csv", dtype=str)
    others = table.assign(
        emotion=["happy" if row else word for row, word in enumerate(table["emotion"])]
    )
    pd.concat([table, table, others]).to_csv(folder / "manifest.csv", index=False)
    words = ["--corpora", str(tmp_path), "--names", "rated", "--folds", "2"]
    assert cli.main(["splits", *words]) == 2  # of one utterance alone all rows agree
    assert "contradiction" in capsys.readouterr().err
    assert cli.main(["splits", *words, "--votes"]) == 0
    rows = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert rows["utterance"].nunique() == 8 and "happy" not in set(rows["emotion"])
    opened = open_corpus(str(tmp_path), "rated", out=tmp_path / "report", votes=True)
    assert len(opened.manifest) == 8


def test_a_long_recording_is_drawn_over_time(root, tmp_path, capsys):
    network = f"{write_code(tmp_path, 'mine.py', NETWORK)}:network/quick"
    model, plot = tmp_path / "mine.keras", tmp_path / "hour.png"
    words = ["--corpora", str(root), "--names", "one", "--method", network, "--out", str(model)]
    assert cli.main(["train", *words]) == 0
    write_wav(tmp_path / "long.wav", noise(20.0))
    words = ["--model", str(model), "--plot", str(plot), "--csv", str(tmp_path / "long.wav")]
    assert cli.main(["predict", *words]) == 0
    table = pd.read_csv(io.StringIO(capsys.readouterr().out.split(" FILE\n")[1]))
    assert (table["start"].diff().dropna() > 0).all() and len(table) > 5
    assert (table["end"] > table["start"]).all()
    assert table["end"].max() == pytest.approx(20, abs=0.01)
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_an_archive_holds_the_runs_of_a_report(tmp_path, capsys):
    fill(tmp_path / "runs", folds=2)
    before = load_runs(tmp_path / "runs")
    assert cli.main(["archive", str(tmp_path)]) == 0
    assert capsys.readouterr().out.count(" MB\n") == 3
    shutil.rmtree(tmp_path / "runs")
    assert load_runs(tmp_path / "runs")["run"].tolist() == before["run"].tolist()


def test_a_closed_pipe_is_no_error(root):
    command = f'"{sys.executable}" -m ctl_helpers splits --corpora "{root}" | head -1'
    options = {"shell": True, "capture_output": True, "text": True, "cwd": REPOSITORY}
    done = subprocess.run(command, check=True, env=os.environ, **options)
    assert "Traceback" not in done.stderr and "corpus,protocol" in done.stdout


def test_a_folder_that_is_gone_is_one_line(tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    code = "import os, sys; from ctl_helpers.cli import main; os.rmdir(os.getcwd()); "
    code += "sys.exit(main(['corpora', '.']))"
    command, environment = (
        [sys.executable, "-c", code],
        os.environ | {"PYTHONPATH": str(REPOSITORY)},
    )
    done = subprocess.run(command, cwd=gone, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("error: the folder that this was started in is gone")


def test_an_output_without_the_letters_of_a_name(tmp_path):
    toy_corpus(tmp_path, "müde", utterances=8)
    words, environment = ["corpora", str(tmp_path)], os.environ | {"PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "ctl_helpers", *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and r"m\xfcde" in done.stdout


def test_a_corpus_that_is_named_twice_is_trained_on_once(root, tmp_path):
    words = ["train", "--corpora", root, "--names", "one", "ONE", "--recipe", "quick"]
    words += ["--epochs", "1", "--out", tmp_path / "m.keras"]
    assert cli.main([str(word) for word in words]) == 0
    card = load_network(tmp_path / "m.keras")[1]
    assert card["corpora"] == ["one"] and card["utterances"] == 18


def test_emotions_of_one_corpus_alone_are_named(root, tmp_path, capsys):
    words = ["train", "--corpora", root, "--recipe", "quick", "--epochs", "1"]
    assert cli.main([*map(str, words), "--out", str(tmp_path / "m.keras")]) == 0
    said = "emotions of one corpus alone, which its sound may give away: "
    assert f"{said}happy (one), neutral (two)\n" in capsys.readouterr().out


def test_a_sound_that_two_corpora_hold_is_trained_on_once(root, tmp_path, capsys):
    for name in ("one", "two"):
        shutil.copytree(root / "one", tmp_path / name)
    words = ["train", "--corpora", tmp_path, "--recipe", "quick", "--epochs", "1"]
    assert cli.main([*map(str, words), "--out", str(tmp_path / "m.keras")]) == 0
    assert load_network(tmp_path / "m.keras")[1]["utterances"] == 18
    assert "18 utterances of two have the same sound as others of one" in capsys.readouterr().err


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_behind_the_output_is_one_line(root):
    command = [sys.executable, "-m", "ctl_helpers", "splits", "--corpora", str(root)]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: no space left on the disk")
