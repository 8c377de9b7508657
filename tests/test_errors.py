"""Bad input, exceptions in callables, and threads: errors that help, and nothing lost."""

import functools
import gc
import re
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import scipy.sparse

import raphson


def newton(func=lambda x: x * x - 2, x0=1.0, **kwargs):
    return raphson.newton(func, x0, **kwargs)


def root(fun=lambda x: x * x - 2, x0=(1.0, 2.0), **kwargs):
    return raphson.root(fun, x0, **({"method": "newton"} | kwargs))


BAD_INPUT = {
    "newton: func": (newton, {"func": 3}, TypeError, "func must be callable, not int"),
    "newton: fprime": (newton, {"fprime": 3}, TypeError, "fprime must be callable"),
    "newton: fprime2": (
        newton,
        {"fprime": lambda x: 2 * x, "fprime2": "f"},
        TypeError,
        "fprime2 must be callable",
    ),
    "newton: args": (newton, {"args": 3}, TypeError, "args must be a tuple, not int"),
    "newton: tol": (newton, {"tol": 0}, ValueError, r"tol too small \(0 <= 0\)"),
    "newton: tol type": (newton, {"tol": "x"}, TypeError, "tol: expected a number, got str"),
    "newton: rtol type": (newton, {"rtol": "x"}, TypeError, "rtol: expected a number"),
    "newton: maxiter": (newton, {"maxiter": 0}, ValueError, "maxiter must be greater than 0"),
    "newton: maxiter < 0": (newton, {"maxiter": -1}, ValueError, "maxiter must be greater than 0"),
    "newton: maxiter type": (newton, {"maxiter": 1.5}, TypeError, "maxiter: expected an integer"),
    "newton: x0 empty": (newton, {"x0": []}, ValueError, "x0 is empty"),
    "newton: x0 None": (newton, {"x0": None}, TypeError, "x0 must be numeric"),
    "newton: x0 text": (newton, {"x0": "one"}, TypeError, "x0 must be numeric"),
    "newton: x0 texts": (newton, {"x0": ["a", "b"]}, TypeError, "x0 must be numeric"),
    "newton: x0 ragged": (newton, {"x0": [[1.0], [1.0, 2.0]]}, ValueError, "x0: "),
    "newton: x0 dict": (newton, {"x0": {}}, TypeError, "x0 must be numeric"),
    "newton: x1": (newton, {"x1": 1.0}, ValueError, "x1 and x0 must be different"),
    "newton: x1 type": (newton, {"x1": "x"}, TypeError, "x1: expected a number"),
    "newton: x1 array": (newton, {"x1": [1, 2]}, ValueError, "x1: expected one number"),
    "newton: None": (newton, {"func": lambda x: None}, TypeError, "func: expected a number"),
    "newton: text": (newton, {"func": lambda x: "0"}, TypeError, "func: expected a number"),
    "newton: two": (newton, {"func": lambda x: [1, 2]}, ValueError, "func: expected one number"),
    "newton: none": (newton, {"func": lambda x: []}, ValueError, "func: expected one number"),
    "newton: huge": (newton, {"func": lambda x: 10**400}, ValueError, "func: int too large"),
    "newton: fprime None": (
        newton,
        {"fprime": lambda x: None},
        TypeError,
        "fprime: expected a number",
    ),
    "newton: array": (
        newton,
        {"x0": [1.0, 2.0], "func": lambda x: ["a", "b"]},
        TypeError,
        "func: expected numbers",
    ),
    "newton: array of None": (
        newton,
        {"x0": [1.0, 2.0], "func": lambda x: [None, 1.0]},
        TypeError,
        "func: expected numbers, got NoneType",
    ),
    "root: fun": (root, {"fun": None}, TypeError, "fun must be callable, not NoneType"),
    "root: x0 empty": (root, {"x0": np.zeros((2, 0))}, ValueError, "x0 is empty: got an array"),
    "root: x0 None": (root, {"x0": None}, TypeError, "x0"),
    "root: x0 text": (root, {"x0": "one"}, TypeError, "x0 must be numeric"),
    "root: x0 NaN": (root, {"x0": [1.0, np.nan]}, ValueError, "x0 must be finite; its element 1"),
    "root: x0 inf": (root, {"x0": [np.inf]}, ValueError, "x0 must be finite; its element 0"),
    "root: x0 deep": (root, {"x0": np.ones((1,) * 40)}, ValueError, "x0 has 40 dimensions"),
    "root: values deep": (
        root,
        {"fun": lambda x: np.ones((2,) + (1,) * 40)},
        ValueError,
        "fun has 41 dimensions",
    ),
    "root: x0 huge": (root, {"x0": [10**400]}, ValueError, "x0: int too large"),
    "root: tol huge": (root, {"tol": 10**400}, ValueError, "tol: int too large"),
    "root: large": (root, {"x0": np.ones(50_000)}, ValueError, "jac: a dense Jacobian of 50000"),
    "newton: x0 deep": (newton, {"x0": np.ones((1,) * 33)}, ValueError, "x0 has 33 dimensions"),
    "newton: values deep": (
        newton,
        {"func": lambda x: np.ones((1,) * 64)},
        ValueError,
        "func has 64 dimensions",
    ),
    "root: method": (
        root,
        {"method": "krylov"},
        ValueError,
        "method must be one of 'hybr'.*'newton'.*'krylov'.*scipy.optimize.root",
    ),
    "root: method type": (root, {"method": 3}, ValueError, "method must be one of"),
    "root: jac": (root, {"jac": "exact"}, ValueError, "jac must be callable, True, None"),
    "root: jac number": (root, {"jac": 1.0}, ValueError, "jac must be callable"),
    "root: jac cs": (root, {"jac": "cs", "x0": [1j]}, ValueError, "jac='cs'.*real x0"),
    "root: callback": (root, {"callback": 3}, TypeError, "callback must be callable"),
    "root: tol": (root, {"tol": -1}, ValueError, "tol must not be negative or NaN"),
    "root: tol type": (root, {"tol": "x"}, TypeError, "tol: expected a number, got str"),
    "root: options": (root, {"options": 3}, TypeError, "options must be a dict, not int"),
    "root: option": (
        root,
        {"options": {"xtoll": 1}},
        ValueError,
        "unknown option 'xtoll'.*xtol, ftol, maxiter, line_search, diff_step",
    ),
    "root: xtol": (root, {"options": {"xtol": np.nan}}, ValueError, "xtol must not be negative"),
    "root: ftol": (root, {"options": {"ftol": None}}, TypeError, "ftol: expected a number"),
    "root: maxiter": (root, {"options": {"maxiter": 0}}, ValueError, "maxiter must be at least 1"),
    "root: maxiter type": (
        root,
        {"options": {"maxiter": 10.0}},
        TypeError,
        "maxiter: expected an integer, got float",
    ),
    "root: line_search": (
        root,
        {"options": {"line_search": "wolfe"}},
        ValueError,
        "line_search must be 'armijo' or None, got 'wolfe'",
    ),
    "root: diff_step": (root, {"options": {"diff_step": 0}}, ValueError, "diff_step must be pos"),
    **{
        f"root: broyden1: {name}": (
            root,
            {"method": "broyden1", **arguments},
            TypeError,
            rf"^{name}: expected an? \w+, got str",
        )
        for name, arguments in {
            "tol": {"tol": "x"},
            **{
                name: {"options": {name: "x"}}
                for name in ("fatol", "ftol", "xatol", "xtol", "nit", "maxiter")
            },
        }.items()
    },
    "root: broyden1: tol huge": (
        root,
        {"method": "broyden1", "tol": 10**400},
        ValueError,
        "^tol: int too large",
    ),
    "newton: disp": (newton, {"disp": np.array([])}, ValueError, "^disp: The truth value"),
    "newton: full_output": (
        newton,
        {"full_output": np.array([1, 2])},
        ValueError,
        "^full_output: The truth value",
    ),
    "root: disp": (
        root,
        {"method": "broyden1", "options": {"disp": np.array([])}},
        ValueError,
        "^disp: The truth value",
    ),
    "lsqtr: scaled_termination": (
        raphson.lsqtr,
        {
            "fun": lambda x: x,
            "x0": [1.0],
            "jac": "2-point",
            "options": {"scaled_termination": np.array([])},
        },
        ValueError,
        "^scaled_termination: The truth value",
    ),
    # Text that has no UTF-8.
    "root: option of half a character": (
        root,
        {"options": {"\ud800": 1}},
        ValueError,
        "unknown option '.+'; method 'newton' has",
    ),
    "lsqtr: x_scale of half a character": (
        raphson.lsqtr,
        {"fun": lambda x: x, "x0": [1.0], "jac": "2-point", "x_scale": "\ud800"},
        ValueError,
        "x_scale should be one of 'jac', 'auto'",
    ),
    "lsqtr: option of half a character": (
        raphson.lsqtr,
        {"fun": lambda x: x, "x0": [1.0], "jac": "2-point", "options": {"\ud800": 1}},
        ValueError,
        "Unknown options",
    ),
    **{
        f"{solver.__name__}: option of half a character": (
            solver,
            {"xin" if solver is raphson.Broyden1 else "x0": [1.0], "\ud800": 1},
            TypeError,
            "unexpected keyword argument",
        )
        for solver in (raphson.Broyden1, raphson.NewtonSystem, raphson.LeastSquares)
    },
    "root: callback class": (
        root,
        {"callback": raphson.Monitor},
        TypeError,
        r"callback is the class Monitor; pass an instance of it, as in callback=Monitor\(\)",
    ),
    "root: values": (
        root,
        {"fun": lambda x: [1.0]},
        ValueError,
        "fun: expected 2 values, one for each element of x0, got 1",
    ),
    "root: None": (
        root,
        {"fun": lambda x: None},
        TypeError,
        "fun: expected numbers, got NoneType",
    ),
    "root: text": (root, {"fun": lambda x: ["a", "b"]}, TypeError, "fun: expected numbers"),
    "root: ragged": (root, {"fun": lambda x: [[1.0], [1.0, 2]]}, ValueError, "fun: "),
    "root: complex": (root, {"fun": lambda x: x + 1j}, TypeError, "fun: got complex.*x0 is real"),
    "root: no pair": (
        root,
        {"jac": True, "fun": lambda x: 1.0},
        ValueError,
        r"fun must return a pair \(F, J\)",
    ),
    "root: jac shape": (
        root,
        {"jac": lambda x: np.ones((2, 3))},
        ValueError,
        r"jac: expected a Jacobian of shape \(2, 2\), got an array of shape \(2, 3\)",
    ),
    "root: jac flat": (
        root,
        {"jac": lambda x: np.ones(4)},
        ValueError,
        "jac: expected a Jacobian",
    ),
    "root: jac None": (root, {"jac": lambda x: None}, TypeError, "jac: expected numbers"),
    "root: jac complex": (root, {"jac": lambda x: np.eye(2) * 1j}, TypeError, "jac: got complex"),
}


