"""Hostile callables: whatever a function does, at whatever evaluation, nothing is lost or broken.

Each test takes one solver (entries.py) and one behaviour, and lets it strike at every evaluation
of a short solve in turn. Then the same solve goes on, or is made again, and must give the same
bits.
"""

import array
import asyncio
import contextlib
import copy
import functools
import gc
import itertools
import sys
import threading
import time

import numpy as np
import pytest
from scipy.optimize import NoConvergence

import raphson
from entries import CHAIN_START, ENTRIES, Unsuccessful

every_entry = pytest.mark.parametrize("entry", ENTRIES, ids=str)


class Struck:
    """The functions of an entry, one of which misbehaves at one of the evaluations."""

    def __init__(self, entry, at=None, behaviour=None):
        self.entry, self.at, self.behaviour = entry, at, behaviour
        self.evaluations = 0

    @property
    def functions(self):
        # Made here: held by this, they would be a cycle.
        functions = self.entry.functions.items()
        return {name: functools.partial(self._call, function) for name, function in functions}

    def _call(self, function, x):
        self.evaluations += 1
        if self.evaluations - 1 == self.at:
            return self.behaviour(function, x)
        return function(x)


def evaluations(entry):
    honest = Struck(entry)
    entry.solve(honest.functions)
    return honest.evaluations


STARTS = [entry.start for entry in ENTRIES]
VALUES = copy.deepcopy(STARTS)
FUNCTIONS = [function for entry in ENTRIES for function in entry.functions.values()]


def holders():
    """How many hold the users' objects."""
    return [sys.getrefcount(item) for item in STARTS + FUNCTIONS]


@pytest.fixture(autouse=True)
def users_objects_are_left_alone():
    before = holders()
    yield
    if holders() != before:
        # Exceptions hold the frames that they went through, in cycles.
        gc.collect()
    assert holders() == before
    assert all(map(np.array_equal, STARTS, VALUES))


def expect_error(entry, behaviour, kinds, check=lambda error: True, first=0):
    """Strikes at every evaluation; the error is right, and the solve goes on from there."""
    honest = entry.solve()
    for at in range(first, evaluations(entry)):
        solve = entry.begin(entry.start)
        with pytest.raises(kinds) as caught:
            solve(Struck(entry, at, behaviour).functions)
        assert type(caught.value).__name__ != "PanicException"
        assert check(caught.value), (at, caught.value)
        del caught
        assert np.array_equal(solve(entry.functions), honest), at


class Custom(BaseException):
    """Like nothing that anybody knows."""


class Mute(Exception):
    """Cannot be printed."""

    def __str__(self):
        raise TypeError("no words")

    __repr__ = __str__


FAULTS = [
    ValueError,
    TypeError,
    AttributeError,
    IndexError,
    OverflowError,
    StopIteration,
    StopAsyncIteration,
    RuntimeError,
    RecursionError,
    MemoryError,
    ImportError,
    NoConvergence,
    np.linalg.LinAlgError,
    FloatingPointError,
    KeyboardInterrupt,
    SystemExit,
    GeneratorExit,
    asyncio.CancelledError,
    Custom,
    Mute,
]


@every_entry
def test_exceptions_come_out_as_they_are(entry):
    for fault in FAULTS:
        error = fault("mine")

        def fail(function, x, error=error):
            raise error

        held = sys.getrefcount(error)
        expect_error(entry, fail, fault, lambda caught, error=error: caught is error)
        error.__traceback__ = None
        assert sys.getrefcount(error) == held


class InItsNumbers:
    """A number that raises when it is read."""

    def __init__(self, error):
        self.error = error

    def __float__(self):
        raise self.error


class InItsArray(InItsNumbers):
    def __array__(self, dtype=None, copy=None):
        raise self.error


@every_entry
@pytest.mark.parametrize("kind", [InItsNumbers, InItsArray])
def test_exceptions_while_values_are_read_come_out(entry, kind):
    for fault in (KeyboardInterrupt, ZeroDivisionError):
        error = fault("mine")

        def answer(function, x, error=error):
            return like(function(x), lambda value: spoilt(value, kind(error)))

        expect_error(entry, answer, fault, lambda caught, error=error: caught is error)


def spoilt(value, item):
    """The value with something else in its last place."""
    if isinstance(item, InItsArray):
        return item
    numbers = np.array(dense(value), dtype=object)
    numbers[(-1,) * numbers.ndim] = item
    return numbers


