"""The notebooks: clean as they are committed, and executed by a study on miniature corpora."""

import re
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest

from ctl_helpers.report.pages import NOTEBOOKS, PACKAGE, SYNTHETIC, Cell, execute
from ctl_helpers.study.run import run_study
from ctl_helpers.study.settings import Settings

NAMES = ["1_feature_exploration", "2_cpac_kfold", "3_caam_transfer", "4_result_tables"]
FIGURES = {
    "1_feature_exploration-emodb-released": [
        *("balance", "durations", "utterances", "statistics", "space", "normalisation"),
    ],
    "2_cpac_kfold-emodb-quick-kfold": [
        *("curves", "confusion", "emotions", "speakers", "space", "gap", "reliability"),
    ],
    "3_caam_transfer-emodb-casia-quick": [
        *("balance", "comparison", "confusion-source-only", "confusion-caam-mdd", "spaces"),
        "gains",
        *("curves-source-only", "curves-caam-mdd"),
    ],
    "3_caam_transfer-emodb-casia-quick-inductive-arousal": [
        *("balance", "comparison", "confusion-source-only", "curves-source-only"),
    ],
    "4_result_tables": ["comparison", "gap", "transfers", "gains"],
}


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A whole study, as small as they come, with all four notebooks."""
    settings = Settings(
        names=("emodb",),
        folds=2,
        epochs=1,
        pairs=(("emodb", "casia"),),
        methods=("source-only", "caam-mdd"),
        out=tmp_path_factory.mktemp("study") / "reports",
    )
    more = {"protocols": (), "scorings": ("inductive",), "labels": ("arousal",)}
    more = replace(settings, methods=("source-only",), **more)
    for one in (settings, more):
        found = run_study(one, lambda line: None)
        assert found.problems == ()
    return found.index.parent


@pytest.mark.parametrize("name", NAMES)
def test_committed_notebooks_are_clean(name):
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code)
    assert [cell for cell in code if cell.metadata.get("tags") == ["parameters"]] == [code[0]]
    assert "root = None" in code[0].source  # the miniature corpora: it runs as it is
    assert notebook.cells[0].source.startswith("# ") and "?" in notebook.cells[0].source
    assert all(len(cell.source.splitlines()) <= 22 for cell in code), "longer is for the package"


def test_there_are_no_other_notebooks():
    assert sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")) == NAMES


@pytest.mark.parametrize("name", FIGURES)
def test_executed_notebooks_show_and_keep_their_figures(report, name):
    notebook = nbformat.read(report / "notebooks" / f"{name}.ipynb", as_version=4)
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    assert not [out for out in outputs if out.output_type == "error"]
    assert outputs[0].text.startswith(SYNTHETIC)
    noise = [out.text for out in outputs if out.get("name") == "stderr"]
    assert noise == []
    images = [out for out in outputs if "image/png" in out.get("data", {})]
    assert len(images) == len(FIGURES[name])
    for figure in FIGURES[name]:
        for ending in ("png", "svg"):
            assert (report / "figures" / f"{name}-{figure}.{ending}").stat().st_size > 1000
    page = (report / "notebooks" / f"{name}.html").read_text()
    assert len(re.findall("<img[^>]*data:image/png", page)) == len(images)


def test_tables_come_in_three_forms_and_name_their_runs(report):
    runs = {path.name for path in (report / "runs").iterdir() if path.is_dir()}
    assert len(runs) == 6
    for stem in ("2_cpac_kfold-emodb-quick-kfold-scores", "4_result_tables-across"):
        texts = [(report / "tables" / f"{stem}.{end}").read_text() for end in ("csv", "md", "tex")]
        assert SYNTHETIC in texts[1] and SYNTHETIC in texts[2]
        named = set(re.findall(r"\b[0-9a-f]{12}\b", texts[1]))
        assert named and named <= runs


def test_the_report_names_no_place_of_this_machine(report):
    home = str(Path(report).parent)
    for path in [*report.rglob("*.html"), *report.rglob("*.ipynb"), *report.rglob("*.md")]:
        text = path.read_text()
        assert home not in text and str(PACKAGE.parent) not in text, path.name


def test_the_index_leads_to_everything(report):
    page = (report / "index.html").read_text()
    for name in FIGURES:
        assert f'href="notebooks/{name}.html"' in page
    for link in re.findall(r'href="([^"]+)"', page):
        assert (report / link).exists()
    assert "src=" not in re.sub(r'src="data:[^"]*"', "", page)


def test_a_notebook_that_fails_says_so_in_a_line(tmp_path):
    wrong = Cell("1_feature_exploration", "wrong", "wrong", {"corpus": "nope", "out": "."})
    said = execute(wrong, tmp_path)
    assert said.startswith("notebook wrong: StudyError: no corpus 'nope'") and "\n" not in said
    assert not (tmp_path / "notebooks" / "wrong.ipynb").exists()
