"""Arguments and options of every type and size, drawn at random: a documented error or a result.

The quick tests draw some dozens of calls for each solver; ``pytest -m long`` draws thousands.
"""

import decimal
import fractions
import itertools
import pickle
import warnings

import numpy as np
import pytest
import scipy.optimize
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import raphson
from solves import SIMPLE


class Enough(Exception):
    """The function has been called often enough: options may ask for iterations without end."""


class Opaque:
    """Nothing that anybody can use."""


def babble(*args):
    """A function that can be called with anything, and says nothing of use."""
    return "a text"


NUMBERS = [0, 1, 2, 3, 5, 0.5, 1e-3, 1e-8, 10, 1000]
WILD_NUMBERS = [
    *(np.nan, np.inf, -np.inf, 5e-324, -5e-324, 2.2e-308, 1e308, -1e308, -0.0, -1, -1e-3, 1e300),
    *(
        10**18,
        2**63,
        2**64,
        -(2**63),
        10**400,
        -(10**400),
        True,
        False,
        1j,
        1 + 1e-300j,
        np.nan * 1j,
    ),
    *(np.float16(0.1), np.float32(1e-3), np.longdouble(1e-3), np.int8(3), np.uint64(2**64 - 1)),
    *(np.complex64(1), np.bool_(True), decimal.Decimal("1e-3"), fractions.Fraction(1, 3)),
    *(np.array(0.5), np.array([0.5]), np.array([[2]]), np.float64("nan")),
]
GARBAGE = [
    *(
        None,
        "x",
        "",
        "1",
        b"1",
        "\ud800",
        "armijo",
        "svd",
        "nan",
        ...,
        NotImplemented,
        Opaque(),
        Opaque,
    ),
    *(
        (),
        [],
        {},
        set(),
        [[]],
        [1, [2]],
        (1, 2, 3),
        [None],
        ["a"],
        {"a": 1},
        range(3),
        iter([1.0]),
    ),
    *(np.zeros(0), np.zeros((0, 3)), np.ones((2,) * 10), np.array(["a"]), np.array([None])),
    *(np.array("2020", dtype="M8[s]"), np.zeros(2, dtype="V4"), np, slice(1)),
    *(np.nan_to_num, babble),
]

numbers = st.sampled_from(NUMBERS)
wild = st.sampled_from(WILD_NUMBERS)
garbage = st.sampled_from(GARBAGE)
anything = st.one_of(numbers, wild, garbage, st.floats(), st.integers(), st.text(max_size=3))
truths = st.one_of(st.booleans(), anything)


def sensible(*values):
    """Mostly one of these, so that the calls get anywhere."""
    usual = st.sampled_from(values)
    return st.one_of(usual, usual, usual, anything)


tolerances = st.one_of(numbers, numbers, wild, garbage)

DTYPES = [
    "f8",
    "f4",
    "f2",
    "g",
    ">f8",
    "c16",
    "c8",
    "i8",
    "u1",
    "?",
    "O",
    "S3",
    "U3",
    "M8[s]",
    "V3",
]


@st.composite
def arrays(draw, sizes=(0, 1, 1, 2, 2, 3, 3, 4, 17, 1000, 100_000)):
    """Arrays, lists or numbers: every dtype, layout and size."""
    size = draw(st.sampled_from(sizes))
    values = np.linspace(-1, 2, size) if draw(st.booleans()) else np.ones(size)
    if draw(st.integers(0, 3)) == 0 and size:
        place = draw(st.integers(0, size - 1))
        values[place] = draw(
            st.sampled_from([np.nan, np.inf, -np.inf, 5e-324, 1e308, -1e308, 1e200])
        )
    if draw(st.integers(0, 3)) == 0:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dtype = draw(st.sampled_from(DTYPES))
            values = np.zeros(size, dtype) if dtype == "V3" else values.astype("?").astype(dtype)
    layout = draw(st.integers(0, 12))
    if layout == 0:
        values = values[::-1]
    elif layout == 1:
        values = np.repeat(values, 3)[::3]
    elif layout == 2:
        values.flags.writeable = False
    elif layout == 3:
        values = values.tolist()
    elif layout == 4:
        values = np.ma.masked_array(values, mask=np.zeros(size, bool))
    elif layout == 5:
        values = values.reshape(draw(st.sampled_from([(1, -1), (-1, 1)])) if size else (0, 2))
    elif layout == 6 and size:
        values = np.broadcast_to(values[0], (size,))
    elif layout == 7 and size == 1:
        values = values[0]
    return values