def dense(value):
    return value.toarray() if hasattr(value, "toarray") else value


def like(value, change):
    """The value changed; of a pair, its residual."""
    return (change(value[0]), value[1]) if isinstance(value, tuple) else change(value)


NO_NUMBERS = {
    "None": lambda value: None,
    "text": lambda value: "value",
    "digits": lambda value: "1.5",
    "bytes": lambda value: b"value",
    "object": lambda value: object(),
    "dict": lambda value: {0: value},
    "set": lambda value: {1.5},
    "class": lambda value: np.ndarray,
    "module": lambda value: np,
    "Ellipsis": lambda value: ...,
    "NotImplemented": lambda value: NotImplemented,
    "generator": lambda value: (number for number in np.ravel(dense(value))),
    "iterator": lambda value: iter([1.0]),
    "function": lambda value: dense,
    "Nones": lambda value: np.full(np.shape(value), None),
    "texts": lambda value: np.full(np.shape(value), "a"),
    "dates": lambda value: np.full(np.shape(value), "2020-01-01", dtype="datetime64[s]"),
    "durations": lambda value: np.full(np.shape(value), 1, dtype="timedelta64[s]"),
    "records": lambda value: np.zeros(np.shape(value), dtype=[("a", float)]),
    "void": lambda value: np.zeros(np.shape(value), dtype="V8"),
    "ragged": lambda value: [[1.0], [1.0, 2.0]],
    "of itself": lambda value: cyclic(),
    "huge": lambda value: np.full(np.shape(value), 10**400, dtype=object),
    "solver": lambda value: raphson.Broyden1([1.0]),
}

WRONG_SHAPES = {
    "empty": lambda value: [],
    "empty rows": lambda value: np.zeros((0, 3)),
    "too many": lambda value: np.ones(np.size(dense(value)) + 1),
    "twice as many": lambda value: np.stack([np.ones(np.shape(value))] * 2),
    "deep": lambda value: np.ones((2,) * 20)[..., None],
    "very deep": lambda value: np.ones((2,) + (1,) * 50),
    # More than any machine has, in the memory of one number.
    "endless": lambda value: np.broadcast_to(1.5, (10**6, 10**9)),
}


def cyclic():
    items = []
    items.append(items)
    return items


def names_the_function(error):
    text = str(error)
    return any(
        text.startswith(name) for name in ("F", "func", "fprime", "fun", "jac", "value")
    ) or text.startswith(tuple(f"expected {n}" for n in range(9)))


@every_entry
@pytest.mark.parametrize("values", [NO_NUMBERS], ids=["no numbers"])
def test_what_is_not_numbers_is_an_error_that_names_the_function(entry, values):
    for name, change in values.items():
        expect_error(
            entry,
            lambda function, x, change=change: like(function(x), change),
            (TypeError, ValueError),
            lambda error, name=name: names_the_function(error) or pytest.fail(f"{name}: {error}"),
        )


@every_entry
def test_wrong_shapes_are_errors_that_name_the_function(entry):
    for name, change in WRONG_SHAPES.items():
        expect_error(
            entry,
            lambda function, x, change=change: like(function(x), change),
            (ValueError, MemoryError) if name == "endless" else ValueError,
            lambda error, name=name: (
                isinstance(error, MemoryError)
                or names_the_function(error)
                or pytest.fail(f"{name}: {error}")
            ),
            # The first residuals say how many there are.
            first=int(entry.free_count and name != "empty"),
        )


@pytest.mark.parametrize("entry", [e for e in ENTRIES if not e.takes_complex], ids=str)
def test_complex_values_of_real_problems_are_errors(entry):
    expect_error(
        entry,
        lambda function, x: like(function(x), lambda value: dense(value) + 1j),
        TypeError,
        lambda error: names_the_function(error) and "complex" in str(error),
    )


class Subclass(np.ndarray):
    """An array that is more than that."""

    def __array_finalize__(self, parent):
        self.tag = getattr(parent, "tag", "new")


class OnlyArray:
    """All that NumPy needs to know."""

    def __init__(self, value):
        self.value = value

    def __array__(self, dtype=None, copy=None):
        return self.value


class OnlyInterface:
    def __init__(self, value):
        self.value = value
        self.__array_interface__ = value.__array_interface__


