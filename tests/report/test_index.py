"""The index page, in a browser where there is one, and the sections of README and docs."""

import html
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
import time
from urllib.parse import unquote, urlsplit

import browser
import fabricated
import pandas as pd
import pytest
from conftest import REPOSITORY

from ctl_helpers.corpora import SYNTHETIC
from ctl_helpers.errors import StudyError
from ctl_helpers.networks.recipes import TRANSFER_RECIPES
from ctl_helpers.report import figures, tables
from ctl_helpers.report.findings import Findings
from ctl_helpers.report.index import write_index
from ctl_helpers.report.notebooks import page_name
from ctl_helpers.report.sections import END, START, rewrite_readme, rewrite_section
from ctl_helpers.results.archive import write_archive
from ctl_helpers.results.runs import load_predictions, load_runs, study_runs
from ctl_helpers.runs.store import RunStore

needs_browser = pytest.mark.skipif(browser.COMMAND is None, reason="needs Chromium or Chrome")
HOSTILE = {
    "corpus": '"><script>document.title="harmed"</script>',
    "emotions": ["<img src=x onerror='document.title=1'>", "[x](javascript:document.title=1)"],
    "recipe": "</style></script><svg onload=\"document.title='harmed'\">",
}


def tell(out, name, notebook, title, synthetic=False):
    """Leave the page of an executed notebook, as `execute` does."""
    about = html.escape(json.dumps({"key": "0", "notebook": notebook, "title": title}))
    said = SYNTHETIC if synthetic else ""
    page = f'<!doctype html><title>page</title><main data-about="{about}">{said}</main>'
    (out / "notebooks" / f"{name}.html").write_text(page)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Runs of known corpora and of one whose names are an attack, a page and a figure of each."""
    out = tmp_path_factory.mktemp("report")
    store = fabricated.fill(out / "runs")
    for fold in range(3):
        run = {"corpus": HOSTILE["corpus"], "classes": HOSTILE["emotions"]}
        recipe = fabricated.recipe(HOSTILE["recipe"])
        fabricated.add_run(store, split=f"fold {fold}", recipe=recipe, **run)
    runs = load_runs(store)
    predictions = load_predictions(store, runs)
    (out / "notebooks").mkdir()
    tell(out, "4_result_tables", "4_result_tables", "all results")
    for corpus in (HOSTILE["corpus"], "emodb"):
        name = page_name("2_cpac_kfold", [corpus, "modern", "kfold"])
        tell(out, name, "2_cpac_kfold", f"{corpus}, CPAC")
        mine = predictions[predictions["corpus"] == corpus]
        figures.save_figure(figures.confusion_matrix(mine), out / "figures", f"{name}-confusion")
    (out / "notebooks" / "2_cpac_kfold-failed.ipynb").write_text("{}")
    (out / "notebooks" / "2_cpac_kfold-mine.html").write_text("somebody's own")
    table = tables.ours_beside_published(runs)
    across = table[table["source"] != ""]
    figures.save_figure(figures.comparison(across), out / "figures", "4_result_tables-across")
    index = write_index(out, [f"{HOSTILE['corpus']}: 3 of 5 files left out"])
    return index.parent


@pytest.fixture(scope="module")
def page():
    with browser.Browser() as opened:
        yield opened


def address(report):
    return (report / "index.html").as_uri()


def test_a_disk_that_is_full_while_pages_are_written_is_one_line_and_leaves_the_old(tmp_path):
    fabricated.fill(tmp_path / "runs", folds=2)
    page = write_index(tmp_path)
    before, files = page.read_bytes(), sorted(tmp_path.iterdir())
    code = """
        import resource, sys
        from ctl_helpers.errors import StudyError
        from ctl_helpers.report.index import write_index
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        try:
            write_index(sys.argv[1], ["new"])
        except StudyError as error:
            print(error)
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)]
    path = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
    said = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=True
    )
    assert said.stdout == f"cannot write {page} (File too large)\n"  # a limit in place of a disk
    assert page.read_bytes() == before and sorted(tmp_path.iterdir()) == files


@needs_browser
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_scrolls_sideways(page, report, width, dark):
    page.open(address(report), width, dark=dark)
    page.run("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert page.run("document.documentElement.scrollWidth") <= width
    shown = """[...document.querySelectorAll('details .wide')].every(box =>
      box.scrollWidth <= box.clientWidth || box.clientWidth >= innerWidth - 48)"""
    assert page.run(shown), "a table has the width of the window before it scrolls"
    outside = """[...document.querySelectorAll('body *')].filter(one => !one.closest('.wide') &&
      !one.closest('dialog') && one.getBoundingClientRect().right > innerWidth + 1).length"""
    assert page.run(outside) == 0
    background = page.run("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", background)[:3])) < 200) == dark


