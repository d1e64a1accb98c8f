"""The notebooks of a study on miniature corpora, executed: the scores in them are looked at."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import browser
import fabricated
import nbformat
import pandas as pd
import pytest
from conftest import REPOSITORY
from sklearn.metrics import recall_score

from ctl_helpers.corpora import SYNTHETIC
from ctl_helpers.errors import StudyError
from ctl_helpers.parallel import environment
from ctl_helpers.report.notebooks import NOTEBOOKS, Notebook, execute
from ctl_helpers.study.opened import open_across, open_corpus, open_inside, open_report
from ctl_helpers.study.pages import (
    ACROSS,
    FEATURES,
    INSIDE,
    TABLES,
    list_notebooks,
)
from ctl_helpers.study.plan import plan_study
from ctl_helpers.study.run import run_study
from ctl_helpers.study.settings import read_study

STUDY = """
names: emodb
folds: 2
epochs: 1
selection: best_test
blocks:
  inside: {methods: [cpac/quick, mfcc+linear], pairs: none}
  held out: {methods: mfcc+linear, protocols: loso, pairs: none}
  across: {methods: [source-only/quick, caam-mdd/quick], protocols: none, pairs: "emodb:casia"}
"""
FIGURES = {
    FEATURES: "balance steps pitch utterances space normalisation",
    INSIDE: "network routing curves confusion emotions speakers leak space gap reliability",
    ACROSS: "balance disparity comparison gains confusion-source-only confusion-caam-mdd spaces "
    "curves-source-only curves-caam-mdd",
    TABLES: "overview gap across gains",
}


@pytest.fixture(scope="module")
def no_backend(tmp_path_factory):
    """A folder for PYTHONPATH, with which no backend can be imported."""
    folder = tmp_path_factory.mktemp("none")
    for backend in ("keras", "tensorflow"):
        (folder / f"{backend}.py").write_text("raise SystemError('nothing is to be trained')")
    return str(folder)


@pytest.fixture(scope="module")
def study(tmp_path_factory, no_backend):
    """A study, as small as they come, and the notebooks that tell it."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "tiny.yaml").write_text(STUDY)
    out = folder / "reports"
    study = read_study(folder / "tiny.yaml", {"out": str(out)})
    bare = read_study(folder / "tiny.yaml", {"out": str(out), "notebooks": False})
    assert run_study(bare, lambda line: None).problems == ()
    plan = plan_study(study)
    notebooks = list_notebooks(study, plan, plan.runs, out)
    with environment(PYTHONPATH=no_backend):
        assert execute(notebooks, out) == [""] * len(notebooks)
    said = []
    assert run_study(study, said.append).problems == ()  # nothing is left but the index
    assert not any("executing" in line for line in said)
    return study


@pytest.fixture(scope="module")
def report(study):
    return Path(study.settings.out)


@pytest.fixture(scope="module")
def notebooks(study, report):
    """The notebooks of the study by what they are of."""
    plan = plan_study(study)
    return {one.notebook: one for one in list_notebooks(study, plan, plan.runs, report)}


@pytest.fixture
def table_of(report, notebooks):
    return lambda kind, name: pd.read_csv(report / "tables" / f"{notebooks[kind].name}-{name}.csv")


@pytest.fixture
def words_of(report, notebooks):
    """All text that an executed notebook printed or said."""
    return lambda kind: "\n".join(
        out.get("text", "") or out["data"].get("text/markdown", "")
        for out in outputs_of(notebooks[kind], report)
    )


def outputs_of(notebook, report):
    cells = nbformat.read(notebook.files(report)[0], as_version=4).cells
    return [out for cell in cells for out in cell.get("outputs", [])]


def predictions_of(report, selection="last", **wanted):
    """Read what the run folders hold, with nothing of the package: a frame of all that fit."""
    parts = []
    for spec in report.glob("runs/*/spec.json"):
        told = json.loads(spec.read_text())
        method = told["method"]
        recipe = (method.get("recipe") or {}).get("name", "")
        told = told["problem"] | {"method": method["name"], "recipe": recipe}
        if all(told[key] == value for key, value in wanted.items()):
            table = pd.read_csv(spec.with_name("predictions.csv"), dtype={"speaker": str})
            parts.append(table[table["selection"] == selection].assign(split=told["split"]))
    return pd.concat(parts)


def uar(table):
    """Mean over splits, in percent."""
    parts = [part for _, part in table.groupby("split")]
    return sum(100 * recall(part["emotion"], part["predicted"]) for part in parts) / len(parts)


def recall(true, predicted):
    return recall_score(true, predicted, average="macro", labels=sorted(set(true)), zero_division=0)