class Float(float):
    """A float that is more than that."""


def unaligned(value):
    memory = np.zeros(value.nbytes + 1, dtype=np.uint8)[1:]
    out = memory.view(value.dtype).reshape(value.shape)
    out[...] = value
    return out


def read_only(value):
    out = value.copy()
    out.flags.writeable = False
    return out


def strided(value):
    wide = np.full((*value.shape, 3), np.nan)
    wide[..., 1] = value
    return wide[..., 1]


def field(value):
    """Elements that are not whole elements apart."""
    records = np.zeros(value.shape, dtype=[("flag", "u1"), ("number", float)])
    records["number"] = value
    return records["number"]


DISGUISES = {
    "read-only": read_only,
    "Fortran order": np.asfortranarray,
    "backwards": lambda value: np.ascontiguousarray(value[::-1])[::-1],
    "strided": strided,
    "field": field,
    "unaligned": unaligned,
    "other byte order": lambda value: value.astype(">f8"),
    "long": lambda value: value.astype(np.longdouble),
    "subclass": lambda value: value.view(Subclass),
    "memory map": lambda value: value.view(np.memmap),
    "masked": np.ma.masked_array,
    "all masked": lambda value: np.ma.masked_array(value, mask=True),
    "record array": lambda value: value.view(np.recarray),
    "objects": lambda value: value.astype(object),
    "list": lambda value: value.tolist(),
    "tuple": lambda value: tuple(value.tolist()),
    "floats": lambda value: [Float(v) for v in value] if value.ndim == 1 else value.tolist(),
    "array": lambda value: array.array("d", value) if value.ndim == 1 else value,
    "memoryview": memoryview,
    "only __array__": OnlyArray,
    "only an interface": OnlyInterface,
}


def disguised(value, change):
    """The same numbers as something else; sparse matrices, complex and Python numbers stay."""
    if isinstance(value, tuple):
        return tuple(disguised(part, change) for part in value)
    real = isinstance(value, np.ndarray) and value.ndim and value.dtype == float
    return change(value) if real else value


@every_entry
@pytest.mark.parametrize("change", DISGUISES.values(), ids=DISGUISES)
def test_numbers_are_numbers_whatever_they_come_in(entry, change):
    struck = Struck(entry)
    honest = entry.solve()
    found = entry.solve(
        {
            name: lambda x, function=function: disguised(function(x), change)
            for name, function in struck.functions.items()
        }
    )
    assert np.array_equal(found, honest)


def overwrite(x):
    x[...] = np.nan


def resize(x):
    x.resize((2, 50), refcheck=False)
    x[...] = np.nan


def reshape(x):
    x.resize((1, x.size, 1), refcheck=False)


def retype(x):
    x.dtype = np.uint8


def lock(x):
    x.flags.writeable = False


def point_elsewhere(x):
    # Recent releases of NumPy do not allow it.
    with contextlib.suppress(AttributeError):
        x.data = _ELSEWHERE[: x.size].data


_ELSEWHERE = np.zeros(10**5)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("meddle", [overwrite, resize, reshape, retype, lock, point_elsewhere])
@pytest.mark.parametrize(
    "entry", [e for e in ENTRIES if not e.shares_points and np.ndim(e.start)], ids=str
)
def test_points_may_be_meddled_with(entry, meddle):
    def value_first(function, x):
        value = function(x)
        if x.dtype == float:
            meddle(x)
        return value

    honest = entry.solve()
    for at in range(evaluations(entry)):
        assert np.array_equal(entry.solve(Struck(entry, at, value_first).functions), honest)
    everywhere = {
        name: functools.partial(value_first, function)
        for name, function in entry.functions.items()
    }
    assert np.array_equal(entry.solve(everywhere), honest)
    assert not _ELSEWHERE.any()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("meddle", [overwrite, resize, reshape, retype, lock, point_elsewhere])
def test_long_points_may_be_meddled_with(meddle):
    """Their memory is used again where nobody holds it."""

    def fun(x):
        value = np.cos(x) - x
        meddle(x)
        return value

    start = np.linspace(0, 1, 10**5)
    honest = raphson.broyden1(lambda x: np.cos(x) - x, start)
    assert np.array_equal(raphson.broyden1(fun, start), honest)
    assert not _ELSEWHERE.any()


