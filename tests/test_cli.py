"""The command line: its help, its answers, and one line for every mistake."""

import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from conftest import noise, write_wav
from fabricated import fill

from ctl_helpers import cli
from ctl_helpers.corpora import load_manifest
from ctl_helpers.report.pages import PACKAGE
from ctl_helpers.study import run as study
from ctl_helpers.study.settings import Settings, command_of

RUN = "0123456789ab"


def start(*words, **options):
    command = [sys.executable, "-m", "ctl_helpers", *map(str, words)]
    options = {"capture_output": True, "text": True, "cwd": PACKAGE.parent} | options
    return subprocess.run(command, check=False, **options)


@pytest.mark.parametrize("command", [(), *[(name,) for name in cli._COMMANDS]])
def test_help_teaches(command, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main([*command, "--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert "usage: python -m ctl_helpers" in said
    if command in ((), ("study",)):
        assert "examples:" in said and "--corpora" in said


def test_help_loads_nothing_heavy():
    code = "import sys; from ctl_helpers import cli\ntry: cli.main(['study', '--help'])\n"
    code += "except SystemExit: pass\nprint(sorted(sys.modules), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=PACKAGE.parent, check=True
    )
    for heavy in ("tensorflow", "keras", "numpy", "pandas", "librosa", "matplotlib"):
        assert f"'{heavy}'" not in done.stderr


def test_a_mistake_is_one_line_and_status_2(tmp_path):
    done = start("study", "--corpora", tmp_path / "nowhere", "--out", tmp_path / "reports")
    assert done.returncode == 2
    assert done.stderr.startswith("error: corpora root") and done.stderr.count("\n") == 1
    assert not (tmp_path / "reports").exists()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["study", "--epochs", "0"], "whole number from 1"),
        (["study", "--epochs", "many"], "invalid"),
        (["study", "--surprise"], "--surprise"),
        (["nope"], "invalid choice"),
        ([], "COMMAND"),
    ],
)
def test_a_mistyped_word_is_one_line_and_status_2(words, expected, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and expected in said and said.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["study", "--recipe", "nope"], "released, paper"),
        (["study", "--pairs", "emodb"], "SOURCE:TARGET"),
        (["study", "--names", "nope"], "casia, emodb"),
        (["study", "--engine", "nope"], "local, dask"),
        (["study", "--out", "{file}/reports"], "cannot write"),
        (["study", "--corpora", "{empty}"], "the folder is empty"),
        (["study", "--corpora", "{file}"], "not a folder"),
        (["corpora", "{empty}"], "the folder is empty"),
        (["features", "{miniature}", "nope"], "no corpus 'nope'"),
        (["features", "{miniature}", "emodb", "--preset", "nope"], "paper, released"),
        (["predict", "{empty}", "a.wav"], "model.keras"),
        (["runs", "{empty}"], "no runs"),
        (["readme", "{empty}", "--file", "{file}"], "<!-- results -->"),
    ],
)
def test_each_mistake_says_what_was_expected(
    words, expected, capsys, tmp_path, miniature, monkeypatch
):
    monkeypatch.setattr("ctl_helpers.study.settings.make_miniature", lambda: miniature)
    monkeypatch.chdir(tmp_path)
    places = {"file": tmp_path / "file", "empty": tmp_path / "empty", "miniature": miniature}
    places["file"].write_text("")
    places["empty"].mkdir()
    assert cli.main([word.format(**places) for word in words]) == 2
    said = capsys.readouterr().err.splitlines()
    assert said[-1].startswith("error: ") and expected in said[-1]
    assert "Traceback" not in "".join(said)


