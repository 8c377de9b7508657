"""The package as installed: signatures, import cost, types, and what the built module links to."""

import doctest
import importlib
import importlib.metadata
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest
import scipy.optimize

import raphson
from raphson import _core

ROOT = Path(__file__).parents[1]


def test_signatures_are_the_originals():
    for name in ("newton", "broyden1"):
        ours = inspect.signature(getattr(raphson, name))
        assert ours == inspect.signature(getattr(scipy.optimize, name))
    ours = inspect.signature(raphson.root).parameters
    theirs = inspect.signature(scipy.optimize.root).parameters
    assert list(ours) == list(theirs)
    assert all(ours[name].default == theirs[name].default for name in ours if name != "method")


@pytest.mark.parametrize("name", sorted(set(raphson.__all__) - {"__version__"}))
def test_examples_in_docstrings(name):
    module = importlib.import_module(getattr(raphson, name).__module__)
    results = doctest.testmod(module)
    assert results.attempted > 0
    assert results.failed == 0


PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_in_the_documentation(page):
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.M | re.S)
    # doctest passes over code without prompts.
    assert all(block.startswith(">>> ") for block in blocks)
    results = doctest.testfile(str(page), module_relative=False, encoding="utf-8")
    assert results.attempted >= len(blocks)
    assert results.failed == 0


def slug(heading):
    """The anchor that GitHub makes of a heading."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_in_the_documentation(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        if ":" in target:
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), target
        headings = re.findall(r"^#+ (.*)$", file.read_text("utf-8"), re.M) if anchor else []
        assert not anchor or anchor in map(slug, headings), target


def test_what_is_shown_is_what_was_measured():
    measured = (ROOT / "benchmarks" / "README.md").read_text("utf-8")
    drawn = re.findall(r">([0-9.]+)</text>", (ROOT / "docs/figures/speed.svg").read_text("utf-8"))
    ratios = re.findall(r" ([0-9.]+) \| *[0-9.]* *\|$", measured, re.M)
    assert [text for text in drawn if "." in text] == ratios, "run docs/figures/speed.py"
    stated = re.findall(r"\| ([0-9.]+) \|$", (ROOT / "README.md").read_text("utf-8"), re.M)
    assert stated
    assert set(stated) <= set(re.findall(r"[0-9]+(?:\.[0-9]+)?", measured))


def python(program):
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout


def test_import_adds_little_to_that_of_numpy():
    # SciPy takes half a second, and importlib.metadata more than raphson itself. atexit is part of
    # the interpreter.
    program = "import numpy, sys; before = set(sys.modules); import raphson; "
    added = python(program + "print(*sorted(set(sys.modules) - before))").split()
    assert {name.split(".")[0] for name in added} <= {"raphson", "__future__", "atexit"}


def test_the_version_is_that_of_the_distribution():
    assert raphson.__version__ == importlib.metadata.version("raphson")


def test_solving_one_equation_does_not_import_scipy():
    program = "import raphson, sys; raphson.newton(abs, 1.0, lambda x: 1); "
    assert python(program + "print('scipy' in sys.modules)") == "False\n"


def test_a_missing_lapack_routine_is_an_import_error_that_names_it():
    program = """
import scipy.linalg.cython_lapack as lapack, raphson
del lapack.__pyx_capi__["zgetrs"]
try:
    raphson.root(lambda x: x - 1, [0.0], method='newton')
except ImportError as error:
    print(error)
"""
    printed = python(program)
    assert "zgetrs" in printed
    assert f"SciPy {scipy.__version__}" in printed


def test_types_match_the_built_module():
    config = str(ROOT / "pyproject.toml")
    for command in (
        ["mypy.stubtest", "raphson", "--ignore-missing-stub", "--mypy-config-file", config],
        ["mypy", "--strict", "--config-file", config, "-p", "raphson"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", *command], capture_output=True, text=True, check=False, cwd="/"
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads ELF files")
def test_the_module_needs_no_lapack_of_its_own():
    listed = subprocess.run(
        ["nm", "-D", "--undefined-only", _core.__file__],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    undefined = {line.split()[-1].split("@")[0] for line in listed.splitlines()}
    assert not {name for name in undefined if re.fullmatch("[a-z]+[0-9]?[a-z]*_", name)}
    linked = subprocess.run(["ldd", _core.__file__], capture_output=True, text=True, check=True)
    libraries = {
        line.split()[0].split("/")[-1].split(".")[0] for line in linked.stdout.splitlines()
    }
    assert libraries <= {
        "linux-vdso",
        "libgcc_s",
        "libm",
        "libc",
        "ld-linux-x86-64",
        "ld-linux-aarch64",
    }


def test_declared_safe_without_the_gil():
    # Importing a module that is not declared so would switch the GIL back on, with a warning.
    if not hasattr(sys, "_is_gil_enabled"):
        pytest.skip("this Python has no free-threaded build")
    enabled = python(
        "import sys; b = sys._is_gil_enabled(); import raphson; print(b == sys._is_gil_enabled())"
    )
    assert enabled == "True\n"
