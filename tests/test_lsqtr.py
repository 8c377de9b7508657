"""`lsqtr` against recorded runs of DESC 0.17.3, and where that is wrong."""

import inspect
import itertools
import json
import re
import tracemalloc
import types
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import scipy.optimize
from hypothesis import assume, given
from hypothesis import strategies as st

import raphson
from fixtures.desc import lsq_problems

RECORDED = json.loads(
    (Path(__file__).parent / "fixtures" / "desc" / "desc_lsqtr.json").read_text("utf-8")
)["cases"]

# What rounding the residual and the Jacobian does to DESC's points covers what its own sums do:
# the deviations are a twentieth of the tolerances below or less, whatever LAPACK and vector units
# compute them. But DESC against itself, with residuals disturbed by an ulp, ends these in several
# ways: a last step reduces the cost by rounding only. What they share is compared.
ENDS_BY_ROUNDING = {
    "exponential fit: tight",
    "exponential fit: tight svd",
    "exponential fit: ftol only",
    "exponential fit: xtol only",
    "exponential fit: no tolerance",
    "bard, one-sided: tight",
    "rosenbrock, x0 <= 0.5: xtol only",
}

# What we refuse with an error.
REFUSED = {"beale: radius not positive", "rosenbrock: max_nfev 0"}

# Reductions at the level of rounding are printed.
PRINTS_ROUNDING = {"bard: verbose 2 tight"}

FAITHFUL = [case for case in RECORDED if not case["faults"] and case["name"] not in REFUSED]


def run(problem, **arguments):
    """Solve one of the recorded problems; returns the result and the points asked of both."""
    residuals_at, jacobians_at = [], []

    def fun(x):
        residuals_at.append(x.copy())
        return problem.residual(x)

    def jac(x):
        jacobians_at.append(len(residuals_at) - 1)
        assert np.array_equal(x, residuals_at[-1])
        return problem.jacobian(x)

    arguments.setdefault("verbose", 0)
    if problem.bounded:
        arguments["bounds"] = (problem.lower, problem.upper)
    result = raphson.lsqtr(fun, problem.start, jac, **arguments)
    return result, np.array(residuals_at), jacobians_at


def stop_at(calls):
    """Make a callback that stops at its nth call."""
    if calls is None:
        return None
    counter = itertools.count(1)
    return lambda x: next(counter) >= calls


def tolerances(case):
    """How far each point may be from DESC's: by rounding that DESC's own runs amplify."""
    length = len(case["asked"])
    runs = [run["asked"] + [0.0] * (length - len(run["asked"])) for run in case["noise"]]
    return np.maximum(1e-13, 100 * np.maximum.accumulate(np.max(runs, axis=0)))


@pytest.mark.parametrize("case", FAITHFUL, ids=lambda case: case["name"])
def test_follows_desc(case, capsys):
    problem = lsq_problems.PROBLEMS[case["problem"]]
    callback = stop_at(case.get("callback_stops_at"))
    result, asked, jacobians_at = run(problem, callback=callback, **case["arguments"])
    theirs = np.array(case["asked"])
    shared = min(len(theirs), len(asked))
    size = np.maximum(1, np.abs(theirs[:shared]).max(axis=1))
    deviation = np.abs(asked[:shared] - theirs[:shared]).max(axis=1) / size
    assert np.all(deviation <= tolerances(case)[:shared])
    if case["name"] in ENDS_BY_ROUNDING:
        return

    expected = case["result"]
    assert len(asked) == len(theirs)
    assert jacobians_at == case["jacobian_at"]
    for name in ("success", "nfev", "njev", "nit"):
        assert result[name] == expected[name], name
    # What speaks against a success is a line of ours.
    assert result.message.split("\nBut the relative optimality")[0] == expected["message"]
    assert ("But" in result.message) == (case["name"] == "linear full rank: loose gtol at x0")
    assert np.array_equal(result.active_mask, expected["active_mask"])
    assert np.array_equal(result.allx, asked[jacobians_at])
    assert len(result.alltr) == result.nfev
    radii = np.max([np.max(run["radius"]) for run in case["noise"]])
    loose = max(1e-9, 10 * deviation.max(), 100 * radii)
    for name in ("x", "cost", "fun", "f0se", "v", "alltr", "grad", "jac"):
        # Large Jacobians are not recorded.
        theirs = np.array(expected.get(name, result[name]), dtype=float)
        # What is small because terms cancel is known as well as the terms are.
        scale = np.linalg.norm(result.jac) * np.linalg.norm(result.fun)
        tolerance = loose * (scale + 1e-3) if name == "grad" else loose
        assert np.allclose(result[name], theirs, rtol=loose, atol=tolerance, equal_nan=True), name
    if "stdout" in case and case["name"] not in PRINTS_ROUNDING:
        printed = re.sub(r"But the relative optimality .*\n", "", capsys.readouterr().out)
        assert printed == case["stdout"]


def test_every_recorded_case_is_accounted_for():
    faulty = [case for case in RECORDED if case["faults"]]
    assert len(FAITHFUL) + len(faulty) + len(REFUSED - {c["name"] for c in faulty}) == 176
    assert {case["faults"][0] for case in faulty} == {1, 2, 3, 6, 7}


def test_the_signature_is_that_of_desc():
    parameters = inspect.signature(raphson.lsqtr).parameters
    assert {name: parameter.default for name, parameter in parameters.items()} == {
        "fun": inspect.Parameter.empty,
        "x0": inspect.Parameter.empty,
        "jac": inspect.Parameter.empty,
        "bounds": (-np.inf, np.inf),
        "args": (),
        "x_scale": "jac",
        "ftol": 1e-6,
        "xtol": 1e-6,
        "gtol": 1e-6,
        "verbose": 1,
        "maxiter": None,
        "callback": None,
        "options": None,
    }


# Faults of DESC 0.17.3 that are mended here, by their numbers in fixtures/desc/FAULTS.md.

