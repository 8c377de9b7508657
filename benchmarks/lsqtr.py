"""Least squares against SciPy and DESC: `python benchmarks/lsqtr.py`.

Where there is an environment with desc-opt, its interpreter in `DESC_PYTHON` adds DESC's time for
the small fit, after compilation.
"""

import json
import os
import subprocess
import time

import numpy as np
import scipy.optimize
from scipy.linalg import lapack

import raphson
from harness import Calls, Row, high_water, in_new_process, measure, print_table

TIMES = np.arange(100) / 25
OBSERVED = 2.5 * np.exp(-1.3 * TIMES) + 0.5 + 0.05 * np.sin(17.0 * np.arange(100))
START = np.array([1.0, 1.0, 0.0])
TOLERANCES = {"ftol": 1e-6, "xtol": 1e-6, "gtol": 1e-6, "x_scale": "jac"}


def decay(x):
    return x[0] * np.exp(-x[1] * TIMES) + x[2] - OBSERVED


def decay_jacobian(x):
    exponential = np.exp(-x[1] * TIMES)
    return np.stack([exponential, -x[0] * TIMES * exponential, np.ones_like(TIMES)], axis=1)


def fit() -> object:
    return raphson.lsqtr(decay, START, decay_jacobian, verbose=0)


def small() -> Row:
    calls = Calls()
    raphson.lsqtr(calls.record(decay), START, calls.record(decay_jacobian), verbose=0)
    return measure(
        "lsqtr: exponential fit, 3 parameters, 100 points",
        raphson=fit,
        scipy=lambda: scipy.optimize.least_squares(decay, START, decay_jacobian, **TOLERANCES),
        bare=calls.repeat,
    )


class Dense:
    """A slightly curved problem with a dense Jacobian that keeps the time spent in it.

    No BLAS: the threads of NumPy's would stay busy for a while and take the solver's processors.
    """

    def __init__(self, m: int, n: int) -> None:
        rng = np.random.default_rng(1)
        self.matrix = rng.standard_normal((m, n)) / 30
        solution = rng.standard_normal(n)
        self.observed = self.matrix @ solution + 0.1 * rng.standard_normal(m)
        self.start = solution + 0.5 * rng.standard_normal(n)
        self.seconds = 0.0

    def residual(self, x):
        """Evaluate the residuals."""
        begin = time.perf_counter()
        line = np.einsum("ij,j->i", self.matrix, x)
        value = line + 0.05 * line**2 - self.observed
        self.seconds += time.perf_counter() - begin
        return value

    def jacobian(self, x):
        """Evaluate the Jacobian."""
        begin = time.perf_counter()
        line = np.einsum("ij,j->i", self.matrix, x)
        value = self.matrix * (1 + 0.1 * line)[:, np.newaxis]
        self.seconds += time.perf_counter() - begin
        return value


def own_seconds(problem: Dense, **options):
    """Solve; returns the result and the solver's own time."""
    problem.seconds = 0.0
    begin = time.perf_counter()
    result = raphson.lsqtr(
        problem.residual, problem.start, problem.jacobian, verbose=0, options=options
    )
    return result, time.perf_counter() - begin - problem.seconds


def factor_seconds(matrix) -> float:
    """Time LAPACK's QR of a matrix, in place and with the workspace it asks for."""
    copy = np.array(matrix, order="F")
    size = int(lapack.dgeqrf_lwork(*copy.shape)[0])
    begin = time.perf_counter()
    lapack.dgeqrf(copy, lwork=size, overwrite_a=1)
    return time.perf_counter() - begin


def dense(m: int, n: int) -> None:
    problem = Dense(m, n)
    jacobian = problem.jacobian(problem.start)
    far = {"initial_trust_radius": 1e6}
    settings = {
        "'qr', steps inside the radius": far,
        "'cho', steps inside the radius": far | {"tr_method": "cho"},
        "'svd', steps inside the radius": far | {"tr_method": "svd"},
    }
    factor, per_jacobian = [], {name: [] for name in settings}
    for _ in range(5):
        factor.append(factor_seconds(jacobian))
        for name, options in settings.items():
            result, seconds = own_seconds(problem, **options)
            # The last Jacobian ends the solve and is not factored.
            per_jacobian[name].append(seconds / (result.njev - 1))
    unit = np.median(factor)
    print(f"\nDense {m} x {n}; one LAPACK dgeqrf takes {unit:.3f} s.")
    for name, seconds in per_jacobian.items():
        print(f"{name}: {np.median(seconds) / unit:.2f} dgeqrf per accepted Jacobian")

    # A first step with a small radius, against one without: what the multiplier costs.
    trials = []
    for _ in range(7):
        _, full = first_step(problem, 1e6)
        count, short = first_step(problem, 0.5)
        trials.append((short - full) / count)
    print(
        f"'qr', radius active: {np.median(trials) / unit:.2f} dgeqrf for each of the {count} "
        "trials of the multiplier"
    )


