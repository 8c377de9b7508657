"""Threads, forks, interpreters, Ctrl-C and memory: what a process does around a solve."""

import functools
import gc
import multiprocessing
import os
import pickle
import resource
import signal
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest
import scipy.optimize

import raphson
from entries import CHAIN_START, ENTRIES, FIT_START
from solves import SIMPLE, SOLVES

PATIENCE = 60


def in_a_new_process(program, *, expect="done"):
    """Runs Python code that prints what is expected, and nothing else."""
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.stdout.strip(), done.returncode) == (expect, 0), done.stderr
    return done


class TestThreads:
    def at_once(self, jobs, patience=PATIENCE):
        """Runs every job in a thread of its own, all at the same time; what each returns."""
        results = [None] * len(jobs)
        together = threading.Barrier(len(jobs))

        def work(i):
            together.wait(PATIENCE)
            results[i] = jobs[i]()

        threads = [threading.Thread(target=work, args=(i,)) for i in range(len(jobs))]
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(patience)
        finally:
            sys.setswitchinterval(interval)
        assert not any(thread.is_alive() for thread in threads)
        return results

    def test_different_solves_at_once(self):
        """Eight threads, each with all solvers, in another order."""
        honest = [entry.solve() for entry in ENTRIES]

        def job(first):
            order = [(first * 5 + i) % len(ENTRIES) for i in range(len(ENTRIES))]
            return {i: ENTRIES[i].solve() for i in order for _ in range(3)}

        for results in self.at_once([lambda first=first: job(first) for first in range(8)]):
            assert all(np.array_equal(results[i], honest[i]) for i in range(len(ENTRIES)))

    def test_the_first_solves_of_a_process_at_once(self):
        """None is in the way of another's imports."""
        for seconds in (0, 0.005, 0.02, 0.05):
            in_a_new_process(FIRST_SOLVES.replace("SECONDS", str(seconds)))

    def test_whatever_is_imported_of_scipy_the_same_part_comes_first(self):
        """Parts that import each other deadlock where threads begin with different ones."""
        for solve in (
            "raphson.root(lambda x: x - 1, [0.0], method='newton')",
            "raphson.LeastSquares([1.0])",
            "raphson.lsqtr(lambda x: x - 1, [0.0], '2-point', verbose=0)",
            "raphson.Broyden1([1.0]).solve(lambda x: x - 1)",
            "raphson.newton(lambda x: x - 1, 0.0, full_output=True)",
        ):
            in_a_new_process(FIRST_IMPORT.replace("SOLVE", solve), expect="scipy.optimize")

    @pytest.mark.long
    def test_thousands_of_solves_at_once(self, tmp_path, capsys):
        """Eight threads that share functions, a patch and the path of a checkpoint."""
        honest = [entry.solve() for entry in ENTRIES]
        path = tmp_path / "run"
        expected = raphson.broyden1(lambda x: np.cos(x) - x, CHAIN_START)

        def job(first):
            random = np.random.default_rng(first)
            for _ in range(100):
                for i in random.permutation(len(ENTRIES)):
                    assert np.array_equal(ENTRIES[i].solve(), honest[i])
                with raphson.patched():
                    found = scipy.optimize.broyden1(
                        lambda x: np.cos(x) - x, CHAIN_START, callback=raphson.checkpoint(path, 5)
                    )
                assert np.array_equal(found, expected)
                assert raphson.load_checkpoint(path).x.size == CHAIN_START.size
            return 100 * (len(ENTRIES) + 1)

        solves = sum(self.at_once([functools.partial(job, first) for first in range(8)], 1200))
        with capsys.disabled():
            print(f"\n{solves} solves in eight threads")

    def test_solves_that_let_go_of_the_interpreter(self):
        """Eight threads in LAPACK or in passes over long vectors at once."""
        rng = np.random.default_rng(5)
        a = rng.normal(size=(8, 120, 80))
        tr_methods = ("qr", "svd", "cho")

        def least_squares(i):
            return raphson.lsqtr(
                lambda x: np.tanh(a[i] @ x) - 0.5,
                np.zeros(80),
                lambda x: a[i] / np.cosh(a[i] @ x)[:, None] ** 2,
                verbose=0,
                maxiter=3,
                options={"tr_method": tr_methods[i % 3]},
            ).x

        def system(i):
            square = a[i, :80] + 20 * np.eye(80)
            return raphson.root(
                lambda x: square @ x + x**3 - 1, np.zeros(80), jac="2-point", method="newton"
            ).x

        def long_vectors(i):
            return raphson.broyden1(lambda x: np.cos(x + i) - x, np.zeros(200_000), f_tol=1e-6)

        kinds = (least_squares, system, long_vectors)
        jobs = [functools.partial(kinds[i % 3], i) for i in range(8)]
        alone = [job() for job in jobs]
        assert all(map(np.array_equal, alone, self.at_once(jobs)))

    @pytest.mark.parametrize("solve", SIMPLE, ids=str)
    def test_a_solver_shared_by_threads(self, solve):
        """Whoever comes at the wrong moment gets an error, and the solve is unharmed."""
        honest = solve.make().solve(solve.residual, solve.jacobian).x
        for _ in range(20):
            solver = solve.make()
            complaints = []

            def job(solver=solver, complaints=complaints):
                while not solver_is_done(solver):
                    try:
                        what, x = solver.ask()
                        solver.tell(solve.value(what, x))
                    except RuntimeError as error:
                        complaints.append(str(error))
                    except ValueError as error:
                        # Told what another thread was asked: a Jacobian for a residual.
                        assert "value" in str(error)
                        complaints.append(str(error))
                return True

            assert all(self.at_once([job] * 4))
            # Values told for another point are the users' own doing, and may lead anywhere, but
            # the solver is whole.
            assert solver.done
            assert solver.result().x.shape == solve.start.shape
            assert type(solver).from_bytes(solver.to_bytes()).nfev == solver.nfev
        assert np.array_equal(solve.make().solve(solve.residual, solve.jacobian).x, honest)

    @pytest.mark.parametrize("solve", SIMPLE, ids=str)
    def test_a_solver_with_two_loops(self, solve):
        """One of them goes on or both are refused; what is finished is right."""
        honest = solve.make().solve(solve.residual, solve.jacobian).x
        for _ in range(20):
            solver = solve.make()

            def job(solver=solver):
                try:
                    return solver.solve(solve.residual, solve.jacobian).x
                except RuntimeError as error:
                    return str(error)

            for result in self.at_once([job] * 4):
                if isinstance(result, str):
                    assert "told another value" in result or "in use" in result
                else:
                    assert np.array_equal(result, honest)
            assert np.array_equal(solver.solve(solve.residual, solve.jacobian).x, honest)

    @pytest.mark.parametrize("solve", SIMPLE, ids=str)
    def test_a_solver_that_is_watched(self, solve):
        """Threads that look at a solver while another answers it."""
        solver, stop = solve.make(), threading.Event()

        def look():
            for i in range(10**9):
                if stop.is_set():
                    return
                try:
                    repr(solver), solver.x, solver.fun, solver.nit, solver.step_norm
                    if i % 7 == 0:
                        assert isinstance(pickle.loads(pickle.dumps(solver)), solve.solver)
                except RuntimeError as error:
                    assert "in use" in str(error)

        def job():
            try:
                return solve_patiently(solver, solve)
            finally:
                stop.set()

        results = self.at_once([job, look, look, look])
        assert np.array_equal(results[0], solve.make().solve(solve.residual, solve.jacobian).x)


