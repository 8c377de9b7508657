"""Powell's hybrid method, call by call beside SciPy's."""

import inspect
import warnings

import numpy as np
import pytest
import scipy.optimize

import problems
import raphson
from more_garbow_hillstrom import PROBLEMS


def _failing():
    """Systems that have no root, or none that can be got to."""
    values = {
        "no root": (lambda x: x**2 + [1, -1], lambda x: np.diag(2 * x)),
        "at infinity": (lambda x: np.exp(-x), lambda x: np.diag(-np.exp(-x))),
        "constant": (lambda x: np.ones(2), lambda x: np.zeros((2, 2))),
        "steps": (lambda x: np.floor(x) + 0.5, lambda x: np.eye(2)),
        "poles": (lambda x: 1 / (x - 2), lambda x: np.diag(-1 / (x - 2) ** 2)),
    }
    for name, (residual, jacobian) in values.items():
        yield problems.Problem(name, residual, jacobian, np.array([1.0, 3.0]))


SYSTEMS = [
    *(problem for problem in problems.PROBLEMS if np.isrealobj(problem.start)),
    *(p for p in PROBLEMS if len(p.residual(p.start)) == p.start.size),
    *_failing(),
]


def asked(solve, residual, jacobian=None):
    """What a solve returns, and all points that it asks for."""
    points = []

    def recorded(what, function):
        def call(x, *args):
            points.append((what, np.array(x, dtype=float)))
            return function(x, *args)

        return function and call

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = solve(recorded("residual", residual), recorded("jacobian", jacobian))
    return found, points, [(w.category, str(w.message), w.filename) for w in caught]


def assert_same(ours, theirs):
    if isinstance(ours, dict):
        ours = {name: ours[name] for name in ours if name not in ("nit", "calls")}
        assert ours.keys() == theirs.keys()
        for name in ours:
            assert_same(ours[name], theirs[name])
    elif isinstance(ours, tuple):
        for one, other in zip(ours, theirs, strict=True):
            assert_same(one, other)
    else:
        # SciPy's residual of one unknown is a number where the function returns one.
        theirs = np.atleast_1d(theirs) if isinstance(ours, np.ndarray) else theirs
        np.testing.assert_array_equal(ours, theirs, strict=isinstance(ours, np.ndarray))


def assert_same_calls(start, residual, jacobian=None, **options):
    def solve_by(solver):
        return asked(lambda f, j: solver(f, start, fprime=j, **options), residual, jacobian)

    ours, theirs = solve_by(raphson.fsolve), solve_by(scipy.optimize.fsolve)
    assert len(ours[1]) == len(theirs[1])
    for (what, x), (other, y) in zip(ours[1], theirs[1], strict=True):
        assert what == other
        np.testing.assert_array_equal(x, y, strict=True)
    assert_same(ours[0], theirs[0])
    assert ours[2] == theirs[2]
    return ours


