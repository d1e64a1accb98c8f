"""README and docs say what the package does: their commands, names, settings and code."""

import importlib
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from conftest import REPOSITORY

from ctl_helpers.cli import main
from ctl_helpers.corpora import CATALOGUE, load_manifest
from ctl_helpers.features import FEATURES, NORMALISATIONS
from ctl_helpers.methods import SELECTIONS, parse
from ctl_helpers.methods.fusion import MEANS
from ctl_helpers.methods.shallow import CLASSIFIERS
from ctl_helpers.networks import ADAPTATIONS, NETWORKS
from ctl_helpers.networks.recipes import RECIPES, TRANSFER_RECIPES
from ctl_helpers.protocols import LABELS, PROTOCOLS, SCORINGS
from ctl_helpers.study.settings import FIELDS, read_study

DOCS = REPOSITORY / "docs"
PAGES = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]
FENCE = re.compile(r'^```(\w+)(?: title="(.+?)")?\n(.*?)^```', re.MULTILINE | re.DOTALL)
CORPORA = "/data/ser"


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def page(name: str) -> str:
    return read(DOCS / name)


def in_code(text: str) -> set[str]:
    """Words in the code spans of a page."""
    spans = re.findall(r"`([^`\n]+)`", FENCE.sub("", text))
    return {word for span in spans for word in re.split(r"[\s,]+", span)}


def commands(text: str) -> list[list[str]]:
    """Every command line of the tool in a page's blocks of shell and in its code spans."""
    blocks = [body for kind, _, body in FENCE.findall(text) if kind == "sh"]
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    lines += re.findall(r"`(ctl-mtnet [^`]+)`", FENCE.sub("", text))
    return [shlex.split(line, comments=True) for line in lines if line.startswith("ctl-mtnet ")]


@pytest.fixture(scope="module")
def options() -> Callable:
    """Return a function that lists the options of a command, from its help."""
    known: dict[str, set[str]] = {}

    def of(command: str, capsys) -> set[str]:
        if command not in known:
            with pytest.raises(SystemExit) as ended:
                main([*command.split(), "--help"])
            assert ended.value.code == 0, f"no command {command}"
            known[command] = set(re.findall(r"--[\w-]+", capsys.readouterr().out))
        return known[command]

    return of


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_commands_and_their_options_are_there(path, options, capsys):
    for _, command, *words in commands(read(path)):
        if command.isupper():  # ctl-mtnet COMMAND --help
            continue
        given = {word for word in words if word.startswith("--") and word != "--help"}
        assert given <= options(command, capsys), f"ctl-mtnet {command} {given}"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_options_named_in_passing_are_of_a_study(path):
    named = set(re.findall(r"(?<![\w-])--([a-z][\w-]*)", " ".join(in_code(read(path)))))
    others = {
        "help",
        "blocks",
        "dry-run",
        "no-notebooks",
        "json",
        "csv",
        "plot",
        "card",
        "model",
        "version",
    }
    old = {"recipe", "baselines", "scoring", "upgrade", "protocol", "gpu"}  # of 0.1.0, and others'
    assert named <= set(FIELDS) | others | old | {"problems", "report"}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_relative_links_and_files_named_are_there(path):
    text = FENCE.sub("", read(path))
    links = [link for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text) if "://" not in link]
    files = re.findall(r"`((?:studies|tests|ctl_helpers|notebooks|benchmarks)/[\w/]+\.\w+)`", text)
    missing = [name for name in links if not (path.parent / name).exists()]
    missing += [name for name in files if not (REPOSITORY / name).exists()]
    assert missing == []


def test_readme_is_short():
    assert len(read(REPOSITORY / "README.md").splitlines()) < 150


def test_documentation_builds_and_loads_nothing_from_elsewhere(tmp_path):
    pytest.importorskip("material", reason="needs the extra docs")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "-d", str(tmp_path)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    built = "".join(map(read, tmp_path.rglob("*.html")))
    assert re.findall(r'<(?:script|img|iframe)[^>]* src="(?:https?:)?//[^"]*', built) == []
    assert re.findall(r'<link[^>]* rel="(?!canonical)[^>]*href="(?:https?:)?//[^"]*', built) == []


# Every name that a study may hold is explained, and nothing else is


def test_every_method_is_explained():
    said = in_code(page("methods.md"))
    known = {*NETWORKS, *RECIPES, *TRANSFER_RECIPES, *ADAPTATIONS, *CLASSIFIERS}
    assert known | set(FEATURES) <= said
    assert all(f"`{mean}(" in page("methods.md") for mean in MEANS)