FIRST_SOLVES = """
import threading, time
import raphson

together, failed = threading.Barrier(8), []

def work(number):
    together.wait()
    time.sleep(SECONDS * number)
    try:
        if number % 2:
            raphson.Broyden1([1.9]).solve(lambda x: x**3 - 8)
        else:
            raphson.lsqtr(lambda x: x - 1, [0.0], "2-point", verbose=0)
    except BaseException as error:
        failed.append(error)

threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert not failed, failed
print("done")
"""

FIRST_IMPORT = """
import sys

class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.startswith("scipy."):
            print(name)
            sys.meta_path.remove(Finder)

import raphson, scipy
sys.meta_path.insert(0, Finder)
SOLVE
"""


def solver_is_done(solver):
    try:
        return solver.done
    except RuntimeError:
        return False


def solve_patiently(solver, solve):
    """Asks and tells again where others are in the way."""
    while not solver_is_done(solver):
        try:
            what, x = solver.ask()
        except RuntimeError:
            continue
        value = solve.value(what, x)
        while True:
            try:
                solver.tell(value)
                break
            except RuntimeError as error:
                if "in use" not in str(error):
                    break
    while True:
        try:
            return solver.result().x
        except RuntimeError:
            continue


def answers():
    """Solutions that use LAPACK, the threads of long vectors, and neither."""
    long = np.linspace(0, 1, 300_000)
    return [
        raphson.newton(lambda x: x * x - 2, 1.0),
        raphson.root(lambda x: x**3 + x - 1, np.ones(100), method="newton").x,
        raphson.lsqtr(lambda x: x**3 + x - 1, np.ones(100), "2-point", verbose=0).x,
        raphson.broyden1(lambda x: np.cos(x) - x, long, reduction_method="svd", max_rank=3),
    ]


