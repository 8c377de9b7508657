"""The distributions: what pip reads of the installed one, and what the sdist holds."""

import importlib.metadata
import importlib.util
import re
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CARGO = tomllib.loads((ROOT / "Cargo.toml").read_text("utf-8"))["package"]
METADATA = importlib.metadata.metadata("raphson")


def requirements(extra):
    """The names of what an extra needs, or the package itself."""
    for line in importlib.metadata.requires("raphson"):
        needed = re.search(r"extra == ['\"](.+?)['\"]", line)
        if (needed and needed[1]) == extra:
            yield re.match(r"[\w-]+", line)[0]


def test_nothing_but_numpy_and_scipy_is_needed():
    assert sorted(requirements(None)) == ["numpy", "scipy"]


@pytest.mark.parametrize(
    ("extra", "package"),
    [("plot", "matplotlib"), ("progress", "rich"), ("docs", "sphinx"), ("test", "pytest")],
)
def test_extras(extra, package):
    assert extra in METADATA.get_all("Provides-Extra")
    assert package in requirements(extra)


def test_classifiers_start_with_the_oldest_python():
    listed = re.findall(r"Python :: 3\.(\d+)", "\n".join(METADATA.get_all("Classifier")))
    minors = [int(minor) for minor in listed]
    assert METADATA["Requires-Python"] == f">=3.{minors[0]}"
    assert minors == list(range(minors[0], minors[0] + len(minors)))


def test_the_license_comes_along():
    assert METADATA["License-Expression"] == CARGO["license"]
    installed = importlib.metadata.distribution("raphson").read_text("licenses/LICENSE")
    assert installed == (ROOT / "LICENSE").read_text("utf-8")


def test_urls():
    urls = dict(line.split(", ", 1) for line in METADATA.get_all("Project-URL"))
    assert urls.keys() >= {"Documentation", "Source", "Changelog", "Issues"}
    assert urls["Source"] == CARGO["repository"]


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs the repository")
@pytest.mark.skipif(importlib.util.find_spec("maturin") is None, reason="needs maturin")
def test_the_sdist_is_the_repository_without_its_own_tools(tmp_path):
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    subprocess.run(
        [sys.executable, "-m", "maturin", "sdist", "--out", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    (archive,) = tmp_path.iterdir()
    with tarfile.open(archive) as opened:
        held = {name.partition("/")[2] for name in opened.getnames()}
    expected = {name for name in tracked if not name.startswith(".") and (ROOT / name).exists()}
    assert held == expected | {"PKG-INFO"}