@every_entry
def test_points_may_be_kept(entry):
    kept = []

    def keep(function, x):
        kept.append((x, copy.copy(x)))
        return function(x)

    functions = {
        name: functools.partial(keep, function) for name, function in entry.functions.items()
    }
    assert np.array_equal(entry.solve(functions), entry.solve())
    assert len(kept) == evaluations(entry)
    assert all(np.array_equal(x, then) for x, then in kept)


@every_entry
def test_one_buffer_for_all_answers(entry):
    """Answers overlap with each other; those that were read may change."""
    buffers = {}

    def reuse(function, x):
        value = function(x)
        if not isinstance(value, np.ndarray):
            return value
        buffer = buffers.setdefault((*value.shape, value.dtype), np.empty_like(value))
        buffer[...] = value
        return buffer

    functions = {
        name: functools.partial(reuse, function) for name, function in entry.functions.items()
    }
    assert np.array_equal(entry.solve(functions), entry.solve())


@every_entry
def test_answers_may_be_resized_later(entry):
    given = []

    def later(function, x):
        for old in given:
            old.resize((7,), refcheck=False)
        given.clear()
        value = function(x)
        if isinstance(value, np.ndarray):
            value = value.copy()
            given.append(value)
        return value

    functions = {
        name: functools.partial(later, function) for name, function in entry.functions.items()
    }
    assert np.array_equal(entry.solve(functions), entry.solve())


class Shrinks:
    """A number that makes the array that it is in shorter when it is read."""

    def __init__(self, number):
        self.number = number
        self.home = None

    def __float__(self):
        if self.home is not None:
            self.home.resize((1,) * self.home.ndim, refcheck=False)
        return self.number


@pytest.mark.parametrize("entry", [e for e in ENTRIES if np.ndim(e.start)], ids=str)
@pytest.mark.parametrize("place", [0, -1])
def test_answers_may_be_resized_while_they_are_read(entry, place):
    def shrinking(function, x):
        value = function(x)
        if not isinstance(value, np.ndarray) or np.iscomplexobj(value):
            return value
        items = value.astype(object)
        items.flat[place] = item = Shrinks(items.flat[place])
        item.home = items
        return items

    functions = {
        name: functools.partial(shrinking, function) for name, function in entry.functions.items()
    }
    assert np.array_equal(entry.solve(functions), entry.solve())


def collect(x):
    gc.collect(1)


def sleep(x):
    time.sleep(1e-6)


def in_a_thread(x):
    thread = threading.Thread(target=np.sum, args=(x,))
    thread.start()
    thread.join()


def abandon_a_thread(x):
    threading.Thread(target=time.sleep, args=(1e-3,), daemon=True).start()


def solve_another(x):
    raphson.newton(lambda y: y * y - 4, 1.0)
    raphson.root(lambda y: y * y - 4, [1.0], jac=lambda y: [[2 * y[0]]], method="newton")
    raphson.broyden1(lambda y: np.cos(y) - y, [1.0])
    raphson.lsqtr(lambda y: y * y - 4, [1.0], "2-point", verbose=0)


def change_recursion_limit(x):
    sys.setrecursionlimit(sys.getrecursionlimit() + 1)


def raise_and_catch(x):
    with contextlib.suppress(ZeroDivisionError):
        raphson.root(lambda y: 1 / 0, [1.0], method="newton")


@every_entry
@pytest.mark.parametrize(
    "act",
    [
        collect,
        sleep,
        in_a_thread,
        abandon_a_thread,
        solve_another,
        raise_and_catch,
        change_recursion_limit,
    ],
)
def test_functions_may_do_anything_else(entry, act):
    limit = sys.getrecursionlimit()

    def busy(function, x):
        act(x)
        value = function(x)
        act(x)
        return value

    honest = entry.solve()
    for at in range(evaluations(entry)):
        assert np.array_equal(entry.solve(Struck(entry, at, busy).functions), honest)
    sys.setrecursionlimit(limit)


@every_entry
def test_a_solve_within_every_evaluation(entry):
    """The same solve again, within itself, two levels deep."""
    honest = entry.solve()
    levels = itertools.count()

    def recurse(function, x):
        if next(levels) < 2:
            assert np.array_equal(entry.solve(Struck(entry, 1, recurse).functions), honest)
        return function(x)

    for at in range(evaluations(entry)):
        levels = itertools.count()
        assert np.array_equal(entry.solve(Struck(entry, at, recurse).functions), honest)