def same(a, b):
    return all(map(np.array_equal, a, b))


def in_a_fork(work):
    """What `work` gives in a forked child, by a pipe."""
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            signal.alarm(PATIENCE)
            os.close(receive)
            with os.fdopen(send, "wb") as pipe:
                pickle.dump(work(), pipe)
            status = 0
        finally:
            os._exit(status)
    os.close(send)
    with os.fdopen(receive, "rb") as pipe:
        data = pipe.read()
    assert os.waitpid(child, 0)[1] == 0
    return pickle.loads(data)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
class TestForks:
    def test_after_solves(self):
        """LAPACK is loaded, and there are threads, which the child does not have."""
        expected = answers()
        for _ in range(2):
            assert same(in_a_fork(answers), expected)
        assert same(in_a_fork(lambda: in_a_fork(answers)), expected)
        assert same(answers(), expected)

    def test_before_any_solve(self):
        in_a_new_process(
            """
            import os, sys
            import raphson
            sys.path.insert(0, "tests")
            import test_processes as here
            forked = here.in_a_fork(here.answers)
            assert here.same(forked, here.answers())
            assert here.same(here.in_a_fork(here.answers), forked)
            print("done")
            """
        )

    def test_in_the_middle_of_a_solve(self):
        """The child goes on from where the parent was."""
        for solve in SIMPLE:
            solver = solve.make()
            for _ in range(4):
                solver.tell(solve.value(*solver.ask()))
            rest = lambda s=solver, p=solve: s.solve(p.residual, p.jacobian).x  # noqa: E731
            child = in_a_fork(rest)
            assert np.array_equal(child, rest())

    def test_while_threads_solve(self):
        stop = threading.Event()

        def busy():
            while not stop.is_set():
                raphson.broyden1(lambda x: np.cos(x) - x, np.zeros(100_000), f_tol=1e-3)

        expected = answers()
        thread = threading.Thread(target=busy)
        thread.start()
        try:
            for _ in range(3):
                assert same(in_a_fork(answers), expected)
        finally:
            stop.set()
            thread.join()

    def test_from_within_a_function(self):
        def fun(x):
            child = os.fork()
            if child == 0:
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
            return np.cos(x) - x

        honest = raphson.broyden1(lambda x: np.cos(x) - x, CHAIN_START)
        assert np.array_equal(raphson.broyden1(fun, CHAIN_START), honest)


def answer_and_go_on(data):
    """In another process: its own solutions, and the rest of a solve that was sent there."""
    name, solver = data
    solve = next(solve for solve in SOLVES if solve.name == name)
    return answers(), solver.solve(solve.residual, solve.jacobian).x


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_multiprocessing(method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"there is no {method}")
    solvers = []
    for solve in SIMPLE:
        solver = solve.make()
        for _ in range(4):
            solver.tell(solve.value(*solver.ask()))
        solvers.append((solve.name, solver))
    expected = answers()
    with multiprocessing.get_context(method).Pool(2) as pool:
        found = pool.map_async(answer_and_go_on, solvers).get(PATIENCE)
    for (there, solution), (_, solver), solve in zip(found, solvers, SIMPLE, strict=True):
        assert same(there, expected)
        assert np.array_equal(solution, solver.solve(solve.residual, solve.jacobian).x)


