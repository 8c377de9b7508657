"""`lsqtr` on problems whose solutions are published: NIST's regressions, and those of MINPACK."""

import numpy as np
import pytest
import scipy.optimize

import more_garbow_hillstrom
import nist
import raphson

TR_METHODS = ("qr", "svd", "cho")

# Significant digits of all parameters that "cho" finds, where they are fewer than the others find:
# it works with the square of the condition number.
EXPECTED_DIGITS: dict[str, int] = {}

# Runs that may end elsewhere, with the sum of squares there, by problem, start and tr_method.
ELSEWHERE = {
    # On its way it passes a long valley where the two exponentials have all but equal rates and
    # huge amplitudes of opposite sign, as in (a + b x) exp(-c x); the best of those is a saddle
    # point at infinity. There the square of the condition number is beyond double precision, and
    # rounding decides whether Cholesky's steps lead out of it: errors of one ulp in the residual
    # suffice to change that. QR and the singular value decomposition find the solution.
    ("MGH17", 1, "cho"): 7.98e-5,
}

# Published minima that are not reached from the standard starts: the sum of squares is attained,
# or approached, here.
OTHER_MINIMA = [
    ("freudenstein-roth", 0.0, [5, 4]),
    ("bard", 17.4286, [0.84066667, -1e12, -1.03483e12]),
    ("kowalik-osborne", 1.02734e-3, [1e8, -14.0758834, -45.25719174e8, -28.2314969e8]),
    ("brown almost linear, n = 10", 1.0, [0] * 9 + [11]),
    ("brown almost linear, n = 30", 1.0, [0] * 29 + [31]),
    ("brown almost linear, n = 40", 1.0, [0] * 39 + [41]),
]

REGRESSIONS = [
    pytest.param(problem, start, id=f"{problem}-{start}")
    for problem in nist.PROBLEMS
    for start in (1, 2)
]


def complex_step(fun, x):
    """The Jacobian of `fun`, to all digits."""
    step = 1e-30
    return np.stack([fun(x + 1j * step * e).imag / step for e in np.eye(x.size)], axis=1)


def digits(found, exact):
    """Significant digits that all components have right."""
    with np.errstate(divide="ignore"):
        return -np.log10(np.max(np.abs((found - exact) / exact)))


def close_to(minimum):
    """Six digits were published, the last of them not rounded."""
    return pytest.approx(minimum, rel=1e-5, abs=0.0 if minimum else 1e-8)


def solve(problem, start, tr_method, maxiter=5000):
    # Far from the solution the models may overflow; the solver has to cope with that.
    with np.errstate(all="ignore"):
        result = raphson.lsqtr(
            problem.residual,
            start,
            problem.jacobian,
            ftol=1e-12,
            xtol=1e-12,
            gtol=1e-12,
            verbose=0,
            maxiter=maxiter,
            options={"tr_method": tr_method},
        )
    f = problem.residual(result.x)
    assert np.isclose(result.cost, f @ f / 2, rtol=1e-10, atol=0)
    return result


def assert_finished(result):
    # With such tolerances a run may end because rounding hides what the last steps gain.
    assert result.success or result.message.startswith("A bad approximation"), result.message


@pytest.mark.parametrize("problem", nist.PROBLEMS, ids=str)
def test_the_regressions_have_the_right_jacobians(problem):
    for parameters in (*problem.starts, problem.certified):
        exact = problem.jacobian(parameters)
        error = np.abs(exact - complex_step(problem.residual, parameters))
        assert np.all(error <= 1e-13 * np.abs(exact).max(axis=0))


@pytest.mark.parametrize("problem", nist.PROBLEMS, ids=str)
def test_the_regressions_have_the_certified_sums_of_squares(problem):
    f, jacobian = problem.residual(problem.certified), problem.jacobian(problem.certified)
    # What the rounding of the certified parameters to 11 digits adds.
    rounding = 5e-11 * np.abs(jacobian) @ np.abs(problem.certified)
    assert f @ f == pytest.approx(
        problem.residual_sum_of_squares, rel=1e-10, abs=rounding @ rounding
    )


