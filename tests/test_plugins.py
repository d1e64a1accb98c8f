"""References to functions of a user's own."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toys import write_code

from ctl_helpers.errors import StudyError
from ctl_helpers.plugins import is_reference, load, source_hash


@pytest.mark.parametrize("text", ["mine.py:network", "a/b c/mine.py:f", "package.module:f"])
def test_references(text):
    assert is_reference(text)


@pytest.mark.parametrize("text", ["kfold", "partition:folder", "mine.py:", "mine.py:a:b", ":f", ""])
def test_other_words(text):
    assert is_reference(text) == (text == "partition:folder")  # which protocols look at first


@given(st.text(max_size=30))
def test_no_word_is_too_odd(text):
    assert is_reference(text) in (True, False)


def test_a_function_in_a_file_or_a_module(tmp_path, monkeypatch):
    file = write_code(tmp_path / "my code", "mine.py", "def f():\n    return 7\n")
    assert load(f"{file}:f")() == 7
    assert load(f"{file}:f") is load(f"{file}:f")
    monkeypatch.chdir(tmp_path / "my code")
    assert load("mine.py:f")() == 7
    assert load("os.path:join") is os.path.join


def test_the_hash_is_that_of_the_content(tmp_path):
    text = "def f():\n    return 7\n"
    hashes = [
        source_hash(f"{write_code(tmp_path / folder, 'mine.py', text + more)}:f")
        for folder, more in (("a", ""), ("b", ""), ("c", "# another\n"))
    ]
    assert hashes[0] == hashes[1] != hashes[2]


def test_the_hash_is_that_of_the_file_that_is_named(tmp_path, monkeypatch):
    code = "from functools import cache, partial\n@cache\ndef f():\n    return {}\ng = partial(f)\n"
    for name in ("f", "g"):  # of neither is the source that of functools
        edited = [
            source_hash(f"{write_code(tmp_path, f'mine{number}.py', code.format(number))}:{name}")
            for number in (1, 2)
        ]
        assert edited[0] != edited[1]
    monkeypatch.syspath_prepend(tmp_path)
    write_code(tmp_path, "shown.py", "from mine1 import f, g\n")
    write_code(tmp_path, "hidden.py", "from mine2 import f, g\n")
    assert source_hash("shown:f") != source_hash("hidden:f")
    assert source_hash("math:sqrt")


def test_the_hash_follows_what_a_file_imports_from_its_own_folder(tmp_path, monkeypatch):
    code = "def f():\n    import beside, inner.one\n"
    for name, text in (
        ("mine.py", code),
        ("beside.py", "from inner import two\n"),
        ("unused.py", "gain = 1\n"),
        ("inner/__init__.py", ""),
        ("inner/one.py", "from . import three\nfrom .deep.four import gain\n"),
        ("inner/two.py", ""),
        ("inner/three.py", "import beside\n"),
        ("inner/deep/four.py", "from ..five import gain\n"),
        ("inner/five.py", "import os, numpy.linalg\ngain = 1\n"),
    ):
        write_code((tmp_path / name).parent, (tmp_path / name).name, text)
    reference, hashes = f"{tmp_path}/mine.py:f", []
    monkeypatch.chdir(tmp_path)
    assert source_hash("mine.py:f") == source_hash(reference)
    for name in ("mine.py", "beside.py", *(f"inner/{n}.py" for n in ("one", "two", "three"))):
        hashes.append(source_hash(reference))
        (tmp_path / name).open("a").write("# another\n")
    for name in ("inner/__init__.py", "inner/deep/four.py", "inner/five.py"):
        hashes.append(source_hash(reference))
        (tmp_path / name).open("a").write("# another\n")
    assert len(set(hashes)) == len(hashes) == 8
    last = source_hash(reference)
    write_code(tmp_path, "unused.py", "gain = 2\n")
    assert source_hash(reference) == last not in hashes


def test_the_hash_of_a_file_that_imports_nothing_beside_it_is_that_of_its_content(tmp_path):
    text = "import os\nimport ctl_helpers.errors\nfrom os import path\ndef f():\n    pass\n"
    write_code(tmp_path / "ctl_helpers", "errors.py", "")  # as in a clone, of which runs know
    write_code(tmp_path, "__init__.py", "")
    expected = hashlib.blake2b(text.encode(), digest_size=6).hexdigest()
    assert source_hash(f"{write_code(tmp_path, 'mine.py', text)}:f") == expected


@pytest.mark.parametrize(
    ("text", "reference", "expected"),
    [
        ("", "{file}:f", "expected 'f' in .*mine.py, found no such name"),
        ("def f(:", "{file}:f", "cannot import .*mine.py .SyntaxError"),
        ("1 / 0", "{file}:f", "cannot import .*ZeroDivisionError"),
        ("raise SystemExit(2)", "{file}:f", "cannot import .*mine.py .SystemExit: 2"),
        ("", "no/such.py:f", "expected a file no/such.py, found none"),
        ("open('weights.txt')", "{file}:f", "cannot import .*mine.py .FileNotFound.*weights.txt"),
        ("", "no_such_module:f", "cannot import no_such_module"),
        ("", "mine.py", "expected FILE.py:NAME or PACKAGE.MODULE:NAME"),
    ],
)
def test_what_is_not_there_is_named_in_one_line(tmp_path, text, reference, expected):
    file = write_code(tmp_path, "mine.py", text)
    with pytest.raises(StudyError, match=expected) as caught:
        load(reference.format(file=file))
    assert "\n" not in str(caught.value)


def test_a_file_that_was_edited_is_read_again(tmp_path):
    file = write_code(tmp_path, "mine.py", "1 / 0")
    with pytest.raises(StudyError):
        load(f"{file}:f")
    for number in (7, 100):
        write_code(tmp_path, "mine.py", f"def f():\n    return {number}\n")
        assert load(f"{file}:f")() == number


def test_what_tensorflow_prints_is_left_out_and_nothing_else(tmp_path, capfd):
    code = r"""