SUBINTERPRETER = """
import sys
try:
    from _xxsubinterpreters import create, destroy, run_string
except ImportError:
    from _interpreters import create, destroy, exec as run_string
"""


def test_subinterpreters():
    """A clear ImportError, and no harm to the main interpreter."""
    in_a_new_process(
        SUBINTERPRETER
        + """
import importlib.util
import raphson

path = importlib.util.find_spec("raphson._core").origin
inside = f'''
import importlib.util

def load():
    # Without NumPy, whose warning or refusal would come before our own.
    spec = importlib.util.spec_from_file_location("raphson._core", {path!r})
    spec.loader.exec_module(importlib.util.module_from_spec(spec))

try:
    load()
except ImportError as error:
    assert "interpreter" in str(error), error
else:
    raise AssertionError("it was imported")
'''
for _ in range(3):
    inner = create()
    run_string(inner, inside)
    destroy(inner)
assert raphson.root(lambda x: x - 2, [1.0], method='newton').success
print("done")
"""
    )


def test_ending_the_process_within_a_solve():
    for end, status in (("sys.exit(3)", 3), ("os._exit(4)", 4), ("os.abort()", -signal.SIGABRT)):
        program = f"""
import os, sys, raphson
def fun(x):
    {end}
raphson.root(fun, [1.0, 2.0], method='newton')
"""
        done = subprocess.run([sys.executable, "-c", program], timeout=PATIENCE, check=False)
        assert done.returncode == status


def test_solvers_left_over_at_the_end_of_the_process():
    """In globals, in cycles, with objects that solve as they die."""
    in_a_new_process(
        """
        import raphson

        class Last:
            def __del__(self):
                try:
                    raphson.newton(lambda x: x * x - 2, 1.0)
                except BaseException:
                    pass

        left = [raphson.Broyden1([1.0]), raphson.NewtonSystem([1.0]), raphson.LeastSquares([1.0])]
        left += [left, Last()]
        left[0].ask()

        print("done", flush=True)
        """
    )


LEAST_SQUARES = """
    n = SIZE
    a = rng.normal(size=(2 * n, n))
    raphson.lsqtr(
        lambda x: np.tanh(a @ x) - 2, np.zeros(n), lambda x: a, verbose=0, xtol=0, ftol=0,
        options={"tr_method": METHOD, "initial_trust_radius": 1e-3},
    )
"""

LONG_SOLVES = {
    **{f"lsqtr, {m}": LEAST_SQUARES.replace("METHOD", repr(m)) for m in ("qr", "svd", "cho")},
    "root: newton": """
        n = 2 * SIZE
        a = rng.normal(size=(n, n))
        raphson.root(lambda x: a @ x + x**3 - 1, np.zeros(n), jac=lambda x: a, method='newton')
    """,
    "broyden1": """
        n = 10**6
        weights = np.linspace(0.1, 3, n)
        raphson.broyden1(
            lambda x: weights * x + np.sin(5 * x) - 1, np.zeros(n), maxiter=10**6, f_tol=1e-12
        )
    """,
}


def latency(name, size, seconds):
    """How long after Ctrl-C the exception comes out of a solve, in seconds."""
    solve = textwrap.dedent(LONG_SOLVES[name]).replace("SIZE", str(size))
    program = f"""
import os, signal, threading, time
import numpy as np
import raphson

# Where the tests run in the background, a shell may have had it ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
rng = np.random.default_rng(1)
raphson.root(lambda x: x - 1, [0.0], method='newton')
raphson.lsqtr(lambda x: x - 1, [0.0], "2-point", verbose=0)
sent = []

def interrupt():
    time.sleep({seconds})
    sent.append(time.perf_counter())
    os.kill(os.getpid(), signal.SIGINT)

def solve():
{textwrap.indent(solve, "    ")}

threading.Thread(target=interrupt, daemon=True).start()
try:
    while True:
        solve()
except KeyboardInterrupt:
    print(time.perf_counter() - sent[0])
"""
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", program],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return float(done.stdout)