def first_step(problem: Dense, radius: float) -> tuple[int, float]:
    """Time the second step with a radius; how many multipliers were tried."""
    times = []

    def residual(x):
        times.append(time.perf_counter())
        return problem.residual(x)

    def jacobian(x):
        value = problem.jacobian(x)
        times.append(time.perf_counter())
        return value

    raphson.lsqtr(
        residual,
        problem.start,
        jacobian,
        verbose=0,
        x_scale=1.0,
        maxiter=2,
        options={"initial_trust_radius": radius, "max_trust_radius": radius},
    )
    # Calls alternate, and the second step has warm workspaces.
    return multipliers(problem, radius), times[4] - times[3]


def multipliers(problem: Dense, radius: float) -> int:
    """Count the trials of Moré's iteration from 0, which itself needs no factorization."""
    jacobian = problem.jacobian(problem.start)
    left, values, _ = np.linalg.svd(jacobian, full_matrices=False)
    pull = values * (left.T @ problem.residual(problem.start))
    multiplier, trials = 0.0, 0
    while True:
        shifted = values**2 + multiplier
        length = np.linalg.norm(pull / shifted)
        if abs(length - radius) <= 0.01 * radius:
            return trials
        spread = np.sum(pull**2 / shifted**3)
        multiplier += length**2 / spread * (length - radius) / radius
        trials += 1


def against_scipy(m: int, n: int) -> Row:
    problem = Dense(m, n)
    start = problem.start
    best = {"raphson": np.inf, "scipy": np.inf}
    for _ in range(2):
        begin = time.perf_counter()
        raphson.lsqtr(problem.residual, start, problem.jacobian, verbose=0)
        best["raphson"] = min(best["raphson"], time.perf_counter() - begin)
        begin = time.perf_counter()
        scipy.optimize.least_squares(problem.residual, start, problem.jacobian, **TOLERANCES)
        best["scipy"] = min(best["scipy"], time.perf_counter() - begin)
    return Row(f"lsqtr: dense {m} x {n}", best)


DESC_SCRIPT = """
import json, os, sys
answers = os.dup(1)
os.dup2(2, 1)
from desc.optimize import lsqtr
import jax, jax.numpy as jnp
t, y = map(jnp.asarray, json.loads(sys.stdin.readline()))
fun = jax.jit(lambda x: x[0] * jnp.exp(-x[1] * t) + x[2] - y)
jac = jax.jit(jax.jacfwd(fun))
x0 = jnp.array([1.0, 1.0, 0.0])
for _ in sys.stdin:
    lsqtr(fun, x0, jac, verbose=0)
    os.write(answers, b"solved\\n")
"""


def against_desc(python: str) -> Row:
    """Time DESC on the small fit, in its own environment, once it has compiled what it needs."""
    with subprocess.Popen(
        [python, "-c", DESC_SCRIPT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        bufsize=1,
        env=os.environ | {"JAX_ENABLE_X64": "1"},
    ) as process:
        process.stdin.write(json.dumps([TIMES.tolist(), OBSERVED.tolist()]) + "\n")

        def solve() -> None:
            process.stdin.write("solve\n")
            if not process.stdout.readline():
                raise RuntimeError(f"DESC failed in {python}")

        return measure("lsqtr: exponential fit, DESC", raphson=fit, desc=solve)


def peak_memory(m: int, n: int) -> int:
    """Measure the most memory that a solve takes beside the problem's own."""
    own_seconds(Dense(n + 10, 10))
    problem = Dense(m, n)
    keep = [problem.jacobian(problem.start), problem.residual(problem.start)]
    problem.jacobian(problem.start)
    del keep
    before = high_water()
    own_seconds(problem, max_nfev=3)
    return high_water() - before


def main() -> None:
    rows = [small(), against_scipy(4000, 1000)]
    print_table(rows, "scipy")
    python = os.environ.get("DESC_PYTHON")
    if python:
        ratio = against_desc(python).ratio("desc")
        print(f"\nDESC takes {ratio:.0f} times as long for the exponential fit.")
    dense(4000, 1000)
    m, n = 20_000, 500
    expected = 8 * (m * (n + 1) + 3 * (n + 1) ** 2)
    peak = in_new_process(peak_memory, m, n)
    print(
        f"\nMemory for {m} x {n} beside the Jacobian: {peak / 1e6:.0f} MB, "
        f"m(n + 1) + 3(n + 1)² doubles are {expected / 1e6:.0f} MB."
    )


if __name__ == "__main__":
    main()
