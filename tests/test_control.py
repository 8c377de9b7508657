"""Solvers that are asked and told: the same solves as the functions, and misuse."""

import collections
import gc
import weakref

import numpy as np
import pytest

import raphson
from solves import SIMPLE, SOLVES


def questions_of(solver, solve):
    """Every question of a solver with its answer, in order."""
    questions = []
    while not solver.done:
        what, x = solver.ask()
        questions.append((what, x.copy()))
        solver.tell(solve.value(what, x))
    return questions


def same_questions(a, b):
    return len(a) == len(b) and all(
        what == other and x.dtype == y.dtype and np.array_equal(x, y)
        for (what, x), (other, y) in zip(a, b, strict=True)
    )


@pytest.mark.parametrize("solve", SOLVES, ids=str)
def test_the_functions_are_the_solvers_with_a_loop(solve):
    asked = []

    def recorded(what, function):
        def call(x):
            asked.append((what, x.copy()))
            return function(x)

        return function and call

    found = solve.call(recorded("residual", solve.residual), recorded("jacobian", solve.jacobian))
    solver = solve.make()
    questions = questions_of(solver, solve)
    assert len(questions) > 3
    assert same_questions(questions, asked)
    assert np.array_equal(solver.result().x, found)


@pytest.mark.parametrize("solve", SOLVES, ids=str)
def test_solve_is_the_same_loop(solve):
    by_hand = solve.make()
    questions_of(by_hand, solve)
    expected, result = by_hand.result(), solve.make().solve(solve.residual, solve.jacobian)
    assert result.keys() == expected.keys()
    for name in result:
        if name == "allx":
            assert all(map(np.array_equal, result[name], expected[name]))
        elif scipy_sparse(result[name]):
            assert (result[name] != expected[name]).nnz == 0
        else:
            assert np.array_equal(result[name], expected[name]), name


def scipy_sparse(value):
    return hasattr(value, "nnz")


@pytest.mark.parametrize("solve", SOLVES, ids=str)
def test_figures_follow_the_solve(solve):
    solver = solve.make()
    assert (solver.nit, solver.nfev, solver.step_norm, solver.fun) == (0, 0, 0.0, None)
    assert np.array_equal(solver.x, solve.start)
    last, iterations = solver.x, 0
    while not solver.done:
        what, x = solver.ask()
        solver.tell(solve.value(what, x))
        if solver.nit == iterations:
            continue
        assert solver.nit == iterations + 1
        iterations = solver.nit
        step = np.linalg.norm((solver.x - last).astype(complex))
        precision = 1e-4 if solver.x.dtype == np.float32 else 1e-9
        size = np.linalg.norm(last.astype(complex))
        assert step == pytest.approx(solver.step_norm, rel=precision, abs=precision * size)
        last = solver.x
        residual = np.asarray(solve.residual(last))
        assert np.allclose(solver.fun, residual.reshape(solver.fun.shape), rtol=1e-6)
        if isinstance(solver, raphson.LeastSquares):
            assert solver.cost == pytest.approx(0.5 * np.sum(residual**2), rel=1e-12)
            assert solver.trust_radius > 0
            assert solver.optimality >= 0
        else:
            assert solver.residual_norm == pytest.approx(np.linalg.norm(residual), rel=1e-5)
    assert iterations == solver.nit > 1
    result = solver.result()
    if "njev" in result:
        assert result.njev == solver.njev
    assert result.nfev == solver.nfev