@pytest.mark.parametrize("name", LONG_SOLVES)
def test_interrupts_come_out_at_once(name):
    """Even from within LAPACK; the process ends in peace. (0.2 s, but others may be busy here.)"""
    assert latency(name, 700, 0.3) < 1.0


@pytest.mark.long
@pytest.mark.parametrize("name", LONG_SOLVES)
def test_interrupts_come_out_at_once_at_any_moment(name, capsys):
    moments = np.random.default_rng(7).uniform(0.2, 4, size=20)
    found = sorted(latency(name, 1500, moment) for moment in moments)
    with capsys.disabled():
        print(
            f"\n{name}: Ctrl-C after {found[0]:.3f} to {found[-1]:.3f} s, median {found[10]:.3f}"
        )
    assert found[10] < 0.2


INTERRUPTED = """
import signal, threading
import numpy as np
import raphson

rng = np.random.default_rng(1)
a = rng.normal(size=(500, 400))
b = rng.normal(size=(450, 450)) + 60 * np.eye(450)

def least():
    options = {"tr_method": "svd", "initial_trust_radius": 1e-3}
    return raphson.LeastSquares(np.zeros(400), maxiter=2, options=options)

# From iteration 64 on, updates of so many unknowns are long work.
weights = np.linspace(0.1, 3, 2**20)

def broyden():
    options = {"max_rank": 5, "line_search": None, "maxiter": 68, "f_tol": 0}
    return raphson.Broyden1(np.zeros(2**20), alpha=-0.2, **options)

def in_a_thread(solver, fun, jac):
    results = []
    thread = threading.Thread(target=lambda: results.append(solver.solve(fun, jac)))
    thread.start()
    thread.join()
    return results[0].x

def solve(solver, fun, jac, seconds):
    interrupted = 0
    while True:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            result = solver.solve(fun, jac)
            signal.setitimer(signal.ITIMER_REAL, 0)
            return interrupted, result.x
        except InterruptedError:
            interrupted += 1

def interrupt(*_):
    raise InterruptedError

signal.signal(signal.SIGALRM, interrupt)
for make, fun, jac, seconds in (
    (least, lambda x: np.tanh(a @ x) - 2, lambda x: a, 0.01),
    (lambda: raphson.NewtonSystem(np.zeros(450)), lambda x: b @ x + x**3 - 1, lambda x: b, 0.01),
    (broyden, lambda x: weights * x - 1, None, 0.2),
):
    honest = in_a_thread(make(), fun, jac)
    interrupted, found = solve(make(), fun, jac, seconds)
    assert np.array_equal(found, honest)
    assert interrupted > 0
print("done")
"""


FORKED = """
import os, signal
import numpy as np
import raphson

a = np.random.default_rng(1).normal(size=(1000, 400))
solver = raphson.LeastSquares(np.zeros(400), maxiter=1, options={"tr_method": "svd"})

def interrupt(*_):
    raise InterruptedError

signal.signal(signal.SIGALRM, interrupt)
solver.tell(a @ solver.ask().x - 1)
solver.ask()
try:
    signal.setitimer(signal.ITIMER_REAL, 0.03)
    solver.tell(a)
    signal.setitimer(signal.ITIMER_REAL, 0)
except InterruptedError:
    pass
child = os.fork()
# The fork has waited for the step, and both go on with it.
x = solver.solve(lambda x: a @ x - 1, lambda x: a).x
honest = raphson.LeastSquares(np.zeros(400), maxiter=1, options={"tr_method": "svd"})
assert np.array_equal(x, honest.solve(lambda x: a @ x - 1, lambda x: a).x)
if child == 0:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
print("done")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_fork_in_the_middle_of_a_step():
    """BLAS does not survive it, so the fork waits for the step."""
    in_a_new_process(FORKED)


FORKS_BESIDE_THREADS = """
import os, threading
import numpy as np
import raphson

stop = threading.Event()

def solve():
    # Without BLAS of NumPy's, which does not survive forks beside it either.
    fun, jac = lambda x: x**3 + x - 1, lambda x: np.diag(3 * x**2 + 1)
    return raphson.root(fun, np.zeros(300), jac=jac, method='newton').x