@pytest.mark.parametrize("problem", nist.PROBLEMS, ids=str)
def test_the_regressions_have_the_certified_standard_deviations(problem):
    jacobian = problem.jacobian(problem.certified)
    m, n = jacobian.shape
    scale = np.linalg.norm(jacobian, axis=0)
    inverse = np.linalg.inv(np.linalg.qr(jacobian / scale, mode="r"))
    variance = problem.residual_sum_of_squares / (m - n)
    deviations = np.linalg.norm(inverse, axis=1) / scale * np.sqrt(variance)
    assert np.allclose(deviations, problem.standard_deviations, rtol=1e-8, atol=0)


def test_all_regressions_of_lower_and_average_difficulty_are_there():
    levels = [problem.level for problem in nist.PROBLEMS]
    assert (levels.count("Lower"), levels.count("Average")) == (8, 11)
    assert {path.stem for path in nist.FOLDER.glob("*.dat")} == {p.name for p in nist.PROBLEMS}


@pytest.mark.parametrize("problem", more_garbow_hillstrom.PROBLEMS, ids=str)
def test_the_table_has_the_right_jacobians(problem):
    rng = np.random.default_rng(0)
    x = problem.start + rng.uniform(0.1, 0.2, problem.start.shape)
    exact = problem.jacobian(x)
    error = np.abs(exact - complex_step(problem.residual, x))
    assert np.all(error <= 1e-13 * np.abs(exact).max())


@pytest.mark.parametrize("problem", more_garbow_hillstrom.PROBLEMS, ids=str)
def test_the_published_minima_are_found_by_minpack(problem):
    result = scipy.optimize.least_squares(
        problem.residual,
        problem.start,
        problem.jacobian,
        method="lm",
        x_scale="jac",
        ftol=1e-14,
        xtol=1e-14,
        gtol=1e-14,
        max_nfev=5000,
    )
    assert any(2 * result.cost == close_to(minimum) for minimum in problem.minima)


@pytest.mark.parametrize(("name", "minimum", "point"), OTHER_MINIMA)
def test_the_other_published_minima_exist(name, minimum, point):
    problem = next(p for p in more_garbow_hillstrom.PROBLEMS if p.name == name)
    f = problem.residual(np.array(point, dtype=float))
    assert minimum in problem.minima
    assert f @ f == close_to(minimum)


@pytest.mark.parametrize("tr_method", TR_METHODS)
@pytest.mark.parametrize(("problem", "start"), REGRESSIONS)
def test_finds_the_certified_parameters(problem, start, tr_method):
    result = solve(problem, problem.starts[start - 1], tr_method)
    assert_finished(result)
    elsewhere = ELSEWHERE.get((problem.name, start, tr_method))
    if elsewhere is not None and 2 * result.cost == pytest.approx(elsewhere, rel=1e-3):
        return
    expected = EXPECTED_DIGITS.get(problem.name, 4) if tr_method == "cho" else 4
    assert digits(result.x, problem.certified) >= expected
    # Where the sum of squares all but vanishes (Lanczos1), gtol ends the run before it is exact.
    assert 2 * result.cost == pytest.approx(problem.residual_sum_of_squares, rel=1e-8, abs=1e-20)


@pytest.mark.parametrize("maxiter", [1, 3, 10, 30])
@pytest.mark.parametrize(("problem", "start"), REGRESSIONS)
def test_does_not_claim_success_too_early(problem, start, maxiter):
    result = solve(problem, problem.starts[start - 1], "qr", maxiter)
    assert not result.success or digits(result.x, problem.certified) >= 4


@pytest.mark.parametrize("tr_method", TR_METHODS)
@pytest.mark.parametrize("problem", more_garbow_hillstrom.PROBLEMS, ids=str)
def test_finds_a_published_minimum(problem, tr_method):
    result = solve(problem, problem.start, tr_method)
    assert_finished(result)
    assert any(2 * result.cost == close_to(minimum) for minimum in problem.minima)
