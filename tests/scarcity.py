"""Solves with so much memory and no more: a program for a process of its own.

`python scarcity.py STEP [NAME ...]` does solves of each kind with one limit after the other, STEP
MiB apart, until there is enough: each in a forked process that may take so much more than it has
when the solve begins. It prints a line for each: the name, the limit, and how the solve ended.
"""

import os
import resource
import sys

import numpy as np
import scipy.sparse
import scipy.sparse.linalg
from scipy.linalg import cython_blas, cython_lapack  # noqa: F401 (borrowed by the solvers)

import raphson

MEBIBYTE = 1 << 20
MOST = 300 * MEBIBYTE
# With less than this a stack cannot grow, and Python cannot make small objects.
LEAST = MEBIBYTE // 4

MANY = 1 << 17
LINE = np.linspace(0, 1, MANY)


def chain(x):
    return x - 0.5 * np.cos(x + LINE)


def broyden1(**options):
    def solve():
        raphson.broyden1(chain, LINE, iter=8, **options)

    return solve


def root(order, jac, start=0.0, **options):
    rng = np.random.default_rng(3)
    matrix = np.eye(order) + 0.3 * rng.normal(size=(order, order)) / np.sqrt(order)

    # NumPy's sum of a real and a complex matrix does not survive that there is no memory for it.
    matrix = matrix.astype(np.result_type(matrix, start))

    def fun(x):
        return matrix @ x + 0.1 * x**2 - 1

    def dense(x):
        return matrix + np.diag(0.2 * x)

    jac = dense if jac is None else jac

    def solve():
        raphson.root(fun, np.full(order, start), jac=jac, options=options, method="newton")

    return solve


def sparse(order):
    def jac(x):
        return scipy.sparse.diags_array(1 + 0.5 * np.sin(x + LINE))

    return lambda: raphson.root(chain, LINE, jac=jac, method="newton")


def lsqtr(rows, columns, jac=None, deficient=False, **keywords):
    rng = np.random.default_rng(4)
    matrix = rng.normal(size=(rows, columns)) / np.sqrt(rows)
    if deficient:
        matrix[:, 1] = matrix[:, 0]
    goal = rng.normal(size=rows)

    def fun(x):
        return np.tanh(matrix @ x) - goal

    def dense(x):
        return matrix * (1 - np.tanh(matrix @ x) ** 2)[:, np.newaxis]

    jac = dense if jac is None else jac
    options = {"verbose": 0, "maxiter": 4, "ftol": 0, "xtol": 0, "gtol": 0, **keywords}
    return lambda: raphson.lsqtr(fun, np.full(columns, 0.1), jac, **options)


def newton(**keywords):
    goal = 2 + LINE
    start = np.full(MANY, 1.5, dtype=keywords.pop("dtype", float))
    if keywords.pop("turning_complex", False):
        return lambda: raphson.newton(lambda x: x * x + goal * (1 + 0.1j), start, maxiter=60)
    return lambda: raphson.newton(lambda x: x * x - goal, start, full_output=True, **keywords)


def broyden1_saved():
    """A solver in the middle of its work, as bytes and back."""

    def solve():
        solver = raphson.Broyden1(LINE)
        for _ in range(4):
            _, x = solver.ask()
            solver.tell(chain(x))
        type(solver).from_bytes(solver.to_bytes())

    return solve


def least_squares_saved():
    rng = np.random.default_rng(4)
    matrix = rng.normal(size=(400, 200))

    def solve():
        solver = raphson.LeastSquares(np.zeros(200))
        for _ in range(3):
            what, x = solver.ask()
            solver.tell(matrix @ x - 1 + 0.01 * x.sum() if what == "residual" else matrix)
        raphson.LeastSquares.from_bytes(solver.to_bytes())

    return solve


SOLVES = {
    "broyden1": broyden1,
    "broyden1: restart": lambda: broyden1(max_rank=3),
    "broyden1: simple": lambda: broyden1(reduction_method="simple", max_rank=3),
    "broyden1: svd": lambda: broyden1(reduction_method="svd", max_rank=4),
    "broyden1: wolfe": lambda: broyden1(line_search="wolfe"),
    "broyden1: own norm": lambda: broyden1(tol_norm=np.linalg.norm),
    "root": lambda: root(600, None),
    "root: 2-point": lambda: root(300, "2-point"),
    "root: cs": lambda: root(300, "cs"),
    "root: complex": lambda: root(300, None, start=1j),
    "root: sparse": lambda: sparse(MANY),
    "lsqtr: qr": lambda: lsqtr(600, 300),
    "lsqtr: svd": lambda: lsqtr(600, 300, options={"tr_method": "svd"}),
    "lsqtr: cho": lambda: lsqtr(600, 300, options={"tr_method": "cho"}),
    "lsqtr: deficient": lambda: lsqtr(600, 300, deficient=True),
    "lsqtr: bounds": lambda: lsqtr(600, 300, bounds=(np.zeros(300), np.ones(300))),
    "lsqtr: tall": lambda: lsqtr(MANY, 4),
    "lsqtr: 3-point": lambda: lsqtr(2000, 60, jac="3-point"),
    "newton: secant": newton,
    "newton: tangent": lambda: newton(fprime=lambda x: 2 * x),
    "newton: Halley": lambda: newton(fprime=lambda x: 2 * x, fprime2=lambda x: 2.0),
    "newton: complex": lambda: newton(dtype=complex),
    "newton: turning complex": lambda: newton(turning_complex=True),
    "saving Broyden1": broyden1_saved,
    "saving LeastSquares": least_squares_saved,
}


def size():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[0]) * resource.getpagesize()


def attempt(solve, extra):
    """How a solve ends that may take so many bytes more: in a forked process."""
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        outcome = "done"
        limit = size() + extra
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        try:
            solve()
        except BaseException as error:
            outcome = type(error).__name__
        os.write(writable, outcome.encode())
        os._exit(0)
    os.close(writable)
    with os.fdopen(readable) as pipe:
        outcome = pipe.read()
    _, status = os.waitpid(child, 0)
    return outcome if status == 0 else f"status {status}"


def main(step, names):
    # What is loaded with the first solve is not what is looked at here, nor are the buffers that
    # OpenBLAS, NumPy's and SciPy's, takes once.
    raphson.root(lambda x: x - 1, np.zeros(2), jac=lambda x: np.eye(2), method="newton")
    raphson.root(
        lambda x: x - 1, np.zeros(2), jac=lambda x: scipy.sparse.eye_array(2), method="newton"
    )
    raphson.lsqtr(lambda x: x - 1, np.zeros(2), "2-point", verbose=0)
    raphson.newton(lambda x: x - 1, np.zeros(3), full_output=True)
    np.ones((300, 300)) @ np.ones(300)
    for name in names:
        solve = SOLVES[name]()
        outcome, extra = "", LEAST
        while outcome != "done" and extra < MOST:
            outcome = attempt(solve, extra)
            print(name, extra, outcome, sep="\t", flush=True)
            extra += step


if __name__ == "__main__":
    main(int(float(sys.argv[1]) * MEBIBYTE), sys.argv[2:] or SOLVES)