def busy():
    while not stop.is_set():
        solve()

def fork():
    child = os.fork()
    if child == 0:
        solve()
        os._exit(0)
    return os.waitpid(child, 0)[1]

class Forks(float):
    # Python that runs where nobody expects it.
    def __float__(self):
        assert fork() == 0
        return 1e-3

# What is imported by one thread while another forks stays locked in the child.
solve()
threads = [threading.Thread(target=busy) for _ in range(2)]
for thread in threads:
    thread.start()
for _ in range(6):
    assert fork() == 0
raphson.broyden1(lambda x: np.cos(x) - x, [1.0], f_tol=Forks())
stop.set()
for thread in threads:
    thread.join()
print("done")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_forks_beside_threads_that_solve():
    in_a_new_process(FORKS_BESIDE_THREADS)


DAEMONS = {
    "root": "raphson.root(lambda x: F(x) + 9, [1.0], jac=lambda x: [[2 * x[0]]], method='newton')",
    "broyden1": "raphson.broyden1(lambda x: F(x) + 9, [1.0] * 3, maxiter=100)",
    "lsqtr": "raphson.lsqtr(F, np.ones(3), lambda x: np.eye(3), verbose=0)",
    "newton": "raphson.newton(lambda x: float(F(x)) + 9, 1.0)",
    "newton, arrays": "raphson.newton(lambda x: F(x) + 9, np.ones(5))",
    "observed": "raphson.broyden1(F, [1.0] * 3, callback=raphson.Monitor())",
    "factorization": "raphson.root(lambda x: b @ x - 1, np.ones(900), (), 'newton', lambda x: b)",
    "decomposition": "raphson.lsqtr(lambda x: c @ x - 1, np.ones(500), lambda x: c, verbose=0)",
    "asked and told": "by_hand(raphson.Broyden1(np.ones(10**5), maxiter=20), np.float32)",
    "factorized by hand": "by_hand(raphson.NewtonSystem(np.ones(200)), np.float64)",
    "patched": "scipy.optimize.newton(lambda x: float(F(x)) - 9, 1.0)",
    "passed on": "scipy.optimize.root(F, [1.0, 2.0])",
}

DAEMON = """
import threading, time
import numpy as np
import raphson
import scipy.optimize

raphson.patch()
rng = np.random.default_rng(1)
b, c = rng.normal(size=(900, 900)), rng.normal(size=(1500, 500))

def F(x):
    time.sleep(PAUSE)
    return x * x

def by_hand(solver, kind):
    while not solver.done:
        what, x = solver.ask()
        solver.tell(np.diag(2 * x) if what == "jacobian" else (x**2 - 2).astype(kind))

def solve():
    try:
        SOLVE
    except (RuntimeError, ValueError, scipy.optimize.NoConvergence):
        pass

def forever():
    solve()
    warm.set()
    while True:
        solve()

warm = threading.Event()
threading.Thread(target=forever, daemon=True).start()
assert warm.wait(60)
time.sleep(SECONDS)
print("done", flush=True)
"""


def end_beside_a_daemon(name, seconds, pause):
    program = DAEMON.replace("SOLVE", DAEMONS[name]).replace("SECONDS", str(seconds))
    in_a_new_process(program.replace("PAUSE", str(pause)))


@pytest.mark.parametrize("name", DAEMONS)
def test_the_process_ends_beside_daemon_threads(name):
    """Wherever in a solve they are."""
    end_beside_a_daemon(name, 0.1, 0.0005)


@pytest.mark.long
@pytest.mark.parametrize("name", DAEMONS)
def test_the_process_ends_beside_daemon_threads_at_any_moment(name):
    for number, seconds in enumerate(np.random.default_rng(3).uniform(0, 1, size=50)):
        end_beside_a_daemon(name, seconds, (0, 0.0005)[number % 2])


JOINED = """
import atexit, threading, time

def finish():
    stop.set()
    worker.join(30)
    print("left behind" if worker.is_alive() else "done", flush=True)

BEFORE
import raphson
AFTER

def work():
    while not stop.is_set():
        raphson.newton(lambda x: x * x - 2, 1.0)

stop = threading.Event()
worker = threading.Thread(target=work, daemon=True)
worker.start()
time.sleep(0.1)
"""