FULL_RANK = [
    name
    for name, problem in lsq_problems.PROBLEMS.items()
    if name not in ("biggs exp6", "beale", "beale, box")
    and problem.residual(problem.start).size >= problem.start.size
]


@pytest.mark.parametrize("radius", [1.0, 0.1, "scipy"])
@pytest.mark.parametrize("name", FULL_RANK)
def test_1_and_2_all_factorizations_take_the_same_path(name, radius):
    runs = {}
    for method in ("qr", "svd", "cho"):
        options = {"tr_method": method, "initial_trust_radius": radius}
        runs[method] = run(lsq_problems.PROBLEMS[name], options=options, maxiter=6)[1]
    for method in ("svd", "cho"):
        shared = min(len(runs["qr"]), len(runs[method]), 6)
        close = np.isclose(runs["qr"][:shared], runs[method][:shared], rtol=1e-5, atol=1e-7)
        assert close.all(), method


def reordered(problem, order):
    return (lambda x: problem.residual(x)[order]), (lambda x: problem.jacobian(x)[order])


@pytest.mark.parametrize("method", ["qr", "svd", "cho"])
def test_3_the_order_of_the_residuals_does_not_matter_where_the_rank_is_deficient(method):
    beale = lsq_problems.PROBLEMS["beale"]
    seconds = []
    for order in itertools.permutations(range(3)):
        fun, jac = reordered(beale, list(order))
        options = {"tr_method": method}
        result = raphson.lsqtr(fun, beale.start, jac, verbose=0, options=options)
        seconds.append(result.allx[1])
        assert np.allclose(result.x, [3, 0.5], atol=1e-4)
    assert np.allclose(seconds, seconds[0], rtol=1e-10)


@pytest.mark.parametrize("method", ["qr", "svd", "cho"])
@pytest.mark.parametrize("kind", ["zero first", "zero middle", "zero last", "duplicate", "wide"])
def test_3_the_first_step_is_that_of_minimum_norm(kind, method):
    rng = np.random.default_rng(3)
    matrix = rng.standard_normal((2 if kind == "wide" else 5, 3))
    rhs = rng.standard_normal(len(matrix))
    if kind == "duplicate":
        matrix[:, 2] = matrix[:, 0]
    elif kind != "wide":
        matrix[:, ["zero first", "zero middle", "zero last"].index(kind)] = 0
    for order in itertools.permutations(range(len(matrix))):
        rows = list(order)
        result = raphson.lsqtr(
            lambda x, rows=rows: matrix[rows] @ x - rhs[rows],
            np.zeros(3),
            lambda x, rows=rows: matrix[rows],
            x_scale=1,
            maxiter=1,
            verbose=0,
            options={"initial_trust_radius": 1e3, "tr_method": method},
        )
        assert np.allclose(result.x, np.linalg.pinv(matrix) @ rhs, atol=1e-10)


@pytest.mark.parametrize("method", ["qr", "svd", "cho"])
@pytest.mark.parametrize(
    ("shape", "count"),
    # A few of the last only: BLAS takes threads for them, which keep waiting for each other.
    [((6, 3), 40), ((50, 30), 40), ((30, 50), 40), ((60, 100), 5)],
)
def test_3_deficient_products_are_noticed(shape, count, method):
    # The smallest pivot of such a triangle can be a hundred times its smallest singular value.
    rng = np.random.default_rng(0)
    m, n = shape
    rank = min(shape) - 1
    for _ in range(count):
        matrix = rng.normal(size=(m, rank)) @ rng.normal(size=(rank, n))
        rhs = rng.normal(size=m)
        options = {"tr_method": method, "initial_trust_radius": 1e6}
        result = raphson.lsqtr(
            lambda x, matrix=matrix, rhs=rhs: matrix @ x - rhs,
            np.zeros(n),
            lambda x, matrix=matrix: matrix,
            x_scale=1,
            maxiter=1,
            verbose=0,
            options=options,
        )
        assert np.allclose(result.x, np.linalg.pinv(matrix, rcond=1e-12) @ rhs, atol=1e-7)


EXPONENTIAL = lsq_problems.PROBLEMS["exponential fit"]


@pytest.mark.parametrize("name", ["ftol", "xtol", "gtol"])
def test_4_none_switches_a_tolerance_off(name):
    off = {"ftol": 0, "xtol": 0, "gtol": 0, "maxiter": 6}
    expected = run(EXPONENTIAL, **off | {name: 0})
    found = run(EXPONENTIAL, **off | {name: None})
    assert np.array_equal(found[1], expected[1])
    assert found[0].message == expected[0].message
    both = run(EXPONENTIAL, ftol=None, xtol=None, gtol=None, maxiter=4)[0]
    assert (both.status, both.nit) == (0, 4)


def test_6_the_limits_are_honoured():
    one, asked, _ = run(EXPONENTIAL, options={"max_nfev": 1})
    assert (one.nfev, len(asked), one.nit, one.status, one.success) == (1, 1, 0, -1, False)
    two, asked, _ = run(EXPONENTIAL, options={"max_nfev": 2})
    assert (two.nfev, len(asked), two.status) == (2, 2, -1)
    whole = run(EXPONENTIAL)[0]
    distances = [np.linalg.norm(x - EXPONENTIAL.start) for x in whole.allx]
    beyond = next(i for i, distance in enumerate(distances) if distance > 1.3)
    assert beyond > 1
    far = run(EXPONENTIAL, options={"max_dx": 1.3})[0]
    assert np.array_equal(far.allx, whole.allx[: beyond + 1])
    assert (far.status, far.success) == (-3, False)
    assert far.message.startswith("The point is farther from x0 than max_dx allows.")


def test_7_a_stop_by_the_callback_is_reported():
    linear = lsq_problems.PROBLEMS["linear full rank"]
    whole = run(linear)[0]
    assert whole.success
    stopped = run(linear, callback=stop_at(whole.njev - 1))[0]
    assert np.array_equal(stopped.x, whole.x)
    assert stopped.message == "User supplied callback triggered termination"
    assert (stopped.status, stopped.success) == (-4, True)
    early = run(EXPONENTIAL, callback=stop_at(2))[0]
    assert (early.nit, early.status, early.success) == (2, -4, False)