starts = st.one_of(arrays(), arrays(), arrays(), anything)

SCALES = st.one_of(sensible("jac", "auto", 1.0), arrays((1, 2, 3, 4)))
BOUNDS = st.one_of(
    st.sampled_from([(-np.inf, np.inf), (-5, 5), (-1, 2), scipy.optimize.Bounds(-3, 3)]),
    st.tuples(arrays((1, 2, 3)), arrays((1, 2, 3))),
    st.tuples(numbers, wild),
    anything,
)

LEAST_SQUARES_OPTIONS = {
    "max_nfev": sensible(1, 5, np.inf),
    "max_dx": tolerances,
    "min_trust_radius": tolerances,
    "scaled_termination": truths,
    "initial_trust_radius": st.one_of(sensible("scipy", "conngould", "mix", 1.0), wild),
    "initial_trust_ratio": tolerances,
    "max_trust_radius": tolerances,
    "tr_increase_threshold": tolerances,
    "tr_decrease_threshold": tolerances,
    "tr_increase_ratio": tolerances,
    "tr_decrease_ratio": tolerances,
    "tr_method": sensible("qr", "svd", "cho"),
    "diff_step": tolerances,
    "nonsense": anything,
}
LEAST_SQUARES = {
    "bounds": BOUNDS,
    "x_scale": SCALES,
    "ftol": tolerances,
    "xtol": tolerances,
    "gtol": tolerances,
    "maxiter": sensible(0, 3, 10**30),
    "options": st.one_of(st.fixed_dictionaries({}, optional=LEAST_SQUARES_OPTIONS), garbage),
}
BROYDEN = {
    "iter": sensible(None, 3),
    "alpha": st.one_of(numbers, wild, garbage),
    "reduction_method": st.one_of(
        sensible("restart", "simple", "svd", ("svd", 1), ("svd", None), ["svd", 0], ("svd", -3)),
        st.tuples(sensible("svd"), anything),
    ),
    "max_rank": sensible(2, 3, np.inf),
    "maxiter": sensible(None, 3, 20),
    "f_tol": tolerances,
    "f_rtol": tolerances,
    "x_tol": tolerances,
    "x_rtol": tolerances,
    "tol_norm": st.one_of(
        st.sampled_from([None, np.linalg.norm, np.max, lambda v: np.nan]), garbage
    ),
    "line_search": sensible("armijo", "wolfe", None, True, False),
}
NEWTON_SYSTEM = {
    "xtol": tolerances,
    "ftol": tolerances,
    "maxiter": sensible(1, 5, 10**30),
    "line_search": sensible("armijo", None),
    "diff_step": tolerances,
}
RULES = sensible("2-point", "3-point", "cs")


class Call:
    """A way into a solver: its name, its arguments and what they are drawn from."""

    def __init__(self, name, call, functions, required=None, **arguments):
        self.name, self.call, self.functions = name, call, functions
        self.arguments = st.fixed_dictionaries(required or {}, optional=arguments)
        # What an error may name.
        self.words = {*functions, *(required or {}), *arguments, *LEAST_SQUARES_OPTIONS, *BROYDEN}
        self.words |= {"line search", "rank reduction method", "to_retain", "tol", "residual"}
        self.words |= {"nit", "fatol", "xatol", "diff_step"}
        # Of the class Opaque, called as a function.
        self.words.add("Opaque()")

    def __str__(self):
        return self.name


def residual(x):
    return 0.5 * np.cos(x) - x


def solved(make):
    """A class with its loop."""

    def call(fun, **arguments):
        return make(**arguments).solve(fun, lambda x: np.diag(-0.5 * np.sin(np.ravel(x)) - 1))

    return call