@pytest.mark.parametrize("solve", SIMPLE, ids=str)
class TestMisuse:
    """Every mistake is an error, and the solve goes on as if it had not been made."""

    def finish(self, solver, solve):
        expected = questions_of(solve.make(), solve)
        rest = questions_of(solver, solve)
        assert same_questions(rest, expected[-len(rest) :])
        assert np.array_equal(solver.result().x, solve.call(solve.residual, solve.jacobian))

    def test_asking_twice_gives_the_same_question(self, solve):
        solver = solve.make()
        for _ in range(5):
            first, second = solver.ask(), solver.ask()
            assert first.what == second.what
            assert np.array_equal(first.x, second.x)
            assert first.x is not second.x
            solver.tell(solve.value(*second))
        self.finish(solver, solve)

    def test_telling_what_was_not_asked(self, solve):
        solver = solve.make()
        with pytest.raises(RuntimeError, match=r"ask\(\) comes first"):
            solver.tell(solve.residual(solve.start))
        value = solve.value(*solver.ask())
        solver.tell(value)
        with pytest.raises(RuntimeError, match=r"ask\(\) comes first"):
            solver.tell(value)
        assert solver.nfev == 1
        self.finish(solver, solve)

    def test_wrong_values(self, solve):
        solver = solve.make()
        count = 0
        while not solver.done and count < 12:
            count += 1
            what, x = solver.ask()
            figures = solver.nit, solver.nfev
            value = np.asarray(solve.value(what, x))
            # The first residual says how many there are.
            free = solve.solver is raphson.LeastSquares and solver.nfev == 0
            shapes = [] if free else [value[:-1], value[None].repeat(2, 0), 1.5]
            for wrong in [[], [[]], *shapes]:
                with pytest.raises(ValueError, match=r"value: expected"):
                    solver.tell(wrong)
            for wrong in (None, "text", [None] * len(value), {}, object(), value.astype("S8")):
                with pytest.raises((TypeError, ValueError), match="value"):
                    solver.tell(wrong)
            if solve.solver is not raphson.Broyden1:
                with pytest.raises(TypeError, match="complex"):
                    solver.tell(value + 1j)
            assert (solver.nit, solver.nfev) == figures
            assert not solver.done
            solver.tell(value)
        self.finish(solver, solve)

    def test_results_come_at_the_end(self, solve):
        solver = solve.make()
        for _ in range(3):
            with pytest.raises(RuntimeError, match="not done"):
                solver.result()
            solver.tell(solve.value(*solver.ask()))
        self.finish(solver, solve)

    def test_nothing_comes_after_the_end(self, solve):
        solver = solve.make()
        questions_of(solver, solve)
        result = solver.result()
        with pytest.raises(RuntimeError, match="done"):
            solver.ask()
        with pytest.raises(RuntimeError, match="done"):
            solver.tell(result.fun)
        solver.stop()
        again = solver.result()
        assert again.keys() == result.keys()
        assert again.message == result.message
        assert np.array_equal(again.x, result.x)

    def test_values_given_out_are_the_users(self, solve):
        solver = solve.make()
        while not solver.done:
            what, x = solver.ask()
            value = solve.value(what, x.copy())
            x[...] = np.nan
            solver.x[...] = np.nan
            if solver.fun is not None:
                solver.fun[...] = np.nan
            solver.tell(value)
            if isinstance(value, np.ndarray):
                value[...] = np.nan
        assert np.array_equal(solver.result().x, solve.call(solve.residual, solve.jacobian))

    def test_nobody_tells_behind_the_loops_back(self, solve):
        solver = solve.make()

        def residual(x):
            if solver.nfev == 1:
                solver.ask()
                solver.tell(solve.residual(x))
            return solve.residual(x)

        with pytest.raises(RuntimeError, match="told another value while fun was evaluated"):
            solver.solve(residual, solve.jacobian)
        self.finish(solver, solve)

    def test_a_solve_within_its_own_function_is_finished_there(self, solve):
        solver = solve.make()
        inner = []

        def residual(x):
            if solver.nfev == 2 and not inner:
                inner.append(None)
                inner[0] = solver.solve(solve.residual, solve.jacobian)
            return solve.residual(x)

        with pytest.raises(RuntimeError, match="told another value"):
            solver.solve(residual, solve.jacobian)
        assert np.array_equal(inner[0].x, solve.call(solve.residual, solve.jacobian))
        assert solver.done

    def test_an_exception_leaves_the_solver_where_it_was(self, solve):
        solver = solve.make()
        calls = 0

        def sometimes(x):
            nonlocal calls
            calls += 1
            if calls % 3 == 0:
                raise ConnectionError("try again")
            return solve.residual(x)

        for _ in range(200):
            try:
                result = solver.solve(sometimes, solve.jacobian)
                break
            except ConnectionError:
                continue
        assert calls > 6
        assert np.array_equal(result.x, solve.call(solve.residual, solve.jacobian))
        assert result.nfev == calls - calls // 3

    def test_stop(self, solve):
        with pytest.raises(RuntimeError, match="too early"):
            solve.make().stop()
        total = len(questions_of(solve.make(), solve))
        for count in range(1, total):
            for asked in (False, True):
                solver = solve.make()
                for _ in range(count):
                    solver.tell(solve.value(*solver.ask()))
                if solver.done:
                    continue
                if asked:
                    solver.ask()
                x, fun, nit = solver.x, solver.fun, solver.nit
                solver.stop()
                assert solver.done
                result = solver.result()
                assert np.array_equal(result.x, x)
                assert np.array_equal(result.fun, fun)
                assert not result.success
                assert solver.nit == nit
                with pytest.raises(RuntimeError, match="done"):
                    solver.ask()

    def test_unknown_options(self, solve):
        with pytest.raises(TypeError, match="unexpected keyword argument 'nonsense'"):
            solve.solver(solve.start, nonsense=1)
        with pytest.raises(TypeError, match="unexpected keyword argument 'verbose'"):
            solve.solver(solve.start, verbose=1)

    def test_cycles_are_collected(self, solve):
        class Holder:
            pass

        holder = Holder()

        class Array(np.ndarray):
            pass

        start = solve.start.view(Array)
        start.holder = holder
        holder.solver = solve.solver(start, **solve.options)
        gone = weakref.ref(holder)
        del holder, start
        gc.collect()
        assert gone() is None


