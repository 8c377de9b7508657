"""Broyden's first method against SciPy: `python benchmarks/broyden1.py`.

For large problems it prints the solver's own time (the whole solve less the calls of F), how fast
memory can be read, and the largest memory each solver took.
"""

import time

import numpy as np
import scipy.optimize

import raphson
from harness import Calls, Row, high_water, in_new_process, measure, print_table

ITERATIONS = 30
REDUCTIONS = {
    "unlimited rank": {},
    "max_rank 20, 'restart'": {"max_rank": 20},
    "max_rank 20, 'simple'": {"max_rank": 20, "reduction_method": "simple"},
    "max_rank 20, 'svd'": {"max_rank": 20, "reduction_method": "svd"},
}


def reference_page(x):
    return [x[0] + 0.5 * (x[0] - x[1]) ** 3 - 1.0, 0.5 * (x[1] - x[0]) ** 3 + x[1]]


def tridiagonal(x):
    f = (3 - 2 * x) * x + 1
    f[1:] -= x[:-1]
    f[:-1] -= 2 * x[1:]
    return f


def whole(name, fun, x0, **options) -> Row:
    calls = Calls()
    raphson.broyden1(calls.record(fun), x0, **options)
    return measure(
        name,
        raphson=lambda: raphson.broyden1(fun, x0, **options),
        scipy=lambda: scipy.optimize.broyden1(fun, x0, **options),
        bare=calls.repeat,
    )


class CheapFunction:
    """A linear function of n unknowns that keeps the time spent in it."""

    def __init__(self, n: int) -> None:
        rng = np.random.default_rng(0)
        self.diagonal = 1 + rng.uniform(-0.3, 0.3, n)
        self.shift = rng.uniform(-1, 1, n)
        self.seconds = 0.0

    def __call__(self, x):
        """Evaluate the function."""
        start = time.perf_counter()
        f = self.diagonal * x
        f -= self.shift
        f[1:] += 0.1 * x[:-1]
        self.seconds += time.perf_counter() - start
        return f


def own_seconds(solver, n: int, options) -> float:
    fun = CheapFunction(n)
    start = time.perf_counter()
    solver(fun, np.zeros(n), iter=ITERATIONS, line_search=None, alpha=1.0, **options)
    return time.perf_counter() - start - fun.seconds


def own_times(n: int, rounds: int) -> list[Row]:
    rows = []
    for name, options in REDUCTIONS.items():
        solvers = {"raphson": raphson.broyden1, "scipy": scipy.optimize.broyden1}
        best = dict.fromkeys(solvers, float("inf"))
        for _ in range(rounds):
            for key, solver in solvers.items():
                best[key] = min(best[key], own_seconds(solver, n, options))
        rows.append(Row(f"own time, n = {n:,}, {name}", best))
    return rows


def read_seconds(n: int) -> float:
    """Estimate the time to read each stored vector twice an iteration, at the rate of here."""
    vectors = np.ones((ITERATIONS, n))
    x = np.ones(n)
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        vectors @ x
        best = min(best, time.perf_counter() - start)
    reads = ITERATIONS * (ITERATIONS + 1)
    print(f"\nReading memory: {vectors.nbytes / best / 1e9:.1f} GB/s.", end=" ")
    return reads * best / ITERATIONS


def peak_memory(solver_name: str, n: int) -> int:
    solver = {"raphson": raphson.broyden1, "scipy": scipy.optimize.broyden1}[solver_name]
    # Whatever is imported on the way, and F's own, is not the solver's memory.
    own_seconds(solver, 1000, {})
    fun = CheapFunction(n)
    fun(np.zeros(n))
    before = high_water()
    solver(fun, np.zeros(n), iter=ITERATIONS, line_search=None, alpha=1.0)
    return high_water() - before


def compare_stores(n: int) -> None:
    """Time the two forms of H on the same problem: 'simple' that drops nothing keeps pairs."""
    never_reduced = {"reduction_method": "simple", "max_rank": 2 * ITERATIONS}
    forms = {"steps": {}, "pairs": never_reduced}
    best = dict.fromkeys(forms, float("inf"))
    for _ in range(5):
        for form, options in forms.items():
            best[form] = min(best[form], own_seconds(raphson.broyden1, n, options))
    ratio = best["pairs"] / best["steps"]
    print(f"n = {n:,}: keeping pairs takes {ratio:.2f} times what keeping steps takes.")


def main() -> None:
    rows = [
        whole("broyden1: 2 unknowns, SciPy's example", reference_page, [0, 0]),
        whole(
            "broyden1: Broyden tridiagonal, n = 1000",
            tridiagonal,
            np.full(1000, -1.0),
            f_tol=1e-9,
            alpha=-0.2,
        ),
        *own_times(10**5, rounds=5),
    ]
    large = own_times(10**6, rounds=3)
    print_table(rows + large, "scipy")
    limit = read_seconds(10**6)
    ours = large[0].seconds["raphson"]
    print(f"Unlimited rank, n = 1,000,000: {ours / limit:.1f} times what reading takes.")
    ours, theirs = (in_new_process(peak_memory, name, 10**6) for name in ("raphson", "scipy"))
    print(f"Peak memory of that: {ours / 1e6:.0f} MB, SciPy {theirs / 1e6:.0f} MB.")
    for n in (100, 10**4, 10**6):
        compare_stores(n)


if __name__ == "__main__":
    main()