NEWTON_FUNCTIONS = {
    "func": lambda x: x * x - 2,
    "fprime": lambda x: 2 * x,
    "fprime2": lambda x: 2 + 0 * x,
}
NEWTON = {
    "args": sensible((), []),
    "tol": tolerances,
    "maxiter": sensible(1, 5, 50),
    "x1": numbers,
    "rtol": tolerances,
    "full_output": truths,
    "disp": truths,
}
CALLS = [
    *(
        Call(
            f"newton, {count} functions",
            raphson.newton,
            dict(itertools.islice(NEWTON_FUNCTIONS.items(), count)),
            {"x0": starts},
            **NEWTON,
        )
        for count in (1, 2, 3)
    ),
    Call("broyden1", raphson.broyden1, {"F": residual}, {"xin": starts}, **BROYDEN),
    Call(
        "root: newton",
        raphson.root,
        {"fun": residual},
        {"x0": starts},
        args=sensible(()),
        jac=RULES,
        tol=tolerances,
        options=st.one_of(
            st.fixed_dictionaries({}, optional=NEWTON_SYSTEM | {"nonsense": anything}), garbage
        ),
        callback=sensible(None),
        method=sensible("newton", "NEWTON"),
    ),
    Call(
        "root: broyden1",
        lambda **arguments: raphson.root(**({"method": "broyden1"} | arguments)),
        {"fun": residual},
        {"x0": starts},
        tol=tolerances,
        jac=sensible(None),
        options=st.one_of(
            st.fixed_dictionaries(
                {},
                optional={
                    "nit": BROYDEN["iter"],
                    "maxiter": BROYDEN["maxiter"],
                    "ftol": tolerances,
                    "fatol": tolerances,
                    "xtol": tolerances,
                    "xatol": tolerances,
                    "tol_norm": BROYDEN["tol_norm"],
                    "line_search": BROYDEN["line_search"],
                    "jac_options": st.one_of(
                        st.fixed_dictionaries(
                            {},
                            optional={
                                name: BROYDEN[name]
                                for name in ("alpha", "reduction_method", "max_rank")
                            },
                        ),
                        garbage,
                    ),
                },
            ),
            garbage,
        ),
    ),
    Call(
        "lsqtr",
        lambda **arguments: raphson.lsqtr(**({"verbose": 0} | arguments)),
        {"fun": residual},
        {"x0": starts, "jac": RULES},
        args=sensible(()),
        callback=sensible(None),
        **LEAST_SQUARES,
    ),
    Call("Broyden1", solved(raphson.Broyden1), {"fun": residual}, {"xin": starts}, **BROYDEN),
    Call(
        "NewtonSystem",
        solved(raphson.NewtonSystem),
        {"fun": residual},
        {"x0": starts},
        jac=RULES,
        **NEWTON_SYSTEM,
    ),
    Call(
        "LeastSquares",
        solved(raphson.LeastSquares),
        {"fun": residual},
        {"x0": starts},
        jac=RULES,
        **LEAST_SQUARES,
    ),
]


def limited(function):
    calls = itertools.count()

    def call(x, *args):
        if next(calls) >= (500 if np.size(x) < 100 else 20):
            raise Enough
        return function(x)

    return call


def unchanged(now, then):
    """Whether arguments are what they were; what cannot be compared is let through."""
    if isinstance(then, dict):
        return (
            isinstance(now, dict)
            and now.keys() == then.keys()
            and all(unchanged(now[name], then[name]) for name in then)
        )
    if isinstance(then, np.ndarray):
        return (
            now.dtype == then.dtype and now.shape == then.shape and now.tobytes() == then.tobytes()
        )
    if isinstance(then, list | tuple):
        return len(now) == len(then) and all(map(unchanged, now, then))
    return True