@pytest.mark.parametrize("kind", FIGURES)
def test_executed_notebooks_show_and_keep_their_figures(report, notebooks, kind):
    outputs = outputs_of(notebooks[kind], report)
    assert [out for out in outputs if out.output_type == "error"] == []
    assert [out.text for out in outputs if out.get("name") == "stderr"] == []
    assert outputs[0].text.startswith(SYNTHETIC)
    images = [out for out in outputs if "image/png" in out.get("data", {})]
    assert len(images) == len(FIGURES[kind].split())
    for figure in FIGURES[kind].split():
        for ending in ("png", "svg"):
            file = report / "figures" / f"{notebooks[kind].name}-{figure}.{ending}"
            assert file.stat().st_size > 1000
    page = notebooks[kind].files(report)[1].read_text()
    assert len(re.findall("<img[^>]*data:image/png", page)) == len(images)
    assert page.count("data:audio/wav") == (kind == FEATURES)


def test_no_output_names_a_place_of_this_machine(report):
    for path in [*report.rglob("*.html"), *report.rglob("*.ipynb"), *report.rglob("*.md")]:
        text = path.read_text()
        for place in (str(report.parent), str(REPOSITORY), "/tmp/", "/home/", "site-packages"):
            assert place not in text, (path.name, place)


def test_nothing_published_stands_beside_synthetic_speech(report):
    for path in [*report.glob("tables/*.md"), report / "index.html"]:
        assert "et al." not in path.read_text(), path.name


def test_scores_inside_a_corpus_are_those_of_the_predictions(report, notebooks, table_of, words_of):
    last = predictions_of(report, corpus="emodb", method="cpac")
    best = predictions_of(report, "best_test", corpus="emodb", method="cpac")
    table = table_of(INSIDE, "scores").set_index("selection")
    assert table.loc["last", "uar"] == pytest.approx(uar(last), abs=1e-3)
    assert table.loc["best_test", "uar"] == pytest.approx(uar(best), abs=1e-3)
    assert table.loc["last", "pooled_uar"] == pytest.approx(uar(last.assign(split="")), abs=1e-3)
    words = words_of(INSIDE)
    assert f"UAR is {uar(last):.1f} %" in words
    assert f"{uar(best) - uar(last):+.1f} points of UAR" in words
    emotions = table_of(INSIDE, "emotions").set_index("emotion")
    for emotion, part in last.groupby("emotion"):
        hits = 100 * (part["predicted"] == emotion).mean()
        assert emotions.loc[emotion, "recall"] == pytest.approx(hits, abs=1e-3)
    best = emotions.index[emotions["recall"].round().eq(emotions["recall"].round().max())]
    assert f"Best recognised: *{', '.join(best)}* (" in words, "all that are alike"
    of_all = table_of(TABLES, "inside")
    mine = of_all.query("method == 'cpac' and selection == 'last'")
    assert mine["uar"].item() == pytest.approx(uar(last), abs=1e-3)
    assert f">{uar(last):.1f}" in notebooks[TABLES].files(report)[1].read_text()


def test_a_leak_is_shown_with_the_scores_of_both_protocols(report, words_of):
    words = words_of(INSIDE)
    for protocol, said in (("kfold", "shuffled folds"), ("loso", "speakers that were never heard")):
        score = uar(predictions_of(report, method="mfcc-statistics+linear", protocol=protocol))
        assert f"{score:.1f} % with {said}" in words


def test_routing_is_that_of_the_stored_network(words_of):
    stored, again = re.search(
        r"p = ([\d.]+) as stored, ([\d.]+) in NumPy", words_of(INSIDE)
    ).groups()
    assert abs(float(stored) - float(again)) < 0.0011


def test_scores_across_corpora_are_those_of_the_predictions(report, table_of, words_of):
    table = table_of(ACROSS, "scores").set_index("method")
    scores = {}
    for method in ("source-only", "caam-mdd"):
        scores[method] = uar(predictions_of(report, target="casia", method=method))
        assert table.loc[method, "uar"] == pytest.approx(scores[method], abs=1e-3)
    gains = table_of(ACROSS, "gains")
    gain = scores["caam-mdd"] - scores["source-only"]
    assert gains["difference"].item() == pytest.approx(gain, abs=1e-3)
    words = words_of(ACROSS)
    assert f"UAR {max(scores.values()):.1f} %" in words and f"{gain:+.1f} points" in words


def test_a_notebook_has_the_parameters_it_is_given(report, notebooks):
    assert sorted(notebooks) == sorted(FIGURES)
    for notebook in notebooks.values():
        assert notebook.is_done(report)
        cells = nbformat.read(notebook.source, as_version=4).cells
        cell = next(cell for cell in cells if "parameters" in cell.metadata.get("tags", []))
        names = {one.id for one in ast.walk(ast.parse(cell.source)) if isinstance(one, ast.Name)}
        assert set(notebook.parameters) <= names


def test_reading_what_is_there_starts_no_backend(report, notebooks, no_backend):
    with environment(PYTHONPATH=no_backend):  # as when the notebooks were executed
        done = subprocess.run([sys.executable, "-c", "import keras"], stderr=subprocess.PIPE)
    assert b"nothing is to be trained" in done.stderr
    assert all(notebook.is_done(report) for notebook in notebooks.values())


