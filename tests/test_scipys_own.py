"""SciPy's own tests of the originals, as its wheel carries them, run under the patch."""

import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import scipy

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("scipy.optimize.tests") is None,
    reason="this SciPy was installed without its tests",
)

# Those that call the originals, but for scipy.stats, whose tests take minutes.
TESTS = [
    "scipy.optimize.tests.test_zeros",
    "scipy.optimize.tests.test_nonlin",
    "scipy.optimize.tests.test__root",
    "scipy.optimize.tests.test__spectral",
    "scipy.optimize.tests.test_minpack",
    "scipy.optimize.tests.test_regression",
    "scipy.signal.tests.test_filter_design::TestBessel",
]
SITE = Path(scipy.__file__).parents[1]
DESELECTED = tomllib.loads(Path(__file__).with_name("scipy_deselected.toml").read_text("utf-8"))


def pytest_under_the_patch(directory, *arguments):
    # Their configuration is none, and not ours.
    (directory / "pytest.ini").write_text("[pytest]\n")
    options = ["-q", "-c", "pytest.ini", f"--rootdir={SITE}", "-p", "no:cacheprovider"]
    return subprocess.run(
        [sys.executable, "-m", "raphson", "-m", "pytest", *options, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=directory,
    )


def test_scipys_own_tests_pass_under_the_patch(tmp_path):
    without = [f"--deselect={test['id']}" for test in DESELECTED["test"]]
    done = pytest_under_the_patch(tmp_path, *without, "--pyargs", *TESTS)
    assert done.returncode == 0, done.stdout
    passed = int(re.search(r"(\d+) passed", done.stdout)[1])
    assert passed > 250, done.stdout
    assert f"{len(without)} deselected" in done.stdout
    rows = dict(re.findall(r"^(scipy\S+) +(\d+) ", done.stderr, re.M))
    assert int(rows["scipy.optimize.newton"]) > 1000
    assert int(rows["scipy.optimize.broyden1"]) >= 8
    assert int(rows["scipy.optimize.root(method='broyden1')"]) >= 10


@pytest.mark.parametrize("test", DESELECTED["test"], ids=lambda test: test["id"].split("::")[-1])
def test_what_is_deselected_has_a_reason_and_needs_it(tmp_path, test):
    assert len(test["reason"]) > 20
    done = pytest_under_the_patch(tmp_path, str(SITE / test["id"]))
    assert done.returncode == 1, done.stdout
    assert "1 failed" in done.stdout