@needs_browser
def test_no_request_leaves_the_machine_and_every_link_resolves(page, report):
    page.open(address(report))
    page.run("document.querySelectorAll('img').forEach(one => one.loading = 'eager')")
    time.sleep(0.5)
    assert {urlsplit(one).scheme for one in page.requests()} <= {"file", "data"}
    assert page.faults() == []
    links = page.run("[...document.querySelectorAll('a, img[src]')].map(a => a.href || a.src)")
    links = [one for one in links if not one.startswith("data:")]
    assert len(links) > 6
    for link in links:
        assert urlsplit(link).scheme == "file"
        assert os.path.exists(unquote(urlsplit(link).path)), link
    broken = "[...document.images].filter(one => !one.complete || !one.naturalWidth).length"
    assert page.run(broken) <= 1  # the empty one of the dialog
    missing = "[...document.querySelectorAll('main img')].filter(one => one.alt.length < 20).length"
    assert page.run(missing) == 0
    assert not [link for link in links if "failed" in link or "mine" in link]


def test_what_the_best_epoch_adds_is_told_although_the_last_ran_by_itself(tmp_path):
    """A fusion asks for the last epoch only: its part is the same training in another run."""
    store, common = RunStore(tmp_path / "runs"), {"corpus": "emodb", "split": "fold 0"}
    fabricated.add_run(store, selection="best_test", **common)
    fabricated.add_run(store, finished="2026-01-02T00:00:00Z", **common)
    assert len(study_runs(tmp_path)) == 2
    found = Findings(tmp_path)
    assert found.gap["metric"].tolist() == ["UAR", "WAR"] and (found.gap["runs"] == 1).all()


@needs_browser
def test_hostile_names_are_text(page, report):
    page.open(address(report))
    assert "CTL-MTNet" in page.run("document.title")
    assert page.run("document.scripts.length") == 1 and page.run("document.styleSheets.length") == 1
    assert page.run("document.querySelectorAll('svg, [onerror], [onload]').length") == 0
    assert page.run("document.querySelectorAll('a[href^=\"javascript\"]').length") == 0
    text = page.run("document.documentElement.textContent")
    assert HOSTILE["corpus"] in text and HOSTILE["recipe"] in text
    assert all(emotion in text for emotion in HOSTILE["emotions"])


@needs_browser
def test_tables_sort_and_filter_and_figures_open_large(page, report):
    page.open(address(report))
    find = "[...document.querySelectorAll('details')].find(d => d.querySelector('.filter'))"
    page.run(
        f"window.one = {find}; one.open = true; window.rows = () => [...one.querySelectorAll"
        "('tbody tr')].filter(r => !r.hidden).map(r => [...r.cells].map(c => c.innerText))"
    )
    page.run("one.querySelectorAll('th.right button')[0].click()")
    column = page.run("[...one.querySelectorAll('th')].findIndex(h => h.ariaSort)")
    shown = [row[column] for row in page.run("rows()")]
    numbers = [float(text.split()[0]) for text in shown if text]
    assert len(numbers) > 2 and numbers == sorted(numbers, reverse=True)
    assert shown[len(numbers) :] == [""] * (len(shown) - len(numbers))  # empty ones last
    page.run(
        "window.box = one.querySelector('.filter'); box.value = 'cpac'; "
        "box.dispatchEvent(new Event('input'))"
    )
    kept = page.run("rows()")
    assert 0 < len(kept) < len(shown) and all("CPAC" in " ".join(row) for row in kept)
    page.run("document.querySelector('a.enlarge').click()")
    assert page.run("document.getElementById('large').open")
    page.run("document.getElementById('large').click()")
    assert not page.run("document.getElementById('large').open")
    assert page.run("location.pathname").endswith("index.html")


def test_the_first_figure_shows_what_the_runs_say(report):
    text = (report / "index.html").read_text()
    runs = study_runs(report)
    means = (
        100
        * runs[(runs["corpus"] == "casia") & (runs["recipe"] == "modern")]
        .groupby("protocol")["uar"]
        .mean()
    )
    for protocol in ("kfold", "loso"):
        assert f">{means[protocol]:.1f}</span>" in text
    fall = means["kfold"] - means["loso"]
    words = f"{abs(fall):.1f} points on CASIA (1 method)"
    assert words in text and "left:16.67%" in text
    best = runs[runs["recipe"].eq("modern")].groupby(["corpus", "protocol"])["uar"].mean()
    one = {"casia": "CASIA", "emodb": "EmoDB"}[best.xs("kfold", level="protocol").idxmax()]
    assert f". CPAC modern on {one} goes from" in text
    assert "CPAC (Ye et al. 2023)" in text and SYNTHETIC not in text
    assert " %" not in text, "a number and its sign stay on one line"