@pytest.mark.parametrize(
    "text", re.findall(r"^\| `([^`]+)` \|", page("methods.md").split("##")[0], re.MULTILINE)
)
def test_words_for_methods_are_understood(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    across = parse("cdan-e/modern").kind == "adaptation" and "cdan" in text
    assert parse(text, across=across).label


def test_every_protocol_and_condition_is_explained():
    said = in_code(page("protocols.md"))
    assert {*PROTOCOLS, *SCORINGS, *LABELS, *NORMALISATIONS, *SELECTIONS, "own"} <= said


def test_every_corpus_is_explained_with_its_counts():
    text = page("corpora.md")
    for name, known in CATALOGUE.items():
        (row,) = (line for line in text.splitlines() if f"`{name}/" in line)
        assert known.home_page in row
        assert known.language.removeprefix("North ") in row


def test_functions_of_the_api_are_there():
    names = re.findall(r"^\| `(ctl_helpers\.[\w.]+)`", page("api.md"), flags=re.MULTILINE)
    assert len(names) > 20
    for name in names:
        module, _, function = name.rpartition(".")
        assert callable(getattr(importlib.import_module(module), function))


def test_functions_of_the_architecture_are_in_their_rooms():
    rows = re.findall(r"^\| \d \| `([\w.]+)` \| `(\w+)/` \|", page("architecture.md"), re.MULTILINE)
    assert len(rows) <= 8
    sources = {
        room: "".join(read(file) for file in (REPOSITORY / "ctl_helpers" / room).rglob("*.py"))
        for _, room in rows
    }
    for function, room in rows:
        assert f"def {function.rpartition('.')[2]}(" in sources[room], f"{room}: {function}"
    order = ["corpora", "features", "protocols", "methods", "runs", "results", "report"]
    places = [order.index(room) for _, room in rows]
    assert places == sorted(places)


def test_tests_that_show_a_promise_are_there():
    rows = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", page("reliability.md"))
    assert rows
    for file, test in rows:
        assert f"def {test}" in read(REPOSITORY / file)


# The code runs


@pytest.mark.parametrize(
    ("name", "body"),
    [
        (path.name, body)
        for path in PAGES
        for kind, title, body in FENCE.findall(read(path))
        if kind == "yaml" and title
    ],
)
def test_studies_in_pages_can_be_read(name, body, tmp_path):
    file = tmp_path / "study.yaml"
    file.write_text(body, encoding="utf-8")
    study = read_study(file)
    for block in study.blocks.values():
        assert all(parse(text) for text in block.methods)
    assert set(yaml.safe_load(body)) <= {*FIELDS, "blocks", "about"}


def sections() -> dict[str, str]:
    """The sections of the page on bringing things of one's own, by title."""
    _, *parts = re.split(r"^## ", page("bring-your-own.md"), flags=re.MULTILINE)
    return {part.splitlines()[0]: part for part in parts}


@pytest.mark.parametrize("title", sections())
def test_what_one_brings_is_at_most_30_lines_and_runs(title, tmp_path, monkeypatch, miniature):
    """Each section's files are written, its commands run: on miniature corpora, one split."""
    monkeypatch.chdir(tmp_path)
    blocks = FENCE.findall(sections()[title])
    for kind, name, body in blocks:
        if name:
            assert len(body.splitlines()) <= 30
            Path(name).parent.mkdir(exist_ok=True)
            Path(name).write_text(body.replace(CORPORA, str(miniature)), encoding="utf-8")
        if kind == "csv":
            lay_out_clips(Path(name).parent, miniature)
    for kind, _, body in blocks:
        for line in body.splitlines() if kind == "sh" else ():
            run(shlex.split(line.replace(CORPORA, str(miniature))))


def run(words: list[str]) -> None:
    if words[0] == "python":
        code = Path(words[1]).read_text(encoding="utf-8")
        exec(compile(code, words[1], "exec"), {"__name__": "__main__"})
        return
    few = ["--epochs", "1", "--only", "0", "--jobs", "1", "--no-notebooks"]
    few += [] if "--names" in words else ["--names", "emodb"]
    assert main([*words[1:], *few]) == 0


def lay_out_clips(folder: Path, miniature: Path) -> None:
    for number, path in enumerate(load_manifest(miniature, "emodb")["path"].head(4), 1):
        shutil.copy(path, folder / f"{number}.wav")