def raise_stop_iteration(x):
    raise StopIteration


def test_a_callback_may_raise_stop_iteration():
    stopped = run(EXPONENTIAL, callback=raise_stop_iteration)[0]
    assert (stopped.nit, stopped.status) == (1, -4)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_8_a_trial_that_is_not_finite_shrinks_the_radius(bad):
    calls = itertools.count()

    def fun(x):
        f = EXPONENTIAL.residual(x)
        if next(calls) in (1, 2):
            f[3] = bad
        return f

    with np.errstate(invalid="ignore"):
        result = raphson.lsqtr(fun, EXPONENTIAL.start, EXPONENTIAL.jacobian, verbose=0)
    assert result.success
    assert np.allclose(result.x, run(EXPONENTIAL)[0].x, rtol=1e-5)
    # The two were part of the first iteration, and each quartered the step.
    assert result.nfev == result.nit + 3
    assert result.alltr[1] <= 0.25 * result.alltr[0]
    assert result.alltr[2] == pytest.approx(0.25 * result.alltr[1], rel=0.02)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_8_no_success_where_the_start_or_a_jacobian_is_not_finite(bad):
    start = raphson.lsqtr(
        lambda x: np.array([1.0, bad]), [1.0], lambda x: np.ones((2, 1)), verbose=0
    )
    assert (start.status, start.success, start.nfev, start.njev) == (-5, False, 1, 0)

    def jac(x):
        jacobian = EXPONENTIAL.jacobian(x)
        if jac.calls == 2:
            jacobian[5, 1] = bad
        jac.calls += 1
        return jacobian

    jac.calls = 0
    result = raphson.lsqtr(EXPONENTIAL.residual, EXPONENTIAL.start, jac, verbose=0)
    assert (result.status, result.success, result.njev) == (-6, False, 3)
    assert np.array_equal(result.x, run(EXPONENTIAL)[0].allx[2])


def test_8_a_column_whose_squares_overflow_is_no_success():
    result = raphson.lsqtr(
        lambda x: np.array([1e160 * (x[0] - 3)]), [1.0], lambda x: np.array([[1e160]]), verbose=0
    )
    assert not result.success or result.x[0] == pytest.approx(3)


# Wider than DESC.


@pytest.mark.parametrize(
    "convert",
    [
        list,
        tuple,
        np.float32,
        lambda x: np.array(x, dtype=object),
        lambda x: x[::-1].copy()[::-1],
    ],
)
def test_any_kind_of_start_residual_and_jacobian(convert):
    def as_given(function):
        def returned(x):
            assert isinstance(x, np.ndarray)
            assert x.dtype == np.float64
            return convert(function(x))

        return returned

    result = raphson.lsqtr(
        as_given(EXPONENTIAL.residual),
        convert(EXPONENTIAL.start),
        lambda x: [list(row) for row in EXPONENTIAL.jacobian(x)],
        verbose=0,
    )
    assert np.allclose(result.x, run(EXPONENTIAL)[0].x, rtol=1e-4)
    assert isinstance(result.jac, np.ndarray)


def test_integers_and_single_numbers():
    result = raphson.lsqtr(lambda x: x[0] ** 2 - 2, 1, lambda x: [2 * x[0]], verbose=0, gtol=1e-12)
    assert result.x == pytest.approx([np.sqrt(2)])
    assert result.x.shape == (1,)
    result = raphson.lsqtr(lambda x: x - 2, np.array([1, 5]), lambda x: np.eye(2), verbose=0)
    assert np.allclose(result.x, 2)


class Subclass(np.ndarray):
    pass


@pytest.mark.parametrize(
    "layout",
    [
        np.ascontiguousarray,
        np.asfortranarray,
        lambda j: np.repeat(j, 2, axis=0)[::2],
        lambda j: np.asarray(j, dtype=np.float32),
        lambda j: j.view(Subclass),
        lambda j: np.ma.masked_array(j),
    ],
)
def test_jacobians_of_any_layout_are_read_and_never_written(layout):
    returned = []

    def jac(x):
        matrix = layout(EXPONENTIAL.jacobian(x))
        matrix.flags.writeable = False
        returned.append((matrix, np.array(matrix)))
        return matrix

    for method in ("qr", "svd", "cho"):
        result = raphson.lsqtr(
            EXPONENTIAL.residual, EXPONENTIAL.start, jac, verbose=0, options={"tr_method": method}
        )
        assert result.success
        assert result.jac is returned[-1][0]
    assert all(np.array_equal(matrix, copy) for matrix, copy in returned)


def test_a_jacobian_between_the_fields_of_records_is_read_right():
    matrix, rhs = np.array([[1.0, 2], [3, 4], [5, 7]]), np.array([1.0, 2, 3])
    packed = np.zeros(matrix.shape, [("entry", "f8"), ("other", "f4")])
    packed["entry"] = matrix
    result = raphson.lsqtr(
        lambda x: matrix @ x - rhs, [1, 1], lambda x: packed["entry"], verbose=0
    )
    assert np.allclose(result.x, np.linalg.lstsq(matrix, rhs)[0])


@pytest.mark.parametrize("jac", ["2-point", "3-point", "cs"])
def test_a_variable_between_equal_bounds_stays(jac):
    bounds = ([1, -np.inf], [1, np.inf])
    result = raphson.lsqtr(
        lambda x: [x[0] + x[1], x[1] - 3], [1, 0], jac, bounds=bounds, verbose=0
    )
    assert result.success
    assert np.allclose(result.x, [1, 1])


def test_a_step_that_does_not_move_is_no_convergence():
    rosenbrock = lsq_problems.PROBLEMS["rosenbrock"]
    options = {"initial_trust_radius": 5e-324}
    result = run(rosenbrock, options=options)[0]
    assert (result.success, result.status) == (False, -2)