def test_endless_recursion_is_a_recursion_error():
    for entry in ENTRIES:

        def forever(function, x, entry=entry):
            return entry.solve(Struck(entry, 0, forever).functions)

        limit = sys.getrecursionlimit()
        sys.setrecursionlimit(400)
        try:
            with pytest.raises(RecursionError):
                entry.solve(Struck(entry, 0, forever).functions)
        finally:
            sys.setrecursionlimit(limit)


class Bound:
    def __init__(self, function):
        self.function = function

    def method(self, x):
        return self.function(x)

    __call__ = method

    @classmethod
    def of_class(cls, function, x):
        return function(x)


KINDS = {
    "partial": lambda function: functools.partial(Bound.of_class, function),
    "bound method": lambda function: Bound(function).method,
    "instance": Bound,
    "cached": lambda function: functools.wraps(function)(lambda x: function(x)),
    "builtin": lambda function: function.__call__,
    "vectorcall of C": lambda function: functools.partial(map_one, function),
    "generator's send": lambda function: running(function).send,
}


def map_one(function, x):
    return next(map(function, [x]))


def running(function):
    """A generator that waits for x."""

    def run():
        value = None
        while True:
            value = function((yield value))

    generator = run()
    next(generator)
    return generator


@every_entry
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_callables_of_every_kind(entry, kind):
    functions = {name: kind(function) for name, function in entry.functions.items()}
    assert np.array_equal(entry.solve(functions), entry.solve())


@every_entry
def test_generator_functions_and_coroutines_are_no_functions(entry):
    for asynchronous in (False, True):

        def wrapped(function, x, asynchronous=asynchronous):
            async def coroutine():
                return function(x)

            def generator():
                yield function(x)

            if not asynchronous:
                return generator()
            pending = coroutine()
            pending.close()
            return pending

        expect_error(entry, wrapped, (TypeError, ValueError))


ENDS = (Unsuccessful, NoConvergence, ValueError, RuntimeError)


@every_entry
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(
    "value",
    [np.nan, np.inf, 1e308]
    + [pytest.param(value, marks=pytest.mark.long) for value in (-np.inf, -1e308, 5e-324, 0.0)],
)
@pytest.mark.parametrize("whole", [False, True], ids=["an element", "everything"])
@pytest.mark.parametrize("on", [False, True], ids=["once", "from there on"])
def test_wild_numbers_end_the_solve_or_do_not_harm_it(entry, value, whole, on):
    """A solution of finite numbers, or an error; in any case soon."""
    for at in range(evaluations(entry)):
        struck = Struck(entry, at)

        def wild(function, x, struck=struck):
            struck.at = struck.evaluations if on else None
            assert struck.evaluations < 10**5
            return flooded(function(x), value, whole)

        struck.behaviour = wild
        with contextlib.suppress(*ENDS):
            found = entry.solve(struck.functions)
            assert np.shape(found) == np.shape(entry.start)
            assert np.isfinite(found).all() or "newton" in entry.name


def flooded(value, number, whole):
    if isinstance(value, tuple):
        return tuple(flooded(part, number, whole) for part in value)
    if np.ndim(dense(value)) == 0 or not isinstance(value, np.ndarray):
        return value * 0 + number if np.ndim(value) == 0 else value * number
    out = value.copy()
    out[(...,) if whole else (-1,) * out.ndim] = number
    return out


@every_entry
def test_subclasses_of_arrays_as_starting_points(entry):
    if np.ndim(entry.start) == 0:
        pytest.skip("a number")
    honest = entry.solve()
    for change in (read_only, strided, field, unaligned, lambda x: x.view(Subclass)):
        start = change(entry.start)
        kind = type(start)
        assert np.array_equal(entry.begin(start)(entry.functions), honest)
        assert type(start) is kind


@every_entry
def test_the_starting_point_may_change_under_the_solve(entry):
    """It was copied."""
    if np.ndim(entry.start) == 0:
        pytest.skip("a number")
    start = entry.start.copy()

    def overwriting(function, x):
        value = function(x)
        start[...] = np.nan
        return value

    solve = entry.begin(start)
    assert np.array_equal(solve(Struck(entry, 0, overwriting).functions), entry.solve())


