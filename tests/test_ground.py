"""What the repository says of itself in several places agrees, and travels to any machine."""

import ast
import bz2
import json
import re
import subprocess
import sys
import tomllib
from functools import cache
from importlib.metadata import packages_distributions

import pytest
import yaml
from conftest import REPOSITORY
from packaging.markers import Marker, default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ctl_helpers import __version__

PYTHONS = ["3.11", "3.12", "3.13"]
MACHINES = [("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64"), ("win32", "AMD64")]
NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))
BINARY = {".png", ".npz", ".keras", ".wav", ".flac"}


@cache
def project() -> dict:
    return tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@cache
def asked_for() -> list[Requirement]:
    """What an environment made from the lock has to satisfy."""
    extras = project()["optional-dependencies"]
    texts = [*project()["dependencies"], *extras["test"], *extras["docs"]]
    return [Requirement(text) for text in texts]


@cache
def locked() -> list[tuple[Requirement, list[str]]]:
    """Every requirement of the lock and its hashes."""
    text = (REPOSITORY / "requirements.lock").read_text(encoding="utf-8")
    entries = re.sub(r"#.*", "", text).replace("\\\n", " ").splitlines()
    parted = [entry.split("--hash=") for entry in entries if entry.strip()]
    return [(Requirement(first), [part.strip() for part in rest]) for first, *rest in parted]


def on(python: str, platform: str, machine: str) -> dict[str, str]:
    """Environment that markers are evaluated in."""
    return {
        **default_environment(),
        "python_version": python,
        "python_full_version": f"{python}.4",
        "sys_platform": platform,
        "platform_machine": machine,
        "os_name": "nt" if platform == "win32" else "posix",
    }


def applies(marker: Marker | None, environment: dict[str, str]) -> bool:
    return marker is None or marker.evaluate(environment)


@cache
def tracked_text() -> dict[str, str]:
    """Name and text of every text file that git keeps, compressed ones unpacked."""
    listing = subprocess.run(
        ["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, check=False
    )
    if listing.returncode:
        pytest.skip("not a git repository")
    texts = {}
    for name in listing.stdout.decode().split("\0")[:-1]:
        path = REPOSITORY / name
        if path.is_file() and path.suffix not in BINARY:
            data = path.read_bytes()
            texts[name] = (bz2.decompress(data) if path.suffix == ".bz2" else data).decode()
    return texts


# The lock


def test_every_locked_package_is_one_version_with_hashes():
    assert len(locked()) > 50
    for requirement, hashes in locked():
        assert re.fullmatch(r"==[\w.+!]+", str(requirement.specifier)), requirement
        assert "+" not in str(requirement.specifier), f"{requirement}: a build of some machine"
        assert requirement.url is None
        assert hashes, requirement
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", one) for one in hashes), requirement


def test_lock_holds_no_addresses():
    text = (REPOSITORY / "requirements.lock").read_text(encoding="utf-8")
    assert not re.search(r"://|@|--(extra-)?index|--find-links|file:|/", text)


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize(("platform", "machine"), MACHINES)
def test_lock_satisfies_what_the_project_asks_for(python, platform, machine):
    environment = on(python, platform, machine)
    pins = {}
    for requirement, _ in locked():
        if applies(requirement.marker, environment):
            name = canonicalize_name(requirement.name)
            assert name not in pins, f"{name} is pinned twice for {python} on {platform}"
            (pins[name],) = (pin.version for pin in requirement.specifier)
    for requirement in asked_for():
        if applies(requirement.marker, environment):
            assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)])
    assert ("tensorflow" in pins) != ("tensorflow-cpu" in pins), "both own the same files"


def test_lock_is_the_same_science_on_every_python():
    science = {"keras", "librosa", "numpy", "scipy", "scikit-learn", "soxr", "speechpy"}
    versions = {
        name: {str(pin.specifier) for pin, _ in locked() if canonicalize_name(pin.name) == name}
        for name in science
    }
    assert {name: len(found) for name, found in versions.items()} == dict.fromkeys(science, 1)