OPTIONS = [
    {},
    {"xtol": 1e-4},
    {"xtol": 0},
    {"maxfev": 9},
    {"maxfev": -1},
    {"factor": 0.3},
    {"epsfcn": 1e-6},
    {"band": (0, 1)},
    {"band": (-1, 2)},
    {"col_deriv": True},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("exact", [True, False], ids=["exact", "differences"])
@pytest.mark.parametrize("system", SYSTEMS, ids=str)
def test_every_call_is_scipys(system, exact, options):
    jacobian = system.jacobian if exact else None
    if exact and options.get("col_deriv"):
        jacobian = lambda x: np.asarray(system.jacobian(x)).T  # noqa: E731
    for full_output in (False, True):
        found, points, _ = assert_same_calls(
            system.start, system.residual, jacobian, full_output=full_output, **options
        )
        if full_output:
            assert found[1]["nfev"] == sum(what == "residual" for what, _ in points)


def test_the_systems_end_in_every_way():
    reasons = set()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for system in SYSTEMS:
            for options in OPTIONS:
                found = raphson.fsolve(system.residual, system.start, full_output=True, **options)
                reasons.add(found[2])
    assert reasons >= {1, 2, 3, 4, 5}


def test_scales_are_those_of_the_user():
    problem = problems.wood()
    for diag in ([1.0, 2.0, 3.0, 4.0], (1e-3, 1, 1, 1e3)):
        assert_same_calls(problem.start, problem.residual, problem.jacobian, diag=diag)
        assert_same_calls(problem.start, problem.residual, diag=diag, full_output=True)


@pytest.mark.parametrize("start", [1, 1.5, [1.5], np.float32(1.5), [[1.5]], np.array(2)], ids=repr)
def test_one_unknown(start):
    for value in (lambda x: x**3 - 8, lambda x: float(np.sum(x)) ** 3 - 8, lambda x: [x[0] - 2]):
        assert_same_calls(start, value, full_output=True)


def test_starts_of_every_shape_and_type():
    def fun(x, a, b=2.0):
        return [x[0] ** 2 - a, x[1] ** 3 - b, x[2] + x[0] - 1, x[3] - x[1]]

    for start in ([1, 2, 3, 4], (1.0, 2, 3, 4), np.ones((2, 2)), np.ones(4, np.float32)):
        for args in (3.0, (3.0,), (3.0, 5.0)):
            assert_same_calls(start, fun, args=args, full_output=True)


def test_the_precision_of_the_values_sizes_the_differences():
    for dtype in (np.float16, np.float32, np.int64):
        assert_same_calls(
            np.array([1.0, 2.0], dtype), lambda x: (x * x - [2, 3]).astype(x.dtype), maxfev=30
        )


def test_nan_is_no_solution_as_in_scipy():
    assert_same_calls([1.0, 2.0], lambda x: x * np.nan, full_output=True)
    assert_same_calls([1.0, 2.0], lambda x: np.sqrt(x - 3), full_output=True)


@pytest.mark.parametrize(
    ("fun", "fprime"),
    [
        (lambda x: x[:, None], None),
        (lambda x: [x[0]] * 3, None),
        (lambda x: None, None),
        (lambda x: x, lambda x: np.eye(3)),
        (lambda x: x, lambda x: x),
    ],
)
def test_wrong_shapes_are_errors_of_the_same_class(fun, fprime):
    for solver in (scipy.optimize.fsolve, raphson.fsolve):
        with pytest.raises(TypeError, match=r"fprime|func"):
            solver(fun, [1.0, 2.0], fprime=fprime)


def test_complex_numbers_are_refused():
    with pytest.raises(TypeError, match="x0 must be real"):
        raphson.fsolve(lambda x: x, [1j, 2])
    with pytest.raises(TypeError, match="func: got complex"):
        raphson.fsolve(lambda x: x + 1j, [1.0, 2])
    with pytest.raises(TypeError, match="fprime: got complex"):
        raphson.fsolve(lambda x: x, [1.0, 2], fprime=lambda x: np.eye(2) * 1j)


@pytest.mark.parametrize(
    ("options", "error", "name"),
    [
        ({"xtol": -1.0}, ValueError, "xtol"),
        ({"xtol": None}, TypeError, "xtol"),
        ({"factor": 0}, ValueError, "factor"),
        ({"factor": "a"}, TypeError, "factor"),
        ({"maxfev": 1.5}, TypeError, "maxfev"),
        ({"maxfev": 2**70}, ValueError, "maxfev"),
        ({"band": 3}, TypeError, "band"),
        ({"band": (1,)}, ValueError, "band"),
        ({"band": (1, 0.5)}, TypeError, "band"),
        ({"diag": [1.0]}, ValueError, "diag"),
        ({"diag": [1.0, -1.0]}, ValueError, "diag"),
        ({"diag": 2.0}, ValueError, "diag"),
        ({"epsfcn": "a"}, TypeError, "eps"),
        ({"fprime": 3}, TypeError, "fprime"),
        ({"x0": []}, ValueError, "x0"),
        ({"x0": [np.nan, 1]}, ValueError, "x0"),
        ({"func": 3}, TypeError, "func"),
    ],
    ids=str,
)
def test_bad_arguments_are_named_before_the_first_call(options, error, name):
    def fun(x):
        raise AssertionError("it is called")

    with pytest.raises(error, match=name):
        raphson.fsolve(**({"func": fun, "x0": [1.0, 2.0]} | options))


def test_signatures_are_scipys():
    for name in ("fsolve", "root"):
        ours, theirs = (
            inspect.signature(getattr(module, name)) for module in (raphson, scipy.optimize)
        )
        plain = [
            [(p.name, p.default, p.kind) for p in signature.parameters.values()]
            for signature in (ours, theirs)
        ]
        assert plain[0] == plain[1]


# root


def same_root(start, residual, jacobian=None, **keywords):
    def solve_by(solver):
        return asked(lambda f, j: solver(f, start, jac=j, **keywords), residual, jacobian)

    ours, theirs = solve_by(raphson.root), solve_by(scipy.optimize.root)
    for (what, x), (other, y) in zip(ours[1], theirs[1], strict=True):
        assert what == other
        np.testing.assert_array_equal(x, y, strict=True)
    assert_same(ours[0], theirs[0])


def test_hybr_is_the_default_of_root():
    problem = problems.two_curves()
    for keywords in ({}, {"method": "HYBR"}, {"tol": 1e-4}, {"options": {"xtol": 0.1}, "tol": 1}):
        same_root(problem.start, problem.residual, problem.jacobian, **keywords)
        same_root(problem.start, problem.residual, **keywords)
    options = {
        "col_deriv": 1,
        "maxfev": 20,
        "factor": 1,
        "diag": [1, 2],
        "band": None,
        "eps": 1e-8,
    }
    same_root(problem.start, problem.residual, options=options)


@pytest.mark.parametrize("system", SYSTEMS, ids=str)
def test_pairs_are_asked_for_as_often_as_by_scipy(system):
    if not np.any(system.residual(system.start)):
        return  # SciPy knows the pair at a trial point that is the start
    points = {}
    for module in (raphson, scipy.optimize):
        asked_for = points[module] = []

        def both(x, asked_for=asked_for):
            asked_for.append(np.array(x, dtype=float))
            return system.residual(x), system.jacobian(x)

        found = module.root(both, system.start, jac=True, options={"maxfev": 60})
        asked_for.append(found.x)
        asked_for.append([found.nfev, found.njev])
    for ours, theirs in zip(*points.values(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_unknown_options_warn_and_strings_are_no_jacobians():
    with pytest.warns(scipy.optimize.OptimizeWarning, match=r"foo, maxiter.*write 'maxfev'") as w:
        raphson.root(lambda x: x, [1.0], options={"foo": 1, "maxiter": 5})
    assert w[0].filename == __file__
    with pytest.raises(ValueError, match="method 'newton' has others"):
        raphson.root(lambda x: x, [1.0], jac="2-point")


def test_a_point_that_is_not_finite_is_no_success():
    """SciPy says success at x = inf."""
    fun = lambda x: np.exp(-np.minimum(x, 700)) * 0 + 1e300 / (1 + abs(x)) ** 2  # noqa: E731
    with np.errstate(all="ignore"):
        found = raphson.root(fun, [1e300, 1e300])
    assert found.success == (np.isfinite(found.x).all() and np.isfinite(found.fun).all()) or (
        found.status in (2, 3, 4, 5)
    )


def test_callbacks_see_the_steps():
    problem = problems.two_curves()
    seen = []
    found = raphson.root(
        problem.residual, problem.start, callback=lambda x, f: seen.append((x, f))
    )
    assert len(seen) == found.nit
    np.testing.assert_array_equal(seen[-1][0], found.x)
    np.testing.assert_array_equal(seen[-1][1], found.fun)


def test_the_patch_serves_them():
    with raphson.patched() as calls:
        x = scipy.optimize.fsolve(lambda x: x**2 - 2, [1.0])
        solution = scipy.optimize.root(lambda x: x**2 - 2, [1.0])
        with pytest.raises(TypeError, match="Improper input"):
            scipy.optimize.fsolve(lambda x: x, [1.0], xtol=-1)
    assert x == solution.x == pytest.approx(np.sqrt(2))
    assert calls.served == {
        "scipy.optimize.fsolve": 1,
        "scipy.optimize.root(method='hybr')": 1,
    }
    assert calls.passed_on == {"scipy.optimize.fsolve": 1}


def test_only_minpacks_differences_are_there():
    with pytest.raises(ValueError, match="'exact' or '2-point'"):
        raphson.PowellHybrid([1.0], "cs")
    with pytest.raises(TypeError, match="epsfcn"):
        raphson.PowellHybrid([1.0], epsfcn=1e-3)
