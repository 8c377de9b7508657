"""The units that RAPHSON_VECTOR_UNITS chooses for the loops over vectors."""

import os
import re
import subprocess
import sys

SOLVES = """
import hashlib
import numpy as np
import raphson
from problems import PROBLEMS

digest = hashlib.sha256()

def add(x):
    digest.update(x.tobytes())

def solve(residual, start, **options):
    for line_search in (None, "armijo", "wolfe"):
        try:
            raphson.broyden1(
                lambda x: add(x) or residual(x),
                start,
                maxiter=12,
                line_search=line_search,
                **options,
            )
        except Exception as error:
            digest.update(str(error).encode())

np.seterr(all="ignore")
for problem in PROBLEMS:
    for options in ({}, {"max_rank": 4}, {"max_rank": 4, "reduction_method": "simple"}):
        solve(problem.residual, problem.start, **options)
start = np.linspace(-1, 1, 5000)
for dtype in ("f4", "f8", "c8", "c16"):
    for options in ({}, {"max_rank": 4, "reduction_method": "svd"}):
        solve(lambda x: x - (0.3 + 0.1 * x) ** 2 + x[::-1] / 7, start.astype(dtype), **options)
print(digest.hexdigest())
"""


def run_with(units, program):
    return subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        cwd=os.path.dirname(__file__),
        env=os.environ | {"RAPHSON_VECTOR_UNITS": units},
    )


def units_to_be_had():
    """What the error for an unknown name lists."""
    refused = run_with("no such units", "import raphson")
    message = refused.stderr.splitlines()[-1]
    assert message.startswith("ImportError: RAPHSON_VECTOR_UNITS: 'no such units'")
    return re.findall(r"'(\w+)'", message)


def test_unknown_units_are_refused_with_those_to_be_had():
    units = units_to_be_had()
    assert units[0] == "scalar"
    assert set(units) <= {"scalar", "avx2", "neon"}


def test_all_units_give_the_same_bits():
    answers = []
    for units in units_to_be_had():
        done = run_with(units, SOLVES)
        assert done.returncode == 0, done.stderr
        answers.append(done.stdout)
    assert len(set(answers)) == 1
    assert len(answers[0]) == 65