class UnreadableShape:
    """A Jacobian that NumPy can read, with an attribute that nobody can."""

    def __init__(self, value):
        self.value = value

    def __array__(self, dtype=None, copy=None):
        return self.value

    @property
    def shape(self):
        raise KeyboardInterrupt


def test_a_jacobian_is_taken_as_a_whole_or_not_at_all():
    solver = raphson.LeastSquares([1.0, 2.0])
    solver.ask()
    solver.tell([1.0, 2.0])
    solver.ask()
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            solver.tell(UnreadableShape(np.eye(2)))
        assert solver.njev == 0
        assert solver.ask().what == "jacobian"


class TestJax:
    """Functions compiled by JAX, of arrays of either library."""

    @pytest.fixture(autouse=True)
    def in_double_precision(self):
        jax = pytest.importorskip("jax")
        before = jax.config.jax_enable_x64
        jax.config.update("jax_enable_x64", True)
        yield
        jax.config.update("jax_enable_x64", before)

    @pytest.fixture(params=["numpy", "jax"])
    def start(self, request):
        import jax.numpy as jnp

        return CHAIN_START.copy() if request.param == "numpy" else jnp.asarray(CHAIN_START)

    @staticmethod
    def chain(x):
        import jax.numpy as jnp

        return x - 0.5 * jnp.cos(x + 0.3 * jnp.roll(x, 1))

    def test_compiled_functions(self, start):
        import jax

        fun, jac = jax.jit(self.chain), jax.jit(jax.jacfwd(self.chain))
        solver = raphson.NewtonSystem(start)
        roots = [
            raphson.root(fun, start, jac=jac, method="newton").x,
            raphson.root(lambda x: (fun(x), jac(x)), start, jac=True, method="newton").x,
            raphson.root(fun, start, jac="2-point", method="newton").x,
            raphson.broyden1(fun, start, f_tol=1e-12),
            raphson.lsqtr(fun, start, jac, verbose=0, gtol=1e-12).x,
            solver.solve(fun, jac).x,
        ]
        for root in roots:
            assert type(root) is type(start)
            assert np.allclose(root, roots[0], rtol=1e-9)

    def test_errors_while_tracing_come_out(self, start):
        import jax

        @jax.jit
        def depends_on_values(x):
            return x if x[0] > 0 else -x

        for call in (
            lambda: raphson.root(depends_on_values, start, method="newton"),
            lambda: raphson.broyden1(depends_on_values, start),
            lambda: raphson.lsqtr(depends_on_values, start, "2-point", verbose=0),
        ):
            with pytest.raises(jax.errors.TracerBoolConversionError):
                call()

    def test_tracers_are_no_numbers(self, start):
        import jax

        leaked = []
        jax.jit(lambda x: leaked.append(x) or x)(start)
        for call in (
            lambda: raphson.root(lambda x: leaked[0], start, method="newton"),
            lambda: raphson.broyden1(lambda x: leaked[0], start),
            lambda: raphson.lsqtr(lambda x: leaked[0], start, "2-point", verbose=0),
            lambda: raphson.root(lambda x: x, leaked[0], method="newton"),
        ):
            with pytest.raises((jax.errors.UnexpectedTracerError, TypeError)):
                call()

    def test_solvers_cannot_be_traced(self):
        import jax
        import jax.numpy as jnp

        for solve in (
            lambda x: raphson.root(self.chain, x, method="newton").x,
            lambda x: raphson.broyden1(self.chain, x),
            lambda x: raphson.lsqtr(self.chain, x, "2-point", verbose=0).x,
            lambda x: raphson.newton(lambda y: y * y - 2, x),
        ):
            with pytest.raises((jax.errors.TracerArrayConversionError, TypeError)):
                jax.jit(solve)(jnp.asarray(CHAIN_START))

    def test_wrong_shapes_and_wild_numbers(self, start):
        import jax
        import jax.numpy as jnp

        with pytest.raises(ValueError, match="fun: expected 3 values"):
            raphson.root(jax.jit(lambda x: x[:2]), start, method="newton")
        with pytest.raises(ValueError, match=r"F: .*infs or NaNs"):
            raphson.broyden1(jax.jit(lambda x: x * jnp.nan), start)
        fit = raphson.lsqtr(jax.jit(lambda x: x * jnp.inf), start, "2-point", verbose=0)
        assert fit.status == -5