def test_synthetic_speech_is_said_first_and_stands_beside_nothing_published(tmp_path):
    store, published = RunStore(tmp_path / "runs"), fabricated.recipe("released")
    common = {"corpus": "emodb", "folds": 10, "synthetic": True}
    fabricated.add_run(store, split="fold 0", recipe=published, **common)
    modern = fabricated.recipe("modern", "global")
    fabricated.add_run(store, split="fold 0", recipe=modern, **common)
    text = write_index(tmp_path).read_text()
    assert text.index(SYNTHETIC) < text.index("<h1>")
    assert "Ye et al." not in text and "published score" not in text
    assert "was aimed at" not in text


def test_pages_of_synthetic_speech_are_not_those_of_real_speech(tmp_path):
    (tmp_path / "notebooks").mkdir()
    for corpus in ("emodb", "casia"):
        name = f"2_cpac_kfold-{corpus}"
        tell(tmp_path, name, "2_cpac_kfold", f"page of {corpus}", synthetic=corpus == "casia")
    store, common = RunStore(tmp_path / "runs"), {"split": "fold 0", "folds": 10}
    fabricated.add_run(store, corpus="casia", synthetic=True, **common)
    assert "page of casia" in write_index(tmp_path).read_text()
    fabricated.add_run(store, corpus="emodb", **common)
    text = write_index(tmp_path).read_text()
    assert "page of emodb" in text and "page of casia" not in text


def test_an_index_of_nothing_and_of_one_run(tmp_path):
    text = write_index(tmp_path).read_text()
    assert "0 runs" in text and SYNTHETIC not in text
    fabricated.add_run(RunStore(tmp_path / "runs"), split="fold 0", corpus="emodb")
    text = write_index(tmp_path).read_text()
    said = r"The best score inside a corpus is a UAR of [\d.]+\u00a0% on EmoDB \(CPAC, 54 of 540"
    assert re.search(said, text)
    assert "shuffled folds: voices known" in text and "held-out speakers" not in text


def test_methods_that_ran_on_few_pairs_are_said_to(tmp_path):
    store = RunStore(tmp_path / "runs")
    for method, source, target, classes in (
        ("dann", "casia", "emodb", "angry, sad"),
        ("coral", "emodb", "casia", "angry, fear, happy, sad"),
    ):
        pair = {"source": source, "target": target, "protocol": "transductive"}
        pair |= {"recipe": fabricated.recipe("modern"), "classes": classes.split(", ")}
        fabricated.add_run(store, method=method, split="all", **pair)
    said = " ".join(Findings(tmp_path).sentences())
    assert "UAR over 1 pair, " in said and "chance is 25 to 50 %" in said


def test_what_caam_adds_is_said_of_the_authors_recipe_where_others_ran_as_often(tmp_path):
    pair = {"source": "casia", "target": "emodb", "protocol": "transductive", "split": "all"}
    for name, accuracy in (("released", 0.5), ("functionals", 0.2)):
        pair["recipe"] = fabricated.recipe(name, recipes=TRANSFER_RECIPES)
        for method, right in (("source-only", 0.5), ("caam-released", accuracy)):
            run = {"method": method, "accuracy": right} | pair
            fabricated.add_run(RunStore(tmp_path / "runs"), **run)
    said = " ".join(Findings(tmp_path).sentences())
    assert (
        "changes by +0.0 points with CAAM (released loss)" in said and "(recipe released)" in said
    )


def test_pairs_with_several_sources_are_not_mixed_with_pairs_of_one(tmp_path):
    store = RunStore(tmp_path / "runs")
    asked = {"method": "dann", "target": "emodb", "protocol": "transductive", "split": "all"}
    asked["recipe"] = fabricated.recipe("modern")
    fabricated.add_run(store, source="casia+ravdess", accuracy=0.95, **asked)
    alone = " ".join(Findings(tmp_path).sentences())
    assert "mean UAR over 1 pair, " in alone
    fabricated.add_run(store, source="casia", accuracy=0.3, **asked)
    said = " ".join(Findings(tmp_path).sentences())
    assert "mean UAR over 1 pair, " in said and said != alone


def test_what_speech_of_new_speakers_is_worth_is_said_with_the_best_of_each(tmp_path):
    store = fabricated.fill(tmp_path / "runs")
    plain = " ".join(Findings(tmp_path).sentences())
    assert "never heard in training" in plain and "speech of these speakers" not in plain
    speakers = fabricated.SPEAKERS["casia"]
    for method, accuracy in (("cpac", 0.7), ("mfcc+linear", 0.9)):
        for speaker in speakers:
            run = {"corpus": "casia", "protocol": "loso", "split": f"speaker {speaker}"}
            run |= {"method": method, "accuracy": accuracy, "of_folds": len(speakers)}
            name = "modern" if method == "cpac" else ""
            fabricated.add_run(store, recipe=fabricated.recipe(name, "speaker"), **run)
    mean = (
        100
        * study_runs(tmp_path)
        .query("corpus == 'casia' and protocol == 'loso'")
        .groupby(["method", "normalisation"])["uar"]
        .mean()
    )
    best, without = mean["mfcc+linear", "speaker"], mean["cpac", "global"]
    assert best > mean["cpac", "speaker"]
    said = f"the best in hindsight reaches {best:.1f} % on CASIA ({without:.1f} % without)."
    assert said in Findings(tmp_path).sentences()[0]