@pytest.mark.parametrize(
    "options",
    [{"tr_decrease_threshold": 0}, {"tr_increase_threshold": 0}, {"min_trust_radius": 0}],
)
def test_it_ends_without_a_limit_of_evaluations(options):
    # The Jacobian has the wrong sign, so no step reduces the cost.
    result = raphson.lsqtr(
        lambda x: x - 3,
        [1.0],
        lambda x: [[-1.0]],
        verbose=0,
        options=options | {"max_nfev": np.inf},
    )
    assert not result.success


@pytest.mark.parametrize("name", ["ftol", "xtol"])
def test_negative_tolerances_are_off(name):
    off = {"ftol": 0, "xtol": 0, "gtol": 0, "maxiter": 5}
    assert run(EXPONENTIAL, **off | {name: -1})[0].status == 0


def test_a_jacobian_that_turns_bad_leaves_a_consistent_result():
    def jac(x):
        jac.calls += 1
        return EXPONENTIAL.jacobian(x) * (np.nan if jac.calls == 3 else 1)

    jac.calls = 0
    result = raphson.lsqtr(EXPONENTIAL.residual, EXPONENTIAL.start, jac, verbose=0)
    assert np.array_equal(result.allx[-1], result.x)
    assert (result.nit, len(result.allx)) == (2, 3)
    assert np.isnan(result.optimality)


@pytest.mark.parametrize("name", ["exponential fit", "rosenbrock, x0 <= 0.5", "bard, one-sided"])
@pytest.mark.parametrize("jac", ["2-point", "3-point", "cs"])
def test_approximate_jacobians_stay_within_the_bounds(name, jac):
    problem = lsq_problems.PROBLEMS[name]
    bounds = (problem.lower, problem.upper)
    asked = []

    def fun(x):
        assert np.iscomplexobj(x) or np.all((problem.lower <= x) & (x <= problem.upper))
        asked.append(x)
        return problem.residual(x)

    result = raphson.lsqtr(fun, problem.start, jac, bounds=bounds, verbose=0)
    exact = run(problem)[0]
    assert result.success
    assert np.allclose(result.x, exact.x, rtol=1e-3, atol=1e-4)
    # Those for the Jacobian are not counted.
    per_jacobian = problem.start.size * (2 if jac == "3-point" else 1)
    assert len(asked) == result.nfev + per_jacobian * result.njev


def test_bounds_may_be_numbers_arrays_or_an_object():
    results = [
        raphson.lsqtr(
            EXPONENTIAL.residual,
            EXPONENTIAL.start,
            EXPONENTIAL.jacobian,
            bounds=bounds,
            verbose=0,
        ).x
        for bounds in (
            (-10, 10),
            ([-10] * 3, np.full(3, 10.0)),
            scipy.optimize.Bounds(-10, 10),
        )
    ]
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])


def test_args_reach_all_callables():
    seen = []
    result = raphson.lsqtr(
        lambda x, a, b: a * x - b,
        [0.0],
        lambda x, a, b: np.array([[a]]),
        args=(2.0, 6.0),
        callback=lambda x, a, b: seen.append((x[0], a, b)),
        verbose=0,
    )
    assert result.x == pytest.approx([3])
    assert seen[-1] == (result.x[0], 2.0, 6.0)


def test_points_may_be_kept_and_changed():
    kept = []

    def spoil(function):
        def spoiled(x):
            value = function(x.copy())
            kept.append(x)
            x[:] = np.nan
            return value

        return spoiled

    result = raphson.lsqtr(
        spoil(EXPONENTIAL.residual),
        EXPONENTIAL.start,
        spoil(EXPONENTIAL.jacobian),
        callback=spoil(lambda x: False),
        verbose=0,
    )
    assert np.array_equal(result.x, run(EXPONENTIAL)[0].x)
    assert len({x.ctypes.data for x in kept}) == len(kept)


def test_the_options_are_left_alone():
    options = {"tr_method": "svd", "max_nfev": 50}
    run(EXPONENTIAL, options=options)
    assert options == {"tr_method": "svd", "max_nfev": 50}


# Properties.


def subproblem(matrix, rhs, radius, method):
    """The step of one trust-region problem, unscaled and without bounds."""
    trials = []

    def fun(x):
        trials.append(x.copy())
        return rhs if len(trials) == 1 else 2 * rhs

    raphson.lsqtr(
        fun,
        np.zeros(matrix.shape[1]),
        lambda x: matrix,
        x_scale=1,
        gtol=0,
        verbose=0,
        options={"initial_trust_radius": radius, "max_nfev": 2, "tr_method": method},
    )
    return trials[1]


