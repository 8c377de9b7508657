"""Where threads, memory or a thread's stack run out."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from test_processes import in_a_new_process

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits are Linux's")

PASSES = """
import os
# OpenBLAS hangs where it cannot start the threads that it wants.
os.environ["OPENBLAS_NUM_THREADS"] = "1"
import numpy as np
import scipy.linalg
import raphson

start = np.linspace(0, 1, 400_000)

def passes():
    return raphson.broyden1(lambda x: x - 0.5 * np.cos(x + start), start, iter=6)

matrix = 2 * np.eye(600) + np.random.default_rng(5).normal(size=(600, 600)) / 30

def factors():
    return raphson.root(lambda x: matrix @ x - 1, np.zeros(600), jac=lambda x: matrix).x

def fits():
    rows = matrix[:, :300]
    return raphson.lsqtr(lambda x: rows @ x - 1, np.zeros(300), lambda x: rows, verbose=0).x
"""


class TestThreads:
    @linux
    def test_without_threads_one_does_all(self):
        """The same bits come out where no thread can be started."""
        in_a_new_process(
            PASSES
            + """
import hashlib, os, resource, threading

def solve():
    return hashlib.sha256(b"".join(x.tobytes() for x in (passes(), factors(), fits()))).digest()

# A forked process that has not computed yet starts threads of its own.
readable, writable = os.pipe()
if os.fork() == 0:
    os.write(writable, solve())
    os._exit(0)
honest = os.read(readable, 32)

# Modules are imported while they can be read.
raphson.root(lambda x: x - 1, np.zeros(2), jac=lambda x: np.eye(2))
raphson.lsqtr(lambda x: x - 1, np.zeros(2), "2-point", verbose=0)
# For root there is no limit.
if os.getuid() == 0:
    os.setuid(65534)
resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
try:
    threading.Thread(target=print).start()
except RuntimeError:
    pass
else:
    raise SystemExit("a thread was started")
for _ in range(2):
    assert solve() == honest
print("done")
"""
        )


def ends_of_solves(step, *names):
    """How solves end that have little memory: (name, limit, outcome)."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).parent / "scarcity.py"), str(step), *names],
        # Further threads of OpenBLAS take memory that it ends the process without.
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "RUST_BACKTRACE": "0"},
        capture_output=True,
        text=True,
        timeout=3600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [line.split("\t") for line in done.stdout.splitlines()], done.stderr


def assert_honest(ends, complaints):
    outcomes = {}
    for name, _, outcome in ends:
        outcomes.setdefault(name, []).append(outcome)
    assert len(outcomes) == 25
    for name, ended in outcomes.items():
        assert ended[-1] == "done", (name, ended, complaints)
        assert len(ended) > 1, name
        assert set(ended[:-1]) == {"MemoryError"}, (name, ended, complaints)