def test_the_latest_of_runs_of_the_same_counts_and_real_ones_alone(tmp_path):
    store, names = RunStore(tmp_path / "runs"), {}
    for day, rows in ((2, "b"), (3, "c"), (1, "a")):
        run = {"finished": f"2026-01-0{day}T00:00:00Z", "rows": rows, "selection": "best_test"}
        names[rows] = fabricated.add_run(store, corpus="emodb", split="fold 0", **run).name
    other = fabricated.add_run(store, corpus="emodb", split="fold 1").name
    runs = study_runs(tmp_path)
    assert len(load_runs(store)) == 7
    assert sorted(zip(runs["run"], runs["selection"], strict=True)) == sorted(
        [(names["c"], "last"), (names["c"], "best_test"), (other, "last")]
    )
    synthetic = fabricated.add_run(store, corpus="casia", split="fold 0", synthetic=True).name
    pd.testing.assert_frame_equal(study_runs(tmp_path), runs)
    for name in {*names.values(), other}:
        shutil.rmtree(store.root / name)
    assert study_runs(tmp_path)["run"].tolist() == [synthetic]


def test_a_published_number_that_two_recipes_test_counts_once(tmp_path):
    store = RunStore(tmp_path / "runs")
    for recipe, accuracy in (("released", 0.2), ("paper", 0.86)):
        for fold in range(10):
            run = {"corpus": "emodb", "split": f"fold {fold}", "folds": 10, "accuracy": accuracy}
            fabricated.add_run(store, recipe=fabricated.recipe(recipe), **run)
    found = Findings(tmp_path)
    assert found.claims["recipe"].tolist() == ["released", "released", "paper", "paper"]
    assert any(
        "Of 1 published score, computed again with the authors' settings, 0 hold by UAR" in line
        for line in found.sentences()
    )


# --- README and docs -------------------------------------------------------------------------


def test_sections_are_rewritten_between_their_markers(tmp_path):
    file = tmp_path / "README.md"
    file.write_text(f"before\n{START}\nold\n{END}\nafter\n")
    rewrite_section(file, "new\n")
    assert file.read_text() == f"before\n{START}\nnew\n{END}\nafter\n"
    for text in ("none", f"{END}{START}", START * 2 + END):
        file.write_text(text)
        with pytest.raises(StudyError, match="one of each"):
            rewrite_section(file, "new")
        assert file.read_text() == text
    with pytest.raises(StudyError, match="cannot read"):
        rewrite_section(tmp_path / "absent.md", "new")


def test_the_readme_is_short_and_the_docs_are_whole(report, tmp_path):
    shutil.copytree(report / "runs", tmp_path / "runs")
    files = [tmp_path / "README.md", tmp_path / "results.md"]
    for file in files:
        file.write_text(f"# Title\n{START}\n{END}\nend\n")
    count = rewrite_readme(files[0], tmp_path, files[1])
    assert count == study_runs(tmp_path)["run"].nunique()
    readme, docs = (file.read_text() for file in files)
    assert len(readme.splitlines()) < 40 and readme.count("\n- ") == 3
    mean = (
        100
        * study_runs(tmp_path)
        .query("corpus == 'casia' and recipe == 'modern'")
        .groupby("protocol")["uar"]
        .mean()
    )
    assert f"{mean['loso']:.1f}" in readme and "| CPAC modern |" in readme
    # A method that is shown at all has all of its cells.
    lines = [line for line in readme.splitlines() if line.startswith("| ")][2:]
    assert lines and all(line in docs for line in map(str.rstrip, lines))
    assert docs.count("\n## ") == 10
    assert "<script>" not in readme + docs and "onload=" not in re.sub("&lt;.*?&gt;", "", docs)
    write_archive(tmp_path)
    shutil.rmtree(tmp_path / "runs")
    rewrite_readme(files[0], tmp_path, files[1])
    assert [file.read_text() for file in files] == [readme, docs]


def test_a_readme_of_no_runs_stays_as_it_is(tmp_path):
    file = tmp_path / "README.md"
    file.write_text(f"{START}{END}")
    with pytest.raises(StudyError, match="expected a report with runs, found none"):
        rewrite_readme(file, tmp_path, file)
    assert file.read_text() == f"{START}{END}"