@pytest.mark.parametrize("method", ["qr", "svd", "cho"])
@given(
    seed=st.integers(0, 10**6),
    m=st.integers(1, 60),
    n=st.integers(1, 40),
    condition=st.sampled_from([1, 1e3, 1e6]),
    rank_loss=st.integers(0, 3),
    share=st.sampled_from([1e-3, 0.1, 0.5, 0.98, 2.0]),
)
def test_the_step_is_optimal(method, seed, m, n, condition, rank_loss, share):
    rng = np.random.default_rng(seed)
    rank = min(m, n) - rank_loss
    assume(rank >= 1)
    left = np.linalg.qr(rng.standard_normal((m, rank)))[0]
    right = np.linalg.qr(rng.standard_normal((n, rank)))[0]
    values = condition ** -np.linspace(0, 1, rank)
    matrix, rhs = left * values @ right.T, rng.standard_normal(m)
    newton = -right @ ((left.T @ rhs) / values)
    radius = share * np.linalg.norm(newton)
    step = subproblem(matrix, rhs, radius, method)
    length = np.linalg.norm(step)
    # The normal equations lose twice the digits.
    exact = 1e-9 * condition if method == "cho" else 1e-11 * condition
    if share > 1:
        assert np.allclose(step, newton, rtol=0, atol=exact * length)
        return

    def coefficients(multiplier):
        """Coefficients of p(α) for the singular vectors."""
        return -values * (left.T @ rhs) / (values**2 + multiplier)

    # The search ends within 1 % of the radius, and the step is then scaled to it. So it is in the
    # direction of p(α) for an α between those of 0.99 and 1.01 of the radius.
    assert length == pytest.approx(radius, rel=1e-12)
    largest = np.linalg.norm(values * (left.T @ rhs)) / radius
    multipliers = [
        scipy.optimize.brentq(
            lambda alpha, size=size: np.linalg.norm(coefficients(alpha)) - size * radius,
            0,
            2 * largest,
            xtol=1e-300,
        )
        for size in (1.0101, 0.9899)
        if size * share < 1
    ]
    found = right.T @ step

    def mismatch(multiplier):
        trial = coefficients(multiplier)
        return np.linalg.norm(found - trial * radius / np.linalg.norm(trial)) / radius

    low, high = (0.0, multipliers[0]) if len(multipliers) == 1 else multipliers
    best = scipy.optimize.minimize_scalar(
        mismatch, bounds=(low, high), options={"xatol": 1e-14 * high}, method="bounded"
    )
    assert best.fun <= 1e-5
    assert np.allclose(step, right @ found, rtol=0, atol=1e-9 * length)


@given(seed=st.integers(0, 10**6), n=st.integers(1, 8))
def test_active_bounds_satisfy_the_first_order_conditions(seed, n):
    rng = np.random.default_rng(seed)
    matrix, rhs = rng.standard_normal((n + 3, n)), rng.standard_normal(n + 3)
    lower, upper = -rng.uniform(0.01, 0.5, n), rng.uniform(0.01, 0.5, n)
    result = raphson.lsqtr(
        lambda x: matrix @ x - rhs,
        np.zeros(n),
        lambda x: matrix,
        bounds=(lower, upper),
        ftol=1e-14,
        xtol=1e-14,
        gtol=1e-10,
        verbose=0,
    )
    exact = scipy.optimize.lsq_linear(matrix, rhs, (lower, upper), tol=1e-14, method="bvls").x
    assert np.all((lower <= result.x) & (result.x <= upper))
    assert np.allclose(result.x, exact, atol=1e-5)
    gradient = matrix.T @ (matrix @ result.x - rhs)
    tolerance = 1e-4 * np.linalg.norm(matrix.T @ rhs)
    assert np.all(gradient[exact == lower] >= -tolerance)
    assert np.all(gradient[exact == upper] <= tolerance)


@pytest.mark.parametrize("method", ["qr", "svd", "cho"])
@given(exponents=st.lists(st.integers(-3, 3), min_size=3, max_size=3))
def test_scaling_the_variables_and_x_scale_changes_nothing(method, exponents):
    units = 2.0 ** np.array(exponents)
    options = {"tr_method": method}
    plain = run(EXPONENTIAL, x_scale=[2.0, 1.0, 0.5], options=options)[1]
    scaled = []

    def fun(x):
        scaled.append(x * units)
        return EXPONENTIAL.residual(x * units)

    raphson.lsqtr(
        fun,
        EXPONENTIAL.start / units,
        lambda x: EXPONENTIAL.jacobian(x * units) * units,
        x_scale=np.array([2.0, 1.0, 0.5]) / units,
        verbose=0,
        options=options,
    )
    # The units are powers of two, so nothing is rounded differently.
    assert np.array_equal(plain, scaled)