def test_a_full_step_keeps_the_iterate():
    """With line_search=None x itself is moved, but not for those who look at it."""
    solver = raphson.Broyden1([1.0, 3.0], line_search=None)
    for _ in range(4):
        what, x = solver.ask()
        before = solver.x
        solver.tell(np.cos(x) - x)
        assert what == "residual"
    assert not np.array_equal(solver.x, before)
    kept = solver.x
    _, asked = solver.ask()
    assert np.array_equal(solver.x, kept)
    assert not np.array_equal(asked, kept)
    solver.stop()
    assert np.array_equal(solver.result().x, kept)


def test_a_missing_jacobian_is_named():
    with pytest.raises(TypeError, match="jac is missing"):
        raphson.NewtonSystem([1.0]).solve(np.cos)
    with pytest.raises(TypeError, match="jac must be callable, True or None"):
        raphson.LeastSquares([1.0]).solve(np.cos, "2-point")
    with pytest.raises(ValueError, match="jac must be 'exact', '2-point', '3-point' or 'cs'"):
        raphson.LeastSquares([1.0], "exactly")


@pytest.mark.parametrize(
    "returned",
    [
        lambda f, j: np.array([*f]),
        lambda f, j: [*f],
        lambda f, j: (*f,),
        lambda f, j: np.array([f, f]),
        lambda f, j: {"f": f, "j": j},
        lambda f, j: f[0],
    ],
)
def test_what_is_no_pair_is_not_taken_apart(returned):
    def fun(x):
        return returned(x**2 - 2, np.diag(2 * x))

    for solver in (raphson.NewtonSystem([1.0, 2.0]), raphson.LeastSquares([1.0, 2.0])):
        with pytest.raises(ValueError, match=r"fun must return a pair \(F, J\) where jac is True"):
            solver.solve(fun, True)


@pytest.mark.parametrize("kind", [tuple, list, collections.namedtuple("Pair", "f j")._make])
def test_a_pair_may_be_of_any_kind(kind):
    found = raphson.root(
        lambda x: kind([x**2 - 2, np.diag(2 * x)]), [1.0, 2.0], jac=True, method="newton"
    )
    assert found.success
    # For one unknown both may be numbers.
    found = raphson.root(
        lambda x: kind([x[0] ** 2 - 2, 2 * x[0]]), [1.0], jac=True, method="newton"
    )
    assert found.success


def test_a_pair_is_split():
    def pair(x):
        return np.cos(x) - x, np.diag(-np.sin(x) - 1)

    result = raphson.NewtonSystem([1.0, 2.0]).solve(pair, True)
    assert result.success
    assert result.x == pytest.approx([0.7390851332151607] * 2, rel=1e-14)


def test_faults_are_results():
    """Where the function raises, the solver says so in its result."""
    solver = raphson.Broyden1([1.0, 2.0])
    solver.ask()
    solver.tell([np.nan, 1.0])
    result = solver.result()
    assert (result.success, result.status) == (False, -1)
    assert "infs or NaNs" in result.message
    out = raphson.Broyden1([1.0, 2.0], maxiter=1).solve(lambda x: np.cos(x) - x)
    assert (out.success, out.status) == (False, 2)