def snapshot(value):
    if isinstance(value, dict):
        return {name: snapshot(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [snapshot(item) for item in value]
    return value.copy() if isinstance(value, np.ndarray) else value


ENDS = (Enough, TypeError, ValueError, RuntimeError, MemoryError, scipy.optimize.NoConvergence)


def error_of(work):
    """The error that something ends with, if it is one of the documented ones."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            work()
    except ENDS as error:
        return error
    return None


def goes_to_scipy(call, arguments):
    """Half and extended precision, and objects: the words are SciPy's own then."""
    return call.name.startswith("newton") and np.asarray(arguments["x0"]).dtype.char in "egGO"


def try_call(call, arguments):
    """A result, or an error that is documented and names what is wrong."""
    before = snapshot(arguments)
    functions = {name: limited(function) for name, function in call.functions.items()}
    error = error_of(lambda: call.call(**functions, **arguments))
    text = str(error)
    if isinstance(error, TypeError | ValueError):
        assert any(word in text for word in call.words) or goes_to_scipy(call, arguments), text
    elif isinstance(error, RuntimeError):
        # SciPy's way to say that newton does not converge.
        assert "Failed to converge" in text or "failed to converge" in text, text
    elif isinstance(error, MemoryError):
        assert any(np.size(value) > 1000 for value in arguments.values())
    assert unchanged(arguments, before)


SILENT = {
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large],
    "deadline": None,
}
each_call = pytest.mark.parametrize("call", CALLS, ids=str)


@each_call
def test_any_arguments(call):
    given(call.arguments)(settings(max_examples=60, **SILENT)(lambda a: try_call(call, a)))()


@pytest.mark.long
@each_call
def test_any_arguments_thousands_of_times(call):
    given(call.arguments)(settings(max_examples=10_000, **SILENT)(lambda a: try_call(call, a)))()


ACTIONS = [
    "ask",
    "tell",
    "tell what is wrong",
    "tell twice",
    "look",
    "save",
    "result",
    "raise",
    "solve wrongly",
]


def act(solver, solve, action, wrong):
    if action == "ask":
        solver.ask()
    elif action == "tell":
        solver.tell(solve.value(*solver.ask()))
    elif action == "tell what is wrong":
        solver.ask()
        solver.tell(wrong)
    elif action == "tell twice":
        what, x = solver.ask()
        value = solve.value(what, x)
        solver.tell(value)
        solver.tell(value)
    elif action == "look":
        repr(solver), solver.x, solver.fun, solver.nit, solver.nfev, solver.step_norm, solver.done
    elif action == "result":
        solver.result()
    elif action == "raise":

        def fail(*_):
            raise Enough

        solver.solve(fail, fail)
    elif action == "solve wrongly":
        solver.solve(lambda x: wrong, lambda x: wrong)


# What no solver takes for a residual or a Jacobian, whatever their sizes are.
NEVER_RIGHT = [
    *(None, "x", b"1", Opaque(), Opaque, {}, set(), [], [[]], [None], ["a"], [1, [2]], ..., np),
    *(np.zeros(0), np.zeros((0, 3)), np.array("2020", dtype="M8[s]"), np.zeros(2, dtype="V4")),
]


def try_actions(solve, actions):
    """Whatever is done with a solver, the rest of the solve is what it would have been."""
    solver = solve.make()
    for action, wrong in actions:
        if action == "save":
            solver = pickle.loads(pickle.dumps(solver))
            continue
        error = error_of(lambda: act(solver, solve, action, wrong))
        if isinstance(error, TypeError | ValueError):
            assert any(name in str(error) for name in ("value", "fun", "jac")), repr(error)
        elif isinstance(error, RuntimeError):
            assert "done" in str(error) or "ask()" in str(error), repr(error)
    found = solver.solve(solve.residual, solve.jacobian).x
    assert np.array_equal(found, solve.make().solve(solve.residual, solve.jacobian).x)


sequences = st.lists(
    st.tuples(st.sampled_from(ACTIONS), st.sampled_from(NEVER_RIGHT)), max_size=30
)
each_solve = pytest.mark.parametrize("solve", SIMPLE, ids=str)


@each_solve
def test_any_sequence_of_actions(solve):
    given(sequences)(settings(max_examples=60, **SILENT)(lambda a: try_actions(solve, a)))()


@pytest.mark.long
@each_solve
def test_any_sequence_of_actions_thousands_of_times(solve):
    given(sequences)(settings(max_examples=5_000, **SILENT)(lambda a: try_actions(solve, a)))()


@pytest.mark.parametrize("method", ["qr", "svd", "cho"])
def test_least_squares_of_more_unknowns_than_there_is_memory_for(method):
    """An allocation that fails in Rust would end the process."""
    n = 100_000
    solver = raphson.LeastSquares(np.ones(n), options={"tr_method": method})
    solver.ask()
    solver.tell([1.0])
    for _ in range(2):
        assert solver.ask().what == "jacobian"
        with pytest.raises(ValueError, match="jac: 100000 unknowns are too many for LAPACK"):
            solver.tell(np.ones((1, n)))
    with pytest.raises(ValueError, match="jac: 100000 unknowns are too many for LAPACK"):
        raphson.lsqtr(lambda x: [x.sum()], np.ones(n), "2-point", verbose=0)


def test_a_jacobian_that_is_larger_than_memory():
    solver = raphson.LeastSquares(np.ones(40_000))
    solver.ask()
    solver.tell(np.zeros(10**7))
    for _ in range(2):
        assert solver.ask().what == "jacobian"
        with pytest.raises(MemoryError, match="jac"):
            solver.tell(np.broadcast_to(1.0, (10**7, 40_000)))