BAD = {
    "x0 infeasible": (
        {"x0": [2.0], "bounds": (0, 1)},
        ValueError,
        "x0 is infeasible: its element 0 is 2",
    ),
    "x0 NaN": ({"x0": [np.nan]}, ValueError, "x0 must be finite"),
    "x0 empty": ({"x0": []}, ValueError, "x0 is empty"),
    "x0 2-D": ({"x0": [[1.0]]}, ValueError, "x0 must be one-dimensional"),
    "x0 complex": ({"x0": [1j]}, TypeError, "x0 must be real"),
    "x0 text": ({"x0": "one"}, TypeError, "x0 must be numeric"),
    "bounds swapped": ({"bounds": (1, 0)}, ValueError, "bounds: the lower bound of element 0"),
    "bounds NaN": ({"bounds": (np.nan, 1)}, ValueError, "bounds: the lower bound"),
    "bounds length": ({"bounds": ([0, 0], 1)}, ValueError, r"bounds\[0\] must be one number or 1"),
    "bounds single": ({"bounds": 3}, ValueError, "bounds must be a pair"),
    "bounds text": ({"bounds": ("a", "b")}, TypeError, r"bounds\[0\]: expected numbers"),
    "args": ({"args": 3}, TypeError, "args must be a tuple"),
    "x_scale name": ({"x_scale": "jak"}, ValueError, "x_scale should be one of 'jac', 'auto' or"),
    "x_scale zero": ({"x_scale": 0}, ValueError, "x_scale must be positive and finite"),
    "x_scale inf": ({"x_scale": [np.inf]}, ValueError, "x_scale must be positive and finite"),
    "x_scale length": ({"x_scale": [1, 1]}, ValueError, "x_scale must be one number or 1"),
    "ftol": ({"ftol": "x"}, TypeError, "ftol: expected a number"),
    "xtol": ({"xtol": np.nan}, ValueError, "xtol must not be NaN"),
    "verbose": ({"verbose": "loud"}, TypeError, "verbose: expected a number"),
    "maxiter": ({"maxiter": 1.5}, TypeError, "maxiter: expected an integer"),
    "maxiter negative": ({"maxiter": -1}, ValueError, "maxiter must not be negative, got -1"),
    "callback": ({"callback": 3}, TypeError, "callback must be callable"),
    "fun": ({"fun": 3}, TypeError, "fun must be callable, not int"),
    "jac": ({"jac": "4-point"}, ValueError, "jac must be callable, '2-point'"),
    "jac True": ({"jac": True}, ValueError, "jac must be callable, '2-point'"),
    "jac None": ({"jac": None}, ValueError, "jac must be callable, '2-point'"),
    "options": ({"options": 3}, TypeError, "options must be a dict, not int"),
    "unknown option": (
        {"options": {"tr_methode": "qr", "b": 1}},
        ValueError,
        r"Unknown options: \['tr_methode', 'b'\]",
    ),
    "tr_method": ({"options": {"tr_method": "lu"}}, ValueError, "tr_method should be one of"),
    "max_nfev": ({"options": {"max_nfev": 0}}, ValueError, "max_nfev must be at least 1"),
    "max_dx": ({"options": {"max_dx": -1}}, ValueError, "max_dx must be positive, got -1"),
    **{
        f"initial_trust_radius {value}": (
            {"options": {"initial_trust_radius": value}},
            ValueError,
            "initial_trust_radius must be 'scipy', 'conngould', 'mix' or a positive number",
        )
        for value in ("foo", None, 0, -1.0, np.nan)
    },
    "initial_trust_ratio": (
        {"options": {"initial_trust_ratio": 0}},
        ValueError,
        "initial_trust_ratio must be positive",
    ),
    "max_trust_radius": (
        {"options": {"max_trust_radius": np.nan}},
        ValueError,
        "max_trust_radius must be positive",
    ),
    "min_trust_radius": (
        {"options": {"min_trust_radius": -1}},
        ValueError,
        "min_trust_radius must be at least 0",
    ),
    "tr_increase_threshold": (
        {"options": {"tr_increase_threshold": 2}},
        ValueError,
        "tr_increase_threshold must be between 0 and 1",
    ),
    "tr_decrease_ratio": (
        {"options": {"tr_decrease_ratio": 0}},
        ValueError,
        "tr_decrease_ratio must be more than 0 and less than 1",
    ),
    "bounds in a set": ({"bounds": {0, 1}}, ValueError, "bounds must be a pair"),
    "tr_increase_ratio": (
        {"options": {"tr_increase_ratio": 0.5}},
        ValueError,
        "tr_increase_ratio must be more than 1 and finite, got 0.5",
    ),
    "residual None": ({"fun": lambda x: None}, TypeError, "fun: expected numbers"),
    "residual empty": ({"fun": lambda x: []}, ValueError, "fun: expected at least one residual"),
    "residual complex": ({"fun": lambda x: x * 1j}, TypeError, "fun: got complex numbers"),
    "residual text": ({"fun": lambda x: "abc"}, TypeError, "fun: expected numbers"),
    "jacobian None": ({"jac": lambda x: None}, TypeError, "jac: expected numbers"),
    "jacobian shape": (
        {"jac": lambda x: np.ones((2, 2))},
        ValueError,
        r"jac: expected a Jacobian of shape \(1, 1\), a row for each residual, got an array",
    ),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_bad_input_is_named(bad):
    arguments, error, message = bad
    usual = {"fun": lambda x: x - 0.5, "x0": [0.25], "jac": lambda x: np.eye(1), "verbose": 0}
    with pytest.raises(error, match=message):
        raphson.lsqtr(**usual | arguments)


def test_nothing_is_evaluated_before_the_arguments_are_checked():
    def never(x):
        raise AssertionError

    for arguments in ({"options": {"a": 1}}, {"x_scale": 0}, {"bounds": (1, 2)}, {"ftol": "x"}):
        with pytest.raises((ValueError, TypeError)):
            raphson.lsqtr(never, [0.0], never, verbose=0, **arguments)


def test_a_residual_that_changes_its_length_is_an_error():
    def fun(x):
        fun.calls += 1
        return np.ones(2 + fun.calls // 2)

    fun.calls = 0
    with pytest.raises(ValueError, match="fun: expected 2 residuals, as at x0, got 3"):
        raphson.lsqtr(fun, [1.0], lambda x: np.ones((2, 1)), verbose=0)


@pytest.mark.parametrize("where", ["fun", "jac", "callback"])
@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt, SystemExit])
def test_exceptions_in_callables_come_through(where, error):
    raised = error("mine")

    def fail(x):
        fail.calls += 1
        if fail.calls == 2 or where == "callback":
            raise raised
        return functions[where](x)

    fail.calls = 0
    functions = {
        "fun": EXPONENTIAL.residual,
        "jac": EXPONENTIAL.jacobian,
        "callback": lambda x: False,
    }
    with pytest.raises(error) as caught:
        raphson.lsqtr(x0=EXPONENTIAL.start, verbose=0, **functions | {where: fail})
    assert caught.value is raised


@pytest.mark.parametrize("method", ["qr", "svd", "cho"])
def test_threads_have_the_bits_that_each_has_alone(method):
    rng = np.random.default_rng(0)
    matrices = rng.standard_normal((8, 120, 40))

    def solve(matrix):
        def fun(x):
            line = matrix @ x
            return line + 0.05 * line**2 - 1

        def jac(x):
            return matrix * (1 + 0.1 * (matrix @ x))[:, np.newaxis]

        options = {"tr_method": method, "initial_trust_radius": 0.5}
        return raphson.lsqtr(fun, np.zeros(40), jac, verbose=0, options=options).x

    alone = [solve(matrix) for matrix in matrices]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(solve, matrices))
    assert np.array_equal(alone, together)


# Where no success would be right.

TIMES = np.linspace(0, 4, 9)
DECAY = 2.5 * np.exp(-1.3 * TIMES) + 0.01 * np.cos(7 * TIMES)


def decay(x):
    return x[0] * np.exp(-x[1] * TIMES) - DECAY


def decay_slopes(x):
    falling = np.exp(-x[1] * TIMES)
    return np.column_stack([falling, -x[0] * TIMES * falling])


def up_to(wall):
    """The decay, undefined where it is faster than the wall."""
    return lambda x: decay(x) if x[1] <= wall else np.full(TIMES.size, np.nan)