def test_words_become_settings(monkeypatch, tmp_path, capsys):
    seen = []
    report = study.Report(tmp_path / "index.html", ("casia: nothing\nthere",))
    monkeypatch.setattr(study, "run_study", lambda *given: seen.append(given[0]) or report)
    words = "study --corpora R --names emodb --recipe released paper --epochs 3 --folds 4 --jobs 2"
    words += " --protocols kfold loso --seeds 0 1 --pairs emodb:casia --methods source-only"
    words += " --selection last --normalisation recipe speaker --out O"
    words += " --baselines mfcc+rbf --only 0 1"
    assert cli.main(words.split()) == 1  # something was left out
    assert seen == [
        Settings(
            corpora="R",
            names=("emodb",),
            recipes=("released", "paper"),
            epochs=3,
            normalisations=("recipe", "speaker"),
            baselines=("mfcc+rbf",),
            protocols=("kfold", "loso"),
            folds=4,
            only=(0, 1),
            seeds=(0, 1),
            pairs=(("emodb", "casia"),),
            methods=("source-only",),
            selection="last",
            out="O",
            jobs=2,
        )
    ]
    out, err = capsys.readouterr()
    assert out.endswith("index.html\n") and err == "left out: casia: nothing there\n"
    cli.main(["study", "--pairs", "none", "--baselines"])
    assert seen[1] == Settings(pairs=(), baselines=("all",))
    cli.main(["study", "--protocols", "none"])
    assert seen[2] == Settings(protocols=())
    assert command_of(seen[2]) == "python -m ctl_helpers study --protocols none"
    cli.main(["study", "--scoring", "inductive", "--labels", "arousal", "valence"])
    assert seen[3] == Settings(scorings=("inductive",), labels=("arousal", "valence"))
    words = "--scoring inductive --labels arousal valence"
    assert command_of(seen[3]) == f"python -m ctl_helpers study {words}"


def test_a_stop_from_the_keyboard_is_one_line(monkeypatch, capsys):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(study, "run_study", stop)
    assert cli.main(["study"]) == 130
    assert capsys.readouterr().err.count("\n") == 1


def test_corpora_audits_each_and_one_bad_one_costs_itself(miniature, tmp_path, capsys):
    for name in ("emodb", "casia"):
        shutil.copytree(miniature / name, tmp_path / name)
    next((tmp_path / "emodb" / "wav").glob("*.wav")).write_bytes(b"")
    (tmp_path / "broken.csv").write_text("path,emotion\n")
    assert cli.main(["corpora", str(tmp_path), "--problems"]) == 1
    out, err = capsys.readouterr()
    assert re.search(r"^emodb: 104 of 535 utterances, 5 speakers", out, re.M)
    assert re.search(r"^casia: 72 of 1200 utterances, 4 speakers", out, re.M)
    assert "the file has no bytes" in out
    assert err.startswith("left out: corpus 'broken': no column 'speaker'")