@pytest.mark.parametrize(
    ("call", "arguments", "error", "message"), BAD_INPUT.values(), ids=BAD_INPUT
)
def test_bad_input_is_named(call, arguments, error, message):
    with pytest.raises(error) as caught:
        call(**arguments)
    assert re.search(message, str(caught.value)), str(caught.value)


class Deceiver:
    """Says that it is smaller than it is."""

    shape, dtype = (1, 1), np.dtype(float)

    def tocsc(self):
        return scipy.sparse.csc_array(np.ones((2, 2)))


def test_sparse_jacobians_are_checked():
    sparse = scipy.sparse
    with pytest.raises(ValueError, match="jac: expected a Jacobian of shape"):
        root(x0=[1.0], jac=lambda x: Deceiver())
    broken = sparse.csc_matrix(np.eye(2))
    broken.indices[:] = [5, 7]
    with pytest.raises(ValueError, match=r"index|indices"):
        root(jac=lambda x: broken)
    with pytest.raises(ValueError, match="jac: expected a Jacobian of shape"):
        root(jac=lambda x: sparse.csr_array(np.ones((2, 3))))
    with pytest.raises(TypeError, match="jac: expected numbers of the kind of x0"):
        root(jac=lambda x: sparse.csr_array(np.eye(2) * 1j))