@pytest.mark.parametrize("tolerance", [1e-6, 1e-12])
@pytest.mark.parametrize("start", [[1.0, 1.0], [2.4, 1.04], [1.0, 0.0]])
@pytest.mark.parametrize("method", ["qr", "svd", "cho"])
def test_a_step_that_nan_has_shortened_is_no_success(start, tolerance, method):
    settings = {"ftol": tolerance, "xtol": tolerance, "gtol": tolerance, "verbose": 0}
    settings["options"] = {"tr_method": method}
    fit = raphson.lsqtr(up_to(1.05), start, decay_slopes, **settings)
    assert (fit.status, fit.success) == (-7, False)
    assert fit.x[1] == pytest.approx(1.05, abs=1e-4)
    assert fit.undefined_at[1] > 1.05
    assert "NaN or inf beyond them, the last time at x = [2." in fit.message


def test_without_tolerances_the_same_step_is_not_a_bad_approximation():
    off = {"ftol": 0, "xtol": 0, "gtol": 0, "verbose": 0}
    fit = raphson.lsqtr(up_to(1.05), [1.0, 1.0], decay_slopes, **off)
    assert fit.status == -7


@pytest.mark.parametrize("wall", [1.31, 1.5, 3.0])
def test_nan_on_the_way_does_not_spoil_a_success(wall):
    options = {"initial_trust_radius": 1e3}
    start = [0.1, 0.2]
    free = raphson.lsqtr(decay, start, decay_slopes, verbose=0)
    with np.errstate(all="ignore"):
        fit = raphson.lsqtr(up_to(wall), start, decay_slopes, verbose=0, options=options)
    assert fit.success
    assert "undefined_at" not in fit
    assert np.allclose(fit.x, free.x, rtol=1e-5)


def test_a_system_with_a_wall_is_no_success_either():
    def residual(x):
        return [np.sqrt(1 - x[0]) - 0.05 if x[0] <= 0.9 else np.nan]

    for search in ("armijo", None):
        for jac in (lambda x: [[-0.5 / np.sqrt(1 - x[0])]], "2-point"):
            found = raphson.root(
                residual, [0.0], jac=jac, options={"line_search": search}, method="newton"
            )
            assert not found.success
            assert "NaN or inf" in found.message


@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e6])
def test_the_relative_optimality_is_the_largest_cosine(scale):
    options = {"maxiter": 2, "verbose": 0}
    fit = raphson.lsqtr(
        lambda x: scale * decay(x), [1.0, 0.5], lambda x: scale * decay_slopes(x), **options
    )
    cosines = fit.jac.T @ fit.fun / np.linalg.norm(fit.fun) / np.linalg.norm(fit.jac, axis=0)
    assert fit.relative_optimality == pytest.approx(np.abs(cosines).max(), rel=1e-12)


def test_variables_on_a_bound_do_not_count():
    bounds = ([0, 1.5], [np.inf, np.inf])
    fit = raphson.lsqtr(decay, [1.0, 2.0], decay_slopes, bounds, verbose=0, gtol=1e-10, ftol=0)
    assert fit.active_mask.tolist() == [0, -1]
    cosines = fit.jac.T @ fit.fun / np.linalg.norm(fit.fun) / np.linalg.norm(fit.jac, axis=0)
    assert abs(cosines[1]) > 0.1
    assert fit.relative_optimality < 1e-5


LARGE = "\nBut the relative optimality is large"


def small_decay(x):
    return 1e-6 * decay(x)


def test_a_success_that_units_have_made_says_so(capsys):
    # Residuals of 1e-6 satisfy the absolute gtol wherever they are.
    fit = raphson.lsqtr(small_decay, [1.0, 1.0], "cs")
    exact = raphson.lsqtr(decay, [1.0, 1.0], decay_slopes, verbose=0, gtol=1e-12, ftol=0)
    assert fit.success
    assert np.abs(fit.x / exact.x - 1).max() > 0.1
    assert fit.relative_optimality > 0.9
    assert LARGE in fit.message
    assert LARGE in capsys.readouterr().out
    assert LARGE not in exact.message


def test_the_scale_free_tolerance_stands_beside_gtol():
    options = {"relative_gtol": 1e-6}
    fits = [
        raphson.lsqtr(
            lambda x, scale=scale: scale * decay(x),
            [1.0, 1.0],
            lambda x, scale=scale: scale * decay_slopes(x),
            gtol=0,
            ftol=0,
            xtol=0,
            verbose=0,
            options=options,
        )
        for scale in (1.0, 2.0**-20, 2.0**20)
    ]
    assert {(fit.success, fit.status, fit.nfev) for fit in fits} == {(True, 5, fits[0].nfev)}
    assert fits[0].message == "`relative_gtol` condition satisfied. (relative_gtol=1.00e-06)"
    assert all(np.array_equal(fit.allx, fits[0].allx) for fit in fits)
    assert all(fit.relative_optimality < 1e-6 for fit in fits)


@pytest.mark.parametrize("exponent", [0, -3, -9])
def test_a_solution_without_a_residual_is_no_cause_for_doubt(exponent):
    # There f may point anywhere.
    exact = np.array([3.0, 10.0**exponent])

    def fun(x):
        return np.array([x[0] * x[1] - exact.prod(), x[0] - exact[0]])

    def jac(x):
        return np.array([[x[1], x[0]], [1.0, 0.0]])

    fit = raphson.lsqtr(fun, exact * [1.1, 2.0], jac, verbose=0, xtol=1e-10, ftol=0, gtol=0)
    assert fit.success
    assert LARGE not in fit.message
    # Nor where the solve begins at the solution.
    again = raphson.lsqtr(fun, fit.x, jac, verbose=0)
    assert again.success
    assert LARGE not in again.message