def test_features_says_what_it_made(miniature, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("CTL_CACHE", str(tmp_path))
    assert cli.main(["features", str(miniature), "casia", "--jobs", "1"]) == 0
    assert capsys.readouterr().out.startswith("casia: 72 utterances x 172 frames x 39 coefficients")


def test_runs_lists_them(tmp_path, capsys):
    fill(tmp_path / "runs", folds=2)
    assert cli.main(["runs", str(tmp_path), "--csv"]) == 0
    table = capsys.readouterr().out.splitlines()
    assert table[0].startswith("run,task,corpus,source,target,protocol,split,method")
    assert len(table) > 10
    assert cli.main(["runs", str(tmp_path)]) == 0
    assert "caam-mdd" in capsys.readouterr().out


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A run folder with an untrained network."""
    from ctl_helpers.networks import backend, cpac

    folder = tmp_path_factory.mktemp("runs") / RUN
    folder.mkdir()
    backend.prepare(0)
    cpac.cpac(172, 39, 3).save(folder / "model.keras")
    spec = {"task": "cpac", "corpus": "casia", "emotions": ["angry", "happy", "sad"]}
    spec["recipe"] = {"name": "released", "features": "released", "normalisation": "none"}
    (folder / "spec.json").write_text(json.dumps(spec))
    return folder


def test_predict_gives_each_file_its_probabilities(model, miniature, capsys, tmp_path):
    files = list(load_manifest(miniature, "casia")["path"][:3])
    stereo = write_wav(tmp_path / "two channels ü.flac", noise(0.3, channels=2), rate=44_100)
    empty = tmp_path / "empty.wav"
    empty.write_bytes(b"")
    words = ["predict", str(model / "model.keras"), *files, str(stereo), str(empty), "--csv"]
    assert cli.main(words) == 1
    out, err = capsys.readouterr()
    rows = [line.split(",") for line in out.splitlines()]
    assert rows[0] == ["file", "emotion", "angry", "happy", "sad"]
    assert [row[0] for row in rows[1:]] == [*files, str(stereo)]
    p = np.array([row[2:] for row in rows[1:]], float)
    assert np.allclose(p.sum(axis=1), 1, atol=2e-4)
    assert [row[1] for row in rows[1:]] == np.array(rows[0][2:])[p.argmax(axis=1)].tolist()
    assert err.count("\n") == 1 and str(empty) in err
    assert cli.main(["predict", str(model), files[0]]) == 0
    assert files[0] in capsys.readouterr().out


def test_predict_agrees_with_the_network_on_the_run_s_own_features(model, miniature, tmp_path):
    from ctl_helpers.features.mfcc import extract
    from ctl_helpers.features.normalisation import normalise
    from ctl_helpers.runs.predict import _load, predict_files

    manifest = load_manifest(miniature, "casia").iloc[:6].reset_index(drop=True)
    values = extract(manifest, "released", jobs=1, cache=tmp_path / "cache").values
    for kind in ("none", "utterance", "global", "speaker"):
        folder = tmp_path / kind / RUN
        shutil.copytree(model, folder)
        spec = json.loads((folder / "spec.json").read_text())
        spec["recipe"]["normalisation"] = kind
        (folder / "spec.json").write_text(json.dumps(spec))
        one = manifest.assign(speaker="one")
        expected = normalise(values, one, kind, np.arange(3))
        if kind == "global":
            np.savez(folder / "normalisation.npz", mean=expected.mean, scale=expected.scale)
        table, notes, problems = predict_files(folder, manifest["path"])
        network = _load(folder)
        p = network.predict(expected[:][..., None], verbose=0)
        np.testing.assert_allclose(table[["angry", "happy", "sad"]], p, atol=1e-5)
        assert bool(notes) == (kind == "speaker") and not problems


def test_predict_refuses_what_is_no_run(model, miniature, tmp_path, capsys):
    file = load_manifest(miniature, "casia")["path"][0]
    broken = tmp_path / RUN
    shutil.copytree(model, broken)
    (broken / "model.keras").write_bytes(b"nothing")
    assert cli.main(["predict", str(broken), file]) == 2
    (broken / "spec.json").write_text("{")
    assert cli.main(["predict", str(broken), file]) == 2
    assert cli.main(["predict", str(model), "/no/such.wav"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in said] == ["error"] * 3
    assert "not a saved network" in said[0] and "spec.json is damaged" in said[1]


def test_readme_is_filled_from_runs(tmp_path, capsys):
    readme = tmp_path / "README.md"
    readme.write_text("# Title\n\n<!-- results -->\nstale words\n<!-- /results -->\n\nThe end\n")
    assert cli.main(["readme", str(tmp_path / "nothing"), "--file", str(readme)]) == 0
    text = readme.read_text()
    assert text == "# Title\n\n<!-- results -->\nNone yet.\n<!-- /results -->\n\nThe end\n"
    store = fill(tmp_path / "reference" / "runs", folds=2)
    assert cli.main(["readme", str(tmp_path / "reference"), "--file", str(readme)]) == 0
    text = readme.read_text()
    assert text.startswith("# Title") and text.endswith("The end\n") and "stale" not in text
    assert "**Inside one corpus: EmoDB, shuffled k-fold**" in text
    assert "**Across corpora**" in text and "TIM-Net (Ye et al. 2023)" in text
    assert "reference/runs" in text and "```sh" not in text  # no study has said how it was called
    assert cli.main(["readme", str(tmp_path / "reference"), "--file", str(readme)]) == 0
    assert readme.read_text() == text
    for path in store.root.iterdir():
        shutil.rmtree(path)
    assert "results of" in capsys.readouterr().out


def test_a_closed_pipe_is_no_error(tmp_path):
    fill(tmp_path / "runs", folds=2)
    command = f'"{sys.executable}" -m ctl_helpers runs "{tmp_path}" | head -1'
    done = subprocess.run(
        command, shell=True, capture_output=True, text=True, cwd=PACKAGE.parent, check=True
    )
    assert "Traceback" not in done.stderr and "run" in done.stdout