def test_blocks_that_differ_in_folds_alone_have_a_page_each(tmp_path):
    text = "names: emodb\npairs: none\nmethods: cpac/quick\nblocks:\n"
    text += "  two: {folds: 2}\n  again: {folds: 2}\n  three: {folds: 3}\n"
    (tmp_path / "blocks.yaml").write_text(text)
    study = read_study(tmp_path / "blocks.yaml", {"out": str(tmp_path / "reports")})
    plan = plan_study(study)
    found = [n for n in list_notebooks(study, plan, plan.runs, tmp_path) if n.notebook == INSIDE]
    assert [(one.name, one.parameters["folds"]) for one in found] == [
        (f"{INSIDE}-emodb-cpac-quick-kfold", 2),
        (f"{INSIDE}-emodb-cpac-quick-kfold-three", 3),
    ]
    assert found[1].title == f"{found[0].title} (three)"


def test_adaptation_inside_a_corpus_has_the_page_of_a_corpus(tmp_path):
    settings = {"names": ["emodb"], "protocols": ["loso"], "pairs": "none"}
    settings |= {"methods": ["mmd/quick"], "out": str(tmp_path / "reports")}
    study = read_study(None, settings)
    plan = plan_study(study)
    pages = list_notebooks(study, plan, plan.runs, tmp_path)
    assert [one.notebook for one in pages] == [FEATURES, INSIDE, TABLES]
    assert pages[1].parameters["method"] == "mmd/quick"
    assert pages[1].title == "EmoDB, MMD quick, per speaker, leave one speaker out"


@pytest.mark.skipif(browser.COMMAND is None, reason="needs Chromium")
@pytest.mark.parametrize("width", [390, 1280])
def test_pages_fit_into_a_window_and_ask_for_nothing(report, notebooks, width):
    with browser.Browser() as opened:
        for kind, notebook in notebooks.items():
            opened.open(notebook.files(report)[1].as_uri(), width)
            assert opened.run("document.documentElement.scrollWidth") <= width, kind
            asked = [url for url in opened.requests() if not url.startswith(("data:", "file:"))]
            assert asked == []


def test_what_cannot_be_opened_is_said_in_a_line(tmp_path):
    with pytest.raises(StudyError, match="corpus 'nowhere': expected one of those found"):
        open_inside(None, "nowhere", out=str(tmp_path))
    with pytest.raises(StudyError, match="expected methods of one recipe"):
        methods = ["source-only/quick", "caam-mdd/released"]
        open_across(None, "emodb", "casia", methods, out=str(tmp_path))
    with pytest.raises(StudyError, match=r"expected methods for emodb:casia, got cpac/quick"):
        open_across(None, "emodb", "casia", "cpac/quick", out=str(tmp_path))
    with pytest.raises(StudyError, match=r"features of frames: expected one of .*, got 'compare'"):
        open_corpus(None, "emodb", "compare", out=str(tmp_path))
    with pytest.raises(StudyError, match="expected a network, such as cpac/quick, got mfcc"):
        open_inside(None, "emodb", "mfcc+linear", out=str(tmp_path))


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_committed_notebooks_open_with_one_import_and_close_with_what_was_seen(path):
    cells = nbformat.read(path, as_version=4).cells
    code = [cell.source for cell in cells if cell.cell_type == "code"]
    assert len(re.findall(r"^(?:from|import) ", "\n".join(code), re.MULTILINE)) == 1
    assert code[1].startswith("from ctl_helpers.study.opened import ")
    assert code[-1] == "opened.seen()"
    assert all(len(source.splitlines()) <= 15 for source in code)
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    assert "**What you will see:**" in text and "## What was seen" in text
    exercises = text.split("## Try it")[1].split("## Read on")[0]
    assert 2 <= exercises.count("\n- ") <= 3
    assert len(re.findall(r"\]\(https://", text)) >= 2


def test_the_tables_open_with_the_verdict(tmp_path):
    notebook = Notebook(TABLES, (), "all results", {"corpora": ".", "out": "."})
    fabricated.fill(tmp_path / "runs")
    assert execute([notebook], tmp_path) == [""]
    outputs = outputs_of(notebook, tmp_path)
    assert "image/png" in outputs[0]["data"], "the figure comes first"
    assert [out.text for out in outputs if out.get("name") == "stderr"] == []
    claims = pd.read_csv(tmp_path / "tables" / f"{TABLES}-verdict.csv")
    cpac = claims[claims["claim"] == "CPAC, EmoDB"].iloc[0]
    released = predictions_of(
        tmp_path, corpus="emodb", method="cpac", protocol="kfold", recipe="released"
    )
    assert cpac["published"] == 86.92 and cpac["folds"] == 10
    assert cpac["last"] == pytest.approx(uar(released), abs=1e-3)
    inside = cpac["last_low"] <= 86.92 <= cpac["last_high"]
    assert cpac["verdict"].startswith("holds" if inside else "does not hold")


def test_a_report_that_is_not_there_is_named(tmp_path):
    with pytest.raises(StudyError, match="reprots: expected the folder of a report, found none"):
        open_report(tmp_path / "reprots")