def test_a_norm_that_raises_leaves_the_solver_usable():
    calls = 0

    def norm(v):
        nonlocal calls
        calls += 1
        if calls == 4:
            raise OSError("no norm today")
        return np.max(np.abs(v))

    solver = raphson.Broyden1([1.0, 1.5], tol_norm=norm)
    with pytest.raises(OSError, match="no norm today"):
        solver.solve(lambda x: np.cos(x) - x)
    assert np.allclose(solver.solve(lambda x: np.cos(x) - x).x, 0.7390851332151607)


class Watcher(raphson.Observer):
    def __init__(self):
        self.seen = []

    def evaluated(self, solver):
        self.seen.append(("evaluated", solver.nfev, solver.nit))

    def iterated(self, solver):
        self.seen.append(("iterated", solver.nfev, solver.nit))

    def ended(self, solver):
        self.seen.append(("ended", solver.nfev, solver.done))


class Stopper(raphson.Observer):
    def __init__(self, last):
        self.last = last

    def iterated(self, solver):
        if solver.nit == self.last:
            raise StopIteration


@pytest.mark.parametrize("solve", SIMPLE, ids=str)
class TestObservers:
    def test_what_they_see(self, solve):
        watcher, points = Watcher(), []
        found = solve.call(
            solve.residual, solve.jacobian, [watcher, lambda x, *_: points.append(x.copy())]
        )
        assert np.array_equal(found, solve.call(solve.residual, solve.jacobian))
        events = [event for event, _, _ in watcher.seen]
        assert events.count("ended") == 1
        assert events[-1] == "ended"
        assert watcher.seen[-1][2] is True
        iterations = [nit for event, _, nit in watcher.seen if event == "iterated"]
        assert iterations == sorted(iterations)
        assert len(points) == len({nit for nit in iterations if nit > 0})
        asked = len(questions_of(solve.make(), solve))
        assert events.count("evaluated") == asked - 1

    def test_stop_iteration_ends_the_solve(self, solve):
        solver = solve.make()
        result = solver.solve(solve.residual, solve.jacobian, callback=Stopper(2))
        assert solver.nit == 2
        assert not result.success

    @pytest.mark.parametrize("stop", [False, True])
    def test_they_may_look_ahead(self, solve, stop):
        """To ask whether the solver is done computes the next question, once."""

        class Curious(raphson.Observer):
            def iterated(self, solver):
                assert solver.done == solver.done
                if stop and solver.nit == 2:
                    raise StopIteration

        plain = raphson.Observer() if not stop else Stopper(2)
        expected = solve.make().solve(solve.residual, solve.jacobian, callback=plain)
        found = solve.make().solve(solve.residual, solve.jacobian, callback=Curious())
        assert found.keys() == expected.keys()
        assert np.array_equal(found.x, expected.x)
        assert (found.nit, found.nfev, found.status) == (
            expected.nit,
            expected.nfev,
            expected.status,
        )
        if "allx" in expected:
            assert np.array_equal(found.allx, expected.allx)
            assert np.array_equal(found.alltr, expected.alltr)

    def test_the_end_is_told_of_an_exception(self, solve):
        watcher = Watcher()

        def residual(x):
            if len(watcher.seen) > 3:
                raise KeyError("lost")
            return solve.residual(x)

        with pytest.raises(KeyError, match="lost"):
            solve.make().solve(residual, solve.jacobian, callback=watcher)
        assert watcher.seen[-1][0] == "ended"
        assert watcher.seen[-1][2] is False

    def test_their_exceptions_come_out(self, solve):
        class Broken(raphson.Observer):
            def __init__(self, method):
                setattr(self, method, self.fail)

            def fail(self, solver):
                raise LookupError("broken")

        for method in ("evaluated", "iterated", "ended"):
            solver = solve.make()
            with pytest.raises(LookupError, match="broken"):
                solver.solve(solve.residual, solve.jacobian, callback=Broken(method))


def test_callbacks_are_checked():
    with pytest.raises(TypeError, match="callback must be callable"):
        raphson.broyden1(np.cos, [1.0], callback=[lambda x, f: None, 3])