class TestMemory:
    @linux
    def test_what_is_not_there_is_a_memory_error(self):
        assert_honest(*ends_of_solves(2))

    @linux
    @pytest.mark.long
    def test_what_is_not_there_is_a_memory_error_at_any_limit(self):
        assert_honest(*ends_of_solves(0.1))

    @linux
    def test_a_solver_goes_on_when_there_is_memory_again(self):
        in_a_new_process(
            """
            import os, resource
            os.environ["OPENBLAS_NUM_THREADS"] = "1"
            import numpy as np
            import scipy.linalg
            import raphson

            MEBIBYTE = 1 << 20
            start = np.linspace(0, 1, 1 << 17)
            matrix = 2 * np.eye(400) + np.random.default_rng(5).normal(size=(400, 400)) / 30
            dependent = matrix[:, :200].copy()
            dependent[:, 1] = dependent[:, 0]

            def newton(what, x):
                return matrix @ x - 1 if what == "residual" else matrix

            def fit(what, x):
                return dependent @ x - 1 if what == "residual" else dependent

            KINDS = [
                (lambda: raphson.Broyden1(start, f_tol=1e-9),
                 lambda what, x: x - 0.5 * np.cos(x + start)),
                (lambda: raphson.NewtonSystem(np.zeros(400)), newton),
                (lambda: raphson.LeastSquares(np.zeros(200)), fit),
            ]

            taken = []

            def take_memory():
                # All but a little.
                with open("/proc/self/statm") as statm:
                    size = int(statm.read().split()[0]) * resource.getpagesize()
                resource.setrlimit(resource.RLIMIT_AS, (size, resource.RLIM_INFINITY))
                try:
                    while True:
                        taken.append(bytearray(MEBIBYTE // 2))
                except MemoryError:
                    del taken[-4:]

            def give_it_back():
                taken.clear()
                resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)

            for make, value in KINDS:
                honest = make()
                while not honest.done:
                    honest.tell(value(*honest.ask()))
                solver, failures = make(), 0
                while True:
                    try:
                        if solver.done:
                            break
                        what, x = solver.ask()
                        answer = value(what, x)
                        if failures == 0 or solver.nit % 2:
                            take_memory()
                        solver.tell(answer)
                    except MemoryError:
                        failures += 1
                        give_it_back()
                        # What was told may have been taken, and only the work after it is missing.
                        if not solver.done and solver.ask()[0] == what and np.array_equal(
                            solver.ask()[1], x
                        ):
                            solver.tell(answer)
                    finally:
                        give_it_back()
                assert failures > 0, make
                assert np.array_equal(solver.result().x, honest.result().x), make
                assert solver.nit == honest.nit
            print("done")
            """
        )


NESTED = """
import sys, threading
import numpy as np
import raphson

sys.setrecursionlimit(10**6)

def solve(kind, fun, n):
    start = np.zeros(n)
    if kind == "newton":
        raphson.newton(lambda x: fun(x)[0], 0.5)
    elif kind == "broyden1":
        raphson.broyden1(fun, start, f_tol=1e-3)
    elif kind == "root":
        raphson.root(fun, start, jac=lambda x: 2 * np.eye(n))
    elif kind == "lsqtr":
        raphson.lsqtr(fun, start, lambda x: 2 * np.eye(n), verbose=0)
    elif kind == "solver":
        raphson.NewtonSystem(start, "2-point").solve(fun)

def nest(kind, depth, n=2):
    within = [depth > 0]
    def fun(x):
        if within.pop() if within else False:
            nest(kind, depth - 1, n)
        return 2 * np.atleast_1d(x) - 1
    solve(kind, fun, n)

def in_a_thread(kibibytes, *arguments):
    outcome = []
    def work():
        try:
            nest(*arguments)
        except RecursionError as error:
            outcome.append(str(error))
        else:
            outcome.append("fine")
    threading.stack_size(kibibytes << 10)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return outcome

KINDS = ["newton", "broyden1", "root", "lsqtr", "solver"]
for kind in KINDS:
    nest(kind, 1)
"""


class TestStack:
    @linux
    def test_solves_within_solves_end_in_a_recursion_error(self):
        in_a_new_process(
            NESTED
            + """
for kind in KINDS:
    for kibibytes in (128, 512, 4096):
        outcome = in_a_thread(kibibytes, kind, 10_000)
        assert "recursion" in outcome[0], (kind, kibibytes, outcome)
        assert in_a_thread(kibibytes, kind, 3) == ["fine"], (kind, kibibytes)
print("done")
"""
        )

    @linux
    def test_a_factorization_needs_no_long_stack(self):
        """OpenBLAS takes megabytes for one with several threads."""
        in_a_new_process(
            NESTED
            + """
for kind in ("root", "lsqtr", "solver"):
    for kibibytes in (128, 2048):
        assert in_a_thread(kibibytes, kind, 1, 350 if kind != "solver" else 210) == ["fine"]
print("done")
"""
        )