@pytest.mark.parametrize("place", ["BEFORE", "AFTER"])
def test_exit_handlers_may_wait_for_a_thread(place):
    """Registered before we are imported, or after."""
    program = JOINED.replace(place, "atexit.register(finish)")
    in_a_new_process(program.replace("BEFORE", "").replace("AFTER", ""))


LOCKED_FORKS = """
import os, threading
import raphson

first = []
lock = threading.RLock()

def before():
    # The first solve of the process, while it is forked.
    if not first:
        first.append(raphson.newton(lambda x: x * x - 2, 1.0))
    lock.acquire()

os.register_at_fork(before=before, after_in_parent=lock.release, after_in_child=lock.release)

def work():
    while not stop.is_set():
        with lock:
            raphson.root(lambda x: x * x - 2, [1.0], method='newton')

def fork():
    child = os.fork()
    if child == 0:
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0

fork()
raphson.newton(lambda x: x * x - 2, 1.0)
stop = threading.Event()
worker = threading.Thread(target=work)
worker.start()
for _ in range(5):
    fork()
stop.set()
worker.join()

class Slow:
    def __float__(self):
        with lock:
            return 1.0

worker = threading.Thread(target=lambda: raphson.newton(lambda x: x - 1, 0.5, tol=Slow()))
with lock:
    worker.start()
    fork()
worker.join()
print("done")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_forks_beside_somebody_with_a_lock():
    """As logging has: it is taken before each fork, and somebody who solves may hold it."""
    in_a_new_process(LOCKED_FORKS)


def test_a_solve_that_was_interrupted_goes_on():
    """Its work is finished, not repeated: the same bits."""
    in_a_new_process(INTERRUPTED)


def memory_in_use():
    """The largest resident set so far, in kB (bytes on macOS)."""
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size // 1024 if sys.platform == "darwin" else size


def raises(x):
    raise ValueError("mine")


def use_everything():
    """Every entry once, some with errors; how many solves that is."""
    for entry in ENTRIES:
        entry.solve()
        for function in entry.functions:
            with pytest.raises(ValueError, match="mine"):
                entry.solve(entry.functions | {function: raises})
    for make in (raphson.Broyden1, raphson.NewtonSystem, raphson.LeastSquares):
        solver = make(FIT_START)
        pickle.loads(pickle.dumps(solver))
        solver.ask()
        with pytest.raises(ValueError, match="value"):
            solver.tell([])
        with pytest.raises(TypeError):
            make(FIT_START, nonsense=1)
        with pytest.raises((TypeError, ValueError)):
            make("text")
    return sum(1 + len(entry.functions) for entry in ENTRIES) + 3


def growth_of(solves):
    """By how many kB the process grows in so many solves, after a tenth of them."""
    for _ in range(max(3, solves // 10 // use_everything())):
        use_everything()
    gc.collect()
    before, objects, done = memory_in_use(), len(gc.get_objects()), 0
    while done < solves:
        done += use_everything()
    gc.collect()
    assert len(gc.get_objects()) - objects < 100
    return memory_in_use() - before


def test_memory_is_given_back():
    assert growth_of(1000) < 2000


@pytest.mark.long
def test_memory_is_given_back_by_a_hundred_thousand_solves(record_property, capsys):
    growth = growth_of(100_000)
    record_property("growth in kB", growth)
    with capsys.disabled():
        print(f"\n100000 solves: the process has grown by {growth} kB")
    assert growth < 2000


def test_large_memory_is_given_back():
    """Jacobians and long vectors, of solves that end and of those that are broken off."""
    n = 200_000

    def solves():
        with pytest.raises(ValueError, match="mine"):
            raphson.broyden1(lambda x: raises(x) if x[0] else x + 1, np.zeros(n))
        solver = raphson.LeastSquares(np.zeros(50))
        solver.ask()
        solver.tell(np.ones(10_000))
        solver.ask()
        solver.tell(np.ones((10_000, 50)))

    solves()
    solves()
    before = memory_in_use()
    for _ in range(10):
        solves()
    assert memory_in_use() - before < 20_000