def test_lock_can_build_the_package_without_a_network():
    build = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    pins = {canonicalize_name(requirement.name): requirement for requirement, _ in locked()}
    for text in build["build-system"]["requires"]:
        requirement = Requirement(text)
        (pin,) = pins[canonicalize_name(requirement.name)].specifier
        assert requirement.specifier.contains(pin.version)


# pyproject.toml and environment.yml


def test_conda_environment_agrees_with_the_project():
    environment = yaml.safe_load((REPOSITORY / "environment.yml").read_text(encoding="utf-8"))
    conda = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    (pip,) = (entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    python = next(Requirement(entry) for entry in conda if entry.startswith("python"))
    assert str(python.specifier) == str(Requirement(f"x{project()['requires-python']}").specifier)
    assert "pip" in conda
    assert pip == ["-e ."]


def test_this_python_is_one_the_project_takes():
    version = "{}.{}".format(*sys.version_info)
    assert version in PYTHONS
    assert Requirement(f"x{project()['requires-python']}").specifier.contains(version)


def test_everything_imported_is_asked_for():
    sources = [*REPOSITORY.glob("ctl_helpers/**/*.py"), *REPOSITORY.glob("tests/*.py")]
    imported = set()
    for source in sources:
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                imported.add(node.module.partition(".")[0])
    own = {"ctl_helpers", "benchmarks"} | {path.stem for path in REPOSITORY.glob("tests/*.py")}
    extras = [text for texts in project()["optional-dependencies"].values() for text in texts]
    known = {canonicalize_name(Requirement(text).name) for text in extras}
    known |= {canonicalize_name(requirement.name) for requirement in asked_for()}
    owners = packages_distributions()
    missing = {
        module
        for module in imported - own - set(sys.stdlib_module_names)
        if not {canonicalize_name(owner) for owner in owners.get(module, [module])} & known
    }
    assert missing == set()


def test_version_is_one():
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text(encoding="utf-8"))
    changes = (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")
    assert citation["version"] == __version__
    assert re.findall(r"^## (.*)$", changes, flags=re.MULTILINE)[0] == __version__


def test_ci_runs_what_contributors_run_on_every_python():
    text = (REPOSITORY / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    jobs = yaml.safe_load(text)["jobs"]
    assert jobs["checks"]["strategy"]["matrix"]["python"] == PYTHONS
    assert {"run": ".ci/run"} in jobs["checks"]["steps"]


# Makefile and README


def test_readme_names_only_targets_that_make_has():
    readme = REPOSITORY / "README.md"
    if not readme.exists():
        pytest.skip("no README yet")
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z][a-z-]*):", makefile, flags=re.MULTILINE))
    code = "\n".join(re.findall(r"```.*?```|`[^`\n]+`", readme.read_text("utf-8"), flags=re.DOTALL))
    named = set(re.findall(r"\bmake ([a-z][a-z-]*)", code))
    assert {"study", "test"} <= named <= targets


def test_every_target_is_in_the_help():
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z][a-z-]*):", makefile, flags=re.MULTILINE)) - {"help"}
    help_text = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=REPOSITORY, capture_output=True, text=True
    ).stdout
    assert {target for target in targets if f"make {target} " not in help_text} == set()


# Notebooks


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebook_is_committed_bare_and_with_one_parameters_cell(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    tags = [cell["metadata"].get("tags", []) for cell in cells]
    assert sum("parameters" in cell_tags for cell_tags in tags) == 1
    assert not any("injected-parameters" in cell_tags for cell_tags in tags)
    for cell in cells:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None


# Any machine


def test_nothing_tracked_names_a_folder_of_one_machine():
    """`/data/ser` in an example is fine; a home or a checkout of somebody's is not."""
    # Each begins with one character, which is found fast in megabytes of pictures.
    homes = r"/(?<![\w.]/)(?:home|Users|root|work|mnt|opt|tmp)/[\w.]", r":(?<=[A-Z]:)\\\\?Users"
    found = {
        f"{name}: {match.group()}"
        for name, text in tracked_text().items()
        for home in homes
        for match in re.finditer(home, text)
        if name != "tests/test_ground.py"
    }
    assert found == set()