class Custom(BaseException):
    pass


FAULTS = [ValueError, ZeroDivisionError, StopIteration, KeyboardInterrupt, SystemExit, Custom]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("where", ["func", "fprime", "fprime2", "many", "fun", "jac", "callback"])
def test_exceptions_come_through_unchanged(where, fault):
    raised = fault("mine")

    def fail(*args):
        raise raised

    calls = {
        "func": lambda: newton(func=fail),
        "fprime": lambda: newton(fprime=fail),
        "fprime2": lambda: newton(fprime=lambda x: 2 * x, fprime2=fail),
        "many": lambda: newton(x0=[1.0, 2.0], func=fail),
        "fun": lambda: root(fun=fail),
        "jac": lambda: root(jac=fail),
        "callback": lambda: root(callback=fail),
    }
    if where == "callback" and fault is StopIteration:
        assert calls[where]().status == -5
        return
    with pytest.raises(fault) as caught:
        calls[where]()
    assert caught.value is raised
    assert caught.traceback[-1].name == "fail"


class Interrupts:
    def __float__(self):
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    "call",
    [
        lambda: newton(func=lambda x: Interrupts()),
        lambda: newton(tol=Interrupts()),
        lambda: newton(x0=[1.0, 2.0], func=lambda x: [Interrupts(), 1.0]),
        lambda: root(fun=lambda x: [Interrupts(), 1.0]),
        lambda: root(jac=lambda x: [[Interrupts(), 1.0], [1.0, 1.0]]),
    ],
)
def test_interrupts_while_numbers_are_read_come_through(call):
    with pytest.raises(KeyboardInterrupt):
        call()