import os
from concurrent.futures import ThreadPoolExecutor
os.write(2, b"WARNING: All log messages before absl::InitializeLog() is called are written\n")
os.write(2, b"I0000 00:00:1795616622.817986 4406 port.cc:153] oneDNN custom operations are on.\n")
os.write(2, b"mine: I0000 is mine\n")
f = print
"""
    load(f"{write_code(tmp_path, 'loud.py', code)}:f")
    assert capfd.readouterr().err == "mine: I0000 is mine\n"


def test_threads_that_load_at_once_leave_standard_error_as_it_was(tmp_path):
    code = "import time\ntime.sleep(0.01)\nf = print\n"
    files = [write_code(tmp_path, f"slow{n}.py", f"{code}# {n}\n") for n in range(20)]
    before = os.fstat(2)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(load, [f"{file}:f" for file in files]))
    assert os.path.samestat(os.fstat(2), before)


@pytest.mark.parametrize("package", [True, False])
def test_what_a_file_and_those_beside_it_kept_is_forgotten_on_demand(tmp_path, package):
    folder = f"kept_in_{package}"
    if package:
        write_code(tmp_path / folder, "__init__.py", "")
    write_code(tmp_path / folder, "base.py", "from . import deeper\nkept = []\n")
    write_code(tmp_path / folder, "deeper.py", "kept = []\n")
    code = f"""
def f():
    from {folder} import base
    for kept in (own, base.kept, base.deeper.kept):
        kept.append(1)
    return len(own), len(base.kept), len(base.deeper.kept)
own = []
"""
    reference = f"{write_code(tmp_path, 'mine.py', code)}:f"
    assert [load(reference)() for _ in range(2)] == [(1, 1, 1), (2, 2, 2)]
    assert [load(reference, anew=True)() for _ in range(2)] == [(1, 1, 1)] * 2


def test_each_file_imports_the_modules_beside_it_wherever_the_study_began(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = (
        "import beside_both\n\ndef f():\n    import later\n    return beside_both.here, later.here"
    )
    references = []
    for name in ("one", "two"):
        write_code(tmp_path / name, "beside_both.py", f"here = {name!r}\n")
        write_code(tmp_path / name, "later.py", f"here = {name!r}\n")
        references.append(f"{write_code(tmp_path / name, 'mine.py', code)}:f")
    hashes = [source_hash(reference) for reference in references]  # of both, as a plan does
    assert hashes[0] != hashes[1]
    for anew in (False, True):
        for reference in (*references, *references):
            name = reference.split("/")[-2]
            assert load(reference, anew=anew)() == (name, name)
