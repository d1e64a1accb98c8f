"""Users' own functions, named in a study as ``file.py:function`` or ``module:function``."""

import ast
import contextlib
import functools
import hashlib
import importlib
import importlib.util
import inspect
import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from ctl_helpers.errors import StudyError

STUDY_FOLDER = "CTL_STUDY_FOLDER"  # environment variable of notebooks: where the study began
_REFERENCE = re.compile(r"(?P<module>[^:]+\.py|[A-Za-z_][\w.]*):(?P<name>[A-Za-z_]\w*)")
_PACKAGE = __name__.partition(".")[0]
_CHATTER = re.compile(rb"(?m)^(WARNING: All log messages before absl|[IW]\d{4} ).*\n")
_folders: set[str] = set()  # of users' files
_ONE_AT_A_TIME = threading.RLock()  # standard error is the whole process's, and Dask has threads


@contextlib.contextmanager
def without_chatter() -> Iterator[None]:
    """Leave out what TensorFlow's C++ part prints on standard error while it is imported."""
    with _ONE_AT_A_TIME, tempfile.TemporaryFile() as kept:
        before = os.dup(2)
        os.dup2(kept.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(before, 2)
            os.close(before)
            kept.seek(0)
            os.write(2, _CHATTER.sub(b"", kept.read()))


def is_reference(text: str) -> bool:
    """Whether a word of a study names a user's function.

    Examples
    --------
    >>> is_reference("mine.py:network"), is_reference("kfold")
    (True, False)
    """
    return bool(_REFERENCE.fullmatch(text))


def own_file(name: str | os.PathLike) -> Path:
    """Find a user's file: from the working directory, or from that of the notebook's study."""
    path = Path(os.path.expanduser(name))
    return path if path.exists() else Path(os.environ.get(STUDY_FOLDER, "")) / path


def load(reference: str, anew: bool = False) -> Any:
    """Import what a reference names.

    Parameters
    ----------
    reference : str
        ``file.py:name``, the file relative to the working directory, or ``package.module:name``.
    anew : bool
        Execute the file, and the modules beside it that it imports, once more, so that nothing
        stays of what they kept before, such as trained weights. A ``package.module`` is imported
        once in a process all the same.

    Raises
    ------
    StudyError
        If there is no such file, module or name, or it fails when it is imported.
    """
    module, (place, _, name) = module_of(reference, anew), reference.rpartition(":")
    if not hasattr(module, name):
        raise StudyError(f"{reference}: expected {name!r} in {place}, found no such name")
    return getattr(module, name)


def module_of(reference: str, anew: bool = False) -> ModuleType:
    """Import the file or module of a reference; see `load`."""
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise StudyError(f"{reference!r}: expected FILE.py:NAME or PACKAGE.MODULE:NAME")
    place = match["module"]
    is_file, file = place.endswith(".py"), own_file(place)
    if is_file and not file.is_file():
        raise StudyError(f"{reference}: expected a file {place}, found none")
    try:
        with without_chatter():
            return _from_file(file, anew) if is_file else importlib.import_module(place)
    except (Exception, SystemExit) as error:  # whatever the user's own code may raise
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise StudyError(f"{reference}: cannot import {place} ({reason})") from error


def source_hash(reference: str) -> str:
    """Hash the source of what a reference names, as part of a run's specification.

    It is the file that is named, with the modules below its folder that it imports, and they in
    turn; or the file of the module, and, if the module has it from another one, that of the
    function.
    """
    found, place = load(reference), reference.rpartition(":")[0]
    if place.endswith(".py"):
        return hash_of_file(place)
    files = [getattr(sys.modules[place], "__file__", None)]
    with contextlib.suppress(TypeError):  # written in C, or an object without a source
        files.append(inspect.getsourcefile(inspect.unwrap(found)))
    contents = [Path(file).read_bytes() for file in dict.fromkeys(filter(None, files))]
    return hashlib.blake2b(b"".join(contents), digest_size=6).hexdigest()


def hash_of_file(place: str) -> str:
    """Hash a user's file and the modules below its folder that it imports; execute nothing."""
    first, *others = _files_of(own_file(place)).items()
    contents = [first[1], *(content for _, content in sorted(others))]
    return hashlib.blake2b(b"".join(contents), digest_size=6).hexdigest()


def _from_file(path: Path, anew: bool) -> ModuleType:
    # By its content, too: a file that was edited is another module.
    files = _files_of(path)
    content = str(path.absolute()).encode() + b"".join(files.values())
    name = f"ctl_plugin_{hashlib.blake2b(content, digest_size=6).hexdigest()}"
    folder = str(path.absolute().parent)
    if name in sys.modules and not anew and sys.path[0] == folder:
        return sys.modules[name]
    _forget(folder, list(files)[1:])
    # Modules beside it are found first, also by its functions when they are called.
    sys.path[:] = [folder, *filter(folder.__ne__, sys.path)]
    _folders.add(folder)
    spec = importlib.util.spec_from_file_location(name, path)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _files_of(path: Path) -> dict[Path, bytes]:
    """Read a file, and after it the modules below its folder that it imports, and they in turn."""
    path = path.absolute()
    found, ahead = {path: path.read_bytes()}, [path]
    while ahead:
        file = ahead.pop()
        for level, name in _imports(found[file]):
            top = file.parents[level] if level else path.parent
            packages = [file.parents[level - 1].name] if level else []
            for one in _places(top, [*packages, *name.split(".")]):
                if one not in found and one.is_relative_to(path.parent) and one.is_file():
                    found[one] = one.read_bytes()
                    ahead.append(one)
    return found


def _places(folder: Path, names: list[str]) -> Iterator[Path]:
    """Name the files that a module of these names may be in, and those of its packages."""
    for name in names:
        folder /= name
        yield from (folder.with_name(f"{name}.py"), folder / "__init__.py")


@functools.cache
def _imports(content: bytes) -> list[tuple[int, str]]:
    """List what a source imports from outside of this package: dots before a name, and the name."""
    names = []
    for node in ast.walk(ast.parse(content)):
        if isinstance(node, ast.Import):
            names += [(0, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = f"{node.module}." if node.module else ""
            names += [(node.level, start + alias.name) for alias in node.names]
    return sorted({one for one in names if one[0] or one[1].split(".")[0] != _PACKAGE})


def _forget(folder: str, files: list[Path]) -> None:
    """Have modules imported anew by whoever imports them next.

    These are the ones in some files of a folder, and those of the same names that were found beside
    users' files in other folders.
    """
    real = {os.path.realpath(file) for file in files}
    ends = tuple(file.name for file in files)
    paths = [file.relative_to(folder).with_suffix("") for file in files]
    names = {".".join(path.parts).removesuffix(".__init__") for path in paths}
    for name, module in list(sys.modules.items()) if files else ():
        file = str(getattr(module, "__dict__", {}).get("__file__") or "")
        known = file.endswith(ends) and name != "__main__"
        beside = name in names and any(file.startswith(one + os.sep) for one in _folders)
        if known and (beside or os.path.realpath(file) in real):
            del sys.modules[name]
            parent, _, last = name.rpartition(".")
            vars(sys.modules.get(parent, module)).pop(last, None)  # of `from parent import last`