@pytest.mark.parametrize(
    "solve",
    [
        "raphson.newton(operator.neg, [1.0, 2.0], operator.pos, maxiter=10**12)",
        "raphson.newton(slowly, 1.0, maxiter=10**12)",
        "raphson.root(slowly, [1.0], (), 'newton', "
        "options={'maxiter': 10**12, 'line_search': None, 'xtol': 0})",
    ],
)
def test_interrupts_stop_a_solve(solve):
    # operator.neg and pos run no Python code, so only the solver can let the timer's thread run.
    # raise_signal, because os.kill would end the process on Windows. Where the tests run in the
    # background, a shell may have had Ctrl-C ignored.
    program = f"""
import itertools, math, operator, signal, threading, raphson
signal.signal(signal.SIGINT, signal.default_int_handler)
raphson.root(lambda x: x - 1, [0.0], method='newton')
steps = itertools.count(1)
slowly = lambda x: x * 0 + math.sin(next(steps)) + 2
threading.Timer(0.5, signal.raise_signal, (signal.SIGINT,)).start()
try:
    {solve}
except KeyboardInterrupt:
    print("interrupted")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "interrupted\n", done.stderr


def test_solvers_may_be_called_from_callables():
    def fun(x):
        inner = raphson.newton(lambda y: y * y - 4, 1.0, lambda y: 2 * y)
        return raphson.root(lambda z: z - inner * x, [0.0, 0.0], method="newton").x - [2.0, 6.0]

    assert np.allclose(root(fun=fun).x, [1.0, 3.0])


@pytest.mark.parametrize(
    "function",
    [functools.partial(pow, exp=2), np.square, abs, (3.0).__sub__],
    ids=["partial", "ufunc", "builtin", "bound method"],
)
def test_any_kind_of_callable(function):
    assert isinstance(newton(func=function, disp=False), np.float64)


def test_nothing_is_leaked():
    def cycle():
        newton(fprime=lambda x: 2 * x)
        newton(x0=[1.0, 2.0, 3.0])
        root(jac=lambda x: np.diag(2 * x))
        root(callback=lambda x, f: None)
        with pytest.raises(ZeroDivisionError):
            root(fun=lambda x: 1 / 0)

    def count():
        gc.collect()
        return len(gc.get_objects())

    fun = lambda x: x * x - 2  # noqa: E731
    before = sys.getrefcount(fun)
    root(fun=fun, args=())
    newton(func=fun)
    assert sys.getrefcount(fun) == before
    for _ in range(20):
        cycle()
    start = count()
    for _ in range(100):
        cycle()
    assert count() - start < 50


def test_threads_get_the_same_bits_as_alone():
    rng = np.random.default_rng(1)
    matrices = rng.normal(size=(8, 80, 80))

    def solve(a):
        return raphson.root(
            lambda x: a @ x + 0.1 * x**3 - 1,
            np.ones(80),
            jac=lambda x: a + 0.3 * np.diag(x**2),
            method="newton",
        ).x

    alone = [solve(a) for a in matrices]
    together = [None] * 8

    def work(i):
        for _ in range(5):
            together[i] = solve(matrices[i])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


def test_factorizations_leave_the_interpreter_to_others():
    ticks = []
    stop = threading.Event()

    def tick():
        while not stop.is_set():
            ticks.append(time.perf_counter())
            time.sleep(0.001)

    n = 1500
    a = np.random.default_rng(0).normal(size=(n, n))
    thread = threading.Thread(target=tick)
    times = []

    def jac(x):
        times.append(time.perf_counter())
        return a

    thread.start()
    try:
        raphson.root(
            lambda x: times.append(time.perf_counter()) or x - 1,
            np.zeros(n),
            jac=jac,
            options={"maxiter": 1, "line_search": None},
            method="newton",
        )
    finally:
        stop.set()
        thread.join()
    begun, ended = times[1], times[2]
    during = [t for t in ticks if begun < t < ended]
    assert len(during) >= 3


def test_signals_are_restored():
    handler = signal.getsignal(signal.SIGINT)
    newton()
    assert signal.getsignal(signal.SIGINT) is handler
