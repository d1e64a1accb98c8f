"""Notebooks: clean as they are committed, and what executing one leaves."""

import json
import os
import re
import subprocess
import sys
import time

import browser
import fabricated
import nbformat
import pytest
from conftest import REPOSITORY
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from ctl_helpers.report.notebooks import (
    NOTEBOOKS,
    Notebook,
    execute,
    execute_in_parallel,
    named_runs,
    page_name,
    read_about,
    to_page,
)

NAMES = ["1_feature_exploration", "2_cpac_kfold", "3_caam_transfer", "4_result_tables"]
HOSTILE = "<img src=x onerror=alert(1)>"
CODE = f"""
import sys
import pandas as pd
from ctl_helpers.report import figures, tables
from ctl_helpers.report.notebooks import Page
from ctl_helpers.results.runs import load_predictions, load_runs

page = Page(out, "1_toy-{{}}".format(word), synthetic=True)
runs = load_runs("runs")
predictions = load_predictions("runs", runs)
display(page.table(tables.scores_by(predictions), "emotions", "Recall {HOSTILE}", runs["run"]))
display(page.table(pd.DataFrame({{"speaker": [{HOSTILE!r}]}}), "speakers", "Speakers"))
for corpus in ("../b", "a}}\\\\input{{x}}%", "a}}\\\\input{{x}}&"):
    page.table(pd.DataFrame({{"a": [corpus]}}), f"{{corpus}}-emotions", "Of hostile names")
page.figure(figures.confusion_matrix(predictions), "confusion")
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    out = tmp_path_factory.mktemp("report")
    fabricated.fill_conditions(out / "runs")
    return out


def notebook_of(folder, *cells, name="1_toy"):
    cells = [new_code_cell(cell) for cell in cells]
    cells.insert(0, new_code_cell("out, word = '.', ''", metadata={"tags": ["parameters"]}))
    cells.insert(0, new_markdown_cell("# What is a toy?"))
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(new_notebook(cells=cells, metadata=metadata), folder / f"{name}.ipynb")
    return Notebook(name, ["a"], "A toy", {"word": "a"}, folder=folder)


@pytest.mark.parametrize("name", NAMES)
def test_committed_notebooks_are_clean(name):
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code)
    assert [cell for cell in code if cell.metadata.get("tags") == ["parameters"]] == [code[0]]
    # The miniature corpora, or the report that a study of them wrote: it runs as it is.
    assert ("corpora = None" in code[0].source) == (name != NAMES[-1])
    assert notebook.cells[0].source.startswith("# ") and "?" in notebook.cells[0].source
    assert all(len(cell.source.splitlines()) <= 15 for cell in code), "longer is for the package"


def test_there_are_no_other_notebooks():
    assert sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")) == NAMES


def test_many_runs_are_in_a_file_by_its_name():
    assert named_runs(["b", "a", "a"]) == "Run folders: a, b."
    said = named_runs(map(str, range(11)))
    assert said == "11 run folders; tables/4_result_tables-runs.csv lists them."


def test_names_of_files_are_plain_and_never_meet():
    assert page_name("2_cpac_kfold", ["emodb", "modern"]) == "2_cpac_kfold-emodb-modern"
    odd = ["a/b", "a?b", "../..", "..", "<script>", "ü", "a b", "-a", 'a"b', "a_b"]
    names = [page_name("1_toy", [word]) for word in odd]
    assert len(set(names)) == len(odd)
    assert all(re.fullmatch(r"1_toy-[\w.+~]+", name, re.ASCII) for name in names)
    long = [page_name("1_toy", ["x" * 249 + end]) for end in "ab"]
    assert long[0] != long[1] and len(long[0]) < 70


def test_an_executed_notebook_shows_and_keeps_what_it_makes(report, tmp_path):
    notebook = notebook_of(tmp_path, CODE)
    assert not notebook.is_done(report)
    assert execute([notebook], report) == [""]
    assert notebook.is_done(report)
    written, page = notebook.files(report)
    cells = nbformat.read(written, as_version=4).cells
    outputs = [out for cell in cells for out in cell.get("outputs", [])]
    assert [out for out in outputs if out.get("name") == "stderr"] == []
    assert len([out for out in outputs if "image/png" in out.get("data", {})]) == 1
    kept = [path.name for folder in ("figures", "tables") for path in (report / folder).iterdir()]
    assert {"1_toy-a-confusion.png", "1_toy-a-confusion.svg", "1_toy-a-emotions.tex"} <= set(kept)
    text = page.read_text()
    assert HOSTILE not in text and "&lt;img src=x onerror=alert(1)&gt;" in text
    said = "Synthetic speech"  # first of all, and under what is scored
    assert text.index(said) < text.index("<nav>") and text.count(said) == 2
    written_tables = [path.name for path in (report / "tables").glob("*-emotions.tex")]
    assert len(written_tables) == 4  # of which three are of hostile names
    assert all(re.fullmatch(r"[\w.~-]+", name, re.ASCII) for name in written_tables)
    for place in (str(report), str(tmp_path), str(REPOSITORY)):
        assert place not in text and place not in written.read_text()
    first = written.read_bytes(), page.read_bytes()
    assert execute([notebook], report) == [""]
    assert (written.read_bytes(), page.read_bytes()) == first
    if browser.COMMAND is not None:
        with browser.Browser() as opened:
            for width in (390, 1280):
                opened.open(page.as_uri(), width)
                assert opened.run("document.documentElement.scrollWidth") <= width
            assert opened.run("document.querySelectorAll('[onerror], td img, script').length") == 0
    about = read_about(page)
    assert (about["notebook"], about["title"]) == ("1_toy", "A toy")
    changed = Notebook(**{**vars(notebook), "parameters": {"word": "b"}})
    assert not changed.is_done(report)


@pytest.mark.parametrize("method", ["cpac/quick", "mine.py:cpac/quick"])
def test_what_is_said_of_cpac_stands_on_its_pages_alone(report, tmp_path, method):
    notebook = notebook_of(tmp_path, "print('all of them')", "print('six capsules')")
    cells = nbformat.read(notebook.source, as_version=4)
    cells.cells[-1].metadata["tags"] = ["cpac"]
    nbformat.write(cells, notebook.source)
    notebook = Notebook(**{**vars(notebook), "parameters": {"method": method}})
    assert execute([notebook], report) == [""]
    text = notebook.files(report)[1].read_text()
    assert "all of them" in text and ("six capsules" in text) == (method == "cpac/quick")


FAILURES = [
    ("raise ValueError('one\\ntwo')", "ValueError: one"),
    ("raise SystemExit(3)", "SystemExit: 3"),
    ("1 +", "SyntaxError: invalid syntax"),
    ("import os; os._exit(1)", "its kernel died"),
]


@pytest.mark.parametrize(("code", "expected"), FAILURES)
def test_a_notebook_that_fails_says_so_in_a_line_and_leaves_no_page(
    report, tmp_path, code, expected
):
    notebook = notebook_of(tmp_path, code)
    for path in notebook.files(report):
        path.parent.mkdir(exist_ok=True)
        path.write_text("of an earlier time")
    (message,) = execute([notebook], report)
    assert message.startswith(f"notebook 1_toy-a: {expected}") and "\n" not in message
    assert not any(path.exists() for path in notebook.files(report))


def test_a_mistake_of_the_user_is_one_line_in_a_notebook_too():
    code = "from ctl_helpers.errors import StudyError; raise StudyError('expected a, got b')"
    asked = [sys.executable, "-m", "IPython", "--colors=NoColor", "-c", code]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=300, cwd=REPOSITORY)
    assert done.stdout.strip() == "error: expected a, got b"


def test_notebooks_of_one_kernel_know_nothing_of_each_other(report, tmp_path):
    seen = "print('left' in globals(), end=' ', flush=True); left = 1; "  # arrives in two pieces
    seen += "print(os.getpid() if 'os' in globals() else 'no os')"
    one = notebook_of(tmp_path, f"{seen}; import os", name="1_one")
    failing = notebook_of(tmp_path, "import os; os._exit(1)", name="2_fails")
    three = notebook_of(tmp_path, seen, name="3_three")
    said = execute([one, three, failing, one, three], report)
    assert [bool(line) for line in said] == [False, False, True, False, False]
    for notebook in (one, three):
        cells = nbformat.read(notebook.files(report)[0], as_version=4).cells
        assert cells[-1].outputs[0].text == "False no os\n"
        assert [cell.execution_count for cell in cells[1:]] == [1, 2, 3]


def test_notebooks_in_parallel_say_which_failed(report, tmp_path):
    fine = [notebook_of(tmp_path, "print(1)", name=f"1_{i}") for i in range(3)]
    failing = notebook_of(tmp_path, "1 / 0", name="2_fails")
    said = execute_in_parallel([fine[0], failing, *fine[1:]], report, 2)
    assert said == ["notebook 2_fails-a: ZeroDivisionError: division by zero"]
    assert all(notebook.is_done(report) for notebook in fine)
    assert execute_in_parallel([], report, 2) == []


def test_what_a_notebook_no_longer_makes_goes_and_what_others_made_stays(tmp_path):
    one, other = (notebook_of(tmp_path, "print(1)", name=name) for name in ("1_a", "1_a-a-b"))
    assert execute([one, other], tmp_path) == ["", ""]
    (tmp_path / "figures").mkdir()
    names = ["1_a-a-old.png", "1_a-a-b-a-kept.png", "mine-own.png", "1_a-a-new.png"]
    files = [tmp_path / "figures" / name for name in names]
    for file in files:
        file.touch()
        if file != files[-1]:  # as another study would that runs now
            os.utime(file, (0, 0))
    assert execute([one], tmp_path) == [""]
    assert [file.exists() for file in files] == [False, True, True, True]


@pytest.mark.parametrize("failures", [1, 2])
def test_a_kernel_that_does_not_start_is_started_again_then_named(
    report, tmp_path, monkeypatch, failures
):
    script = tmp_path / "kernel.sh"
    script.write_text(
        f"echo >> {tmp_path}/starts\n[ $(wc -l < {tmp_path}/starts) -gt {failures} ] || exit 1\n"
        f'exec {sys.executable} -m ipykernel_launcher "$@"\n'
    )
    kernel = tmp_path / "kernels" / "python3" / "kernel.json"
    kernel.parent.mkdir(parents=True)
    argv = ["sh", str(script), "-f", "{connection_file}"]
    about = {"argv": argv, "display_name": "Python 3", "language": "python"}
    kernel.write_text(json.dumps(about))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    notebooks = [notebook_of(tmp_path, "print(1)", name=f"3_{failures}{i}") for i in range(2)]
    said = execute(notebooks, report)
    if failures == 1:
        assert said == ["", ""] and all(notebook.is_done(report) for notebook in notebooks)
    else:
        assert [line.split(":")[0] for line in said] == [f"notebook {n.name}" for n in notebooks]
        assert all("its kernel did not start" in line and "\n" not in line for line in said)
    assert (tmp_path / "starts").read_text() == "\n" * 2


def test_a_notebook_that_cannot_be_read_is_named(report, tmp_path):
    (tmp_path / "1_toy.ipynb").write_text("{")
    (message,) = execute([Notebook("1_toy", [], "A toy", {}, folder=tmp_path)], report)
    assert message.startswith("notebook 1_toy: ") and "\n" not in message
    (message,) = execute([Notebook("2_gone", [], "A toy", {}, folder=tmp_path)], report)
    assert message.startswith("notebook 2_gone: FileNotFoundError")


def test_reading_results_starts_no_backend(report):
    heavy = ["keras", "tensorflow", "torch", "jax", "librosa", "sklearn.manifold"]
    more = "import ctl_helpers.results.verdict, ctl_helpers.report.index"
    code = f"out, word, display = '.', 'x', id\n{CODE}\n{more}"
    code += f"\nprint(sorted(set({heavy}) & set(sys.modules)))"
    begin = time.monotonic()
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=report)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
    assert time.monotonic() - begin < 60


@pytest.mark.parametrize("injected", [True, False])
def test_a_page_shows_the_parameters_once(injected):
    cells = [new_code_cell("corpus = 'default'", metadata={"tags": ["parameters"]})]
    if injected:
        tags = {"tags": ["injected-parameters"]}
        cells.append(new_code_cell("corpus = 'chosen'", metadata=tags))
    notebook = new_notebook(cells=cells)
    page = to_page(notebook, {"title": "Title"})
    assert ("default" in page) != injected and ("chosen" in page) == injected
    assert len(notebook.cells) == 1 + injected