def equilibrium(c):
    """Calcite in water under air: Ca, H, OH, HCO3 and CO3 in mol/l."""
    calcium, acid, base, bicarbonate, carbonate = c
    return np.array(
        [
            acid * base - 1e-14,
            acid * bicarbonate - 10**-6.35 * 4e-4 * 10**-1.47,
            acid * carbonate - 10**-10.33 * bicarbonate,
            calcium * carbonate - 10**-8.48,
            2 * calcium + acid - base - bicarbonate - 2 * carbonate,
        ]
    )


def test_an_equilibrium_in_concentrations():
    start, bounds = np.full(5, 1e-7), (0, np.inf)
    fit = raphson.lsqtr(equilibrium, start, "cs", bounds, verbose=0)
    assert fit.success
    assert LARGE in fit.message
    # In units of their own the species are found.
    fit = raphson.lsqtr(
        lambda logs: equilibrium(10.0**logs) / [1e-14, 1e-14, 1e-14, 1e-9, 1e-3],
        np.full(5, -5.0),
        "cs",
        verbose=0,
        maxiter=2000,
    )
    assert fit.success
    assert LARGE not in fit.message
    assert -fit.x[1] == pytest.approx(8.1933, abs=1e-4)


# Memory, counts and kinds.


@pytest.mark.parametrize("jac", ["exact", "2-point"])
def test_no_two_jacobians_are_kept(jac):
    rows, unknowns = 4000, 100
    matrix = np.random.default_rng(1).standard_normal((rows, unknowns))

    def fun(x):
        return np.tanh(matrix @ x) - 0.5

    def slopes(x):
        jacobian = matrix / np.cosh(matrix @ x)[:, None] ** 2
        slopes.calls += 1
        if slopes.calls == 3:
            slopes.held = tracemalloc.get_traced_memory()[0]
        return jacobian

    slopes.calls = 0
    start = np.full(unknowns, 0.1)
    if jac == "exact":
        tracemalloc.start()
        fit = raphson.lsqtr(fun, start, slopes, verbose=0, maxiter=3)
        tracemalloc.stop()
        assert fit.njev == 4
        # The one that is being built is the only one of ours or the user's.
        assert slopes.held < 1.5 * matrix.nbytes
    else:
        tracemalloc.start()
        fit = raphson.lsqtr(fun, start, jac, verbose=0, maxiter=3)
        # NumPy allocates none: that of the result is the memory that the differences filled.
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert most < 0.5 * matrix.nbytes
        slopes.calls = 10
        assert np.allclose(fit.jac, slopes(fit.x), atol=1e-5)
    assert fit.jac.flags.writeable


@pytest.mark.parametrize("jac", ["2-point", "3-point", "cs", EXPONENTIAL.jacobian])
def test_every_call_is_counted(jac):
    asked = []

    def fun(x):
        asked.append(x)
        return EXPONENTIAL.residual(x)

    fit = raphson.lsqtr(fun, EXPONENTIAL.start, jac, verbose=0)
    assert fit.calls == len(asked)
    per_jacobian = {"2-point": 1, "3-point": 2, "cs": 1}.get(jac if isinstance(jac, str) else "")
    assert fit.calls == fit.nfev + (per_jacobian or 0) * fit.njev * EXPONENTIAL.start.size
    asked.clear()
    found = raphson.root(lambda x: asked.append(x) or x**3 - 2, [1.0, 2.0], method="newton")
    assert found.calls == found.nfev == len(asked)
    asked.clear()
    found = raphson.root(lambda x: asked.append(x) or x - 2, [1.0, 2.0], method="broyden1")
    assert found.calls == found.nfev == len(asked)


class Foreign:
    """An array of another library."""

    def __init__(self, values):
        self.values = np.asarray(values)

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype=dtype)

    def __array_namespace__(self):
        return types.SimpleNamespace(asarray=Foreign)

    def __abs__(self):
        return Foreign(abs(self.values))

    def sum(self):
        return self.values.sum()


def test_all_arrays_of_a_result_are_of_the_library_of_x0():
    monitor = raphson.Monitor()
    fit = raphson.lsqtr(
        lambda x: np.asarray(x) - 1,
        Foreign([0.0, 0.5]),
        lambda x: np.eye(2),
        bounds=(-1, 0.75),
        verbose=0,
        callback=monitor,
    )
    for name in ("x", "fun", "grad", "v", "active_mask", "f0se", "fse"):
        assert isinstance(fit[name], Foreign), name
    assert fit.active_mask.values.dtype.kind == "i"
    assert monitor.to_dict()["active_bounds"][-1] == 2


def test_the_shortest_step_follows_the_precision_of_x0(capsys):
    for dtype, epsilon in ((np.float32, "1.192e-07"), (np.float64, "2.220e-16")):
        raphson.lsqtr(decay, np.ones(2, dtype), decay_slopes, verbose=3)
        assert f"Minimum Trust Radius               : {epsilon}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("option", "value"),
    [("tr_increase_ratio", 1), ("tr_increase_ratio", np.inf), ("max_dx", 0)],
)
def test_the_border_of_a_domain_is_refused(option, value):
    with pytest.raises(ValueError, match=f"{option} must be"):
        raphson.lsqtr(decay, [1.0, 1.0], decay_slopes, verbose=0, options={option: value})


def test_unknown_options_name_those_that_are_meant():
    def message(**options):
        with pytest.raises((ValueError, TypeError)) as caught:
            raphson.lsqtr(decay, [1.0, 1.0], decay_slopes, verbose=0, options=options)
        return str(caught.value)

    assert "; lsqtr has max_nfev, max_dx, relative_gtol" in message(spam=1)
    assert message(tr_solver="qr").endswith("Did you mean 'tr_method' by 'tr_solver'?")
    assert message(xtol=1).endswith("'xtol' is an argument of its own, outside of options.")
    assert message(maxfev=1).endswith("Did you mean 'max_nfev' by 'maxfev'?")
    with pytest.raises(TypeError, match=r"LeastSquares.* takes tr_method in its options"):
        raphson.LeastSquares([1.0], tr_method="qr")
