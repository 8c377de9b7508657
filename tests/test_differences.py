"""Jacobians from values of the function: what they must notice before a success is claimed."""

import pickle

import numpy as np
import pytest

import raphson

T = np.linspace(0, 4, 30)
DATA = 2.5 * np.exp(-1.3 * T) + 0.01 * np.cos(7 * T)
FIT = np.array([2.5045722, 1.3030743])
CROSSING = np.array([1.2497963839, -1.4896323377])


def model(x, kind):
    a, b = (kind(component) for component in x)
    return a * np.exp(-b * T.astype(kind))


FITS = {
    "single inside, double data": lambda x: model(x, np.float32).astype(float) - DATA,
    "single inside": lambda x: (model(x, np.float32) - DATA.astype(np.float32)).astype(float),
    "single out": lambda x: model(x, np.float32) - DATA.astype(np.float32),
    "list of single": lambda x: list(model(x, np.float32) - DATA.astype(np.float32)),
}


def curves(v, kind=np.float32):
    x, y = (kind(component) for component in v)
    return np.array([np.exp(x) + y - kind(2), x**2 + kind(2) * y**2 - kind(6)], kind)


SYSTEMS = {
    "single inside": lambda v: curves(v).astype(float),
    "single out": curves,
    "list of single": lambda v: list(curves(v)),
}


class Counted:
    def __init__(self, fun):
        self.fun, self.calls = fun, 0

    def __call__(self, x):
        self.calls += 1
        return self.fun(x)


@pytest.mark.parametrize("start", [[1.0, 1.0], [0.3, 0.2], [2.0, 0.0], [0.1, 3.0], [0, 0]])
@pytest.mark.parametrize("jac", ["2-point", "3-point"])
@pytest.mark.parametrize("fun", FITS.values(), ids=FITS)
def test_least_squares_in_single_precision(fun, jac, start):
    fun = Counted(fun)
    fit = raphson.lsqtr(fun, start, jac, verbose=0)
    assert fit.success
    assert np.allclose(fit.x, FIT, rtol=1e-4)
    # The noise is looked for at most twice, with seven calls and new differences.
    again = {"2-point": 2, "3-point": 4}[jac] * (fit.njev + 2)
    assert fun.calls <= fit.nfev + again + 16


@pytest.mark.parametrize("options", [{}, {"xtol": 1e-12}, {"diff_step": 1e-9}])
@pytest.mark.parametrize("jac", ["2-point", "3-point"])
@pytest.mark.parametrize("fun", SYSTEMS.values(), ids=SYSTEMS)
def test_systems_in_single_precision(fun, jac, options):
    solution = raphson.root(fun, [2.0, -2.0], jac=jac, options=options, method="newton")
    assert solution.success
    assert np.allclose(solution.x, CROSSING, rtol=3e-6)
    if solution.status == 2:
        assert "rounding errors of fun" in solution.message


def test_jax_in_its_default_precision():
    jax = pytest.importorskip("jax")
    fun = jax.jit(lambda x: x[0] * jax.numpy.exp(-x[1] * T) - DATA)
    for residual in (fun, lambda x: np.asarray(fun(x), dtype=float)):
        for jac in ("2-point", "3-point"):
            fit = raphson.lsqtr(residual, [1.0, 1.0], jac, verbose=0)
            assert fit.success
            assert np.allclose(fit.x, FIT, rtol=1e-4)
    system = jax.jit(
        lambda v: jax.numpy.array([jax.numpy.exp(v[0]) + v[1] - 2, v[0] ** 2 + 2 * v[1] ** 2 - 6])
    )
    for residual in (system, lambda v: np.asarray(system(v), dtype=float)):
        solution = raphson.root(residual, [2.0, -2.0], method="newton")
        assert solution.success
        assert np.allclose(solution.x, CROSSING, rtol=3e-6)


def test_the_noise_ends_a_fit_with_a_status_of_its_own():
    fun = FITS["single inside"]
    fit = raphson.lsqtr(fun, [1.0, 1.0], "2-point", verbose=0, ftol=0, xtol=0, gtol=0)
    assert (fit.success, fit.status) == (True, 6)
    assert "rounding errors of fun" in fit.message
    assert np.allclose(fit.x, FIT, rtol=1e-4)
    assert fit.nfev < 15


def test_diff_step_of_lsqtr_is_relative_and_is_kept():
    asked = []
    fit = raphson.lsqtr(
        lambda x: asked.append(x.copy()) or x**2 - [4.0, 9.0],
        [200.0, 0.0],
        "2-point",
        verbose=0,
        maxiter=1,
        options={"diff_step": 1e-3},
    )
    assert asked[1].tolist() == [200.2, 0.0]
    assert asked[2].tolist() == [200.0, 1e-3]
    assert fit.njev >= 1
    usual = raphson.lsqtr(
        lambda x: x**2 - 2, [1.5], "2-point", verbose=0, options={"diff_step": None}
    )
    assert usual.success
    with pytest.raises(ValueError, match="diff_step must be positive and finite, got 0"):
        raphson.lsqtr(lambda x: x, [1.0], "2-point", options={"diff_step": 0})


# A level so far above what x adds to it that a step of double precision is lost, but no wider one.
def hidden(x):
    return np.array([x[0] - 0.5, 1e9 * (1 + 1e-9 * (x[1] - 2.0)) - 1e9])


@pytest.mark.parametrize("jac", ["2-point", "3-point"])
def test_a_column_that_a_wider_step_moves_is_not_zero(jac):
    fit = raphson.lsqtr(hidden, [1.0, 1.0], jac, verbose=0)
    assert not fit.success or np.allclose(fit.x, [0.5, 2.0], rtol=1e-3)
    assert abs(fit.x[1] - 2.0) < 1e-3
    solution = raphson.root(hidden, [1.0, 1.0], jac=jac, method="newton")
    assert np.allclose(solution.x, [0.5, 2.0], rtol=1e-3)


def test_what_is_constant_in_an_unknown_is_asked_about_once():
    fun = Counted(lambda x: np.array([x[0] ** 2 - 2, x[0] - 1]))
    fit = raphson.lsqtr(fun, [1.3, 1.0], "2-point", verbose=0)
    assert fit.success
    assert fun.calls == fit.nfev + 2 * fit.njev + 2


def test_a_stationary_point_is_a_success():
    for jac in ("2-point", "3-point", "cs"):
        fit = raphson.lsqtr(lambda x: 3.0 - np.cos(x), [0.0], jac, verbose=0)
        assert fit.success
        assert fit.x.tolist() == [0.0]


SMOOTH = {
    "exp": lambda x: np.array([np.exp(x[0]) - 2, x[0] * x[1] - 3]),
    "linear": lambda x: np.array([x[0] + 2 * x[1] - 3, x[0] - x[1]]),
    "powers of two": lambda x: np.array([x[0] - 0.25, 4 * x[1] - 1]),
    "a large constant": lambda x: np.array([x[0] ** 3 - 1e6, x[1] - 1e3]),
}


@pytest.mark.parametrize("start", [[1.0, 1.0], [0.7, 3.1]])
@pytest.mark.parametrize(("jac", "calls"), [("2-point", 2), ("3-point", 4), ("cs", 2)])
@pytest.mark.parametrize("fun", SMOOTH.values(), ids=SMOOTH)
def test_smooth_functions_cost_nothing_more(fun, jac, calls, start):
    counted = Counted(fun)
    fit = raphson.lsqtr(counted, start, jac, verbose=0)
    assert counted.calls == fit.nfev + calls * fit.njev
    counted = Counted(fun)
    solution = raphson.root(counted, start, jac=jac, method="newton")
    assert counted.calls == solution.nfev
    assert solution.success


@pytest.mark.parametrize("start", [[0.0, 3.0], [0.3, 0.0]])
@pytest.mark.parametrize(("jac", "calls"), [("2-point", 2), ("3-point", 4)])
def test_linear_functions_cost_nothing_more(jac, calls, start):
    for fun in (SMOOTH["linear"], SMOOTH["powers of two"]):
        counted = Counted(fun)
        fit = raphson.lsqtr(counted, start, jac, verbose=0)
        assert counted.calls == fit.nfev + calls * fit.njev


# Functions of a complex x that drop the imaginary part, and what they drop it of.
def into_real_array(x):
    values = np.empty(2)
    values[:] = np.real(x[0] * x[1]), np.real(x[0] ** 2)
    return values


DROPS_ALL = {
    "a real array": into_real_array,
    "abs": lambda x: np.abs(x) - 2.0,
    "a norm": lambda x: np.array([np.linalg.norm(x) - 1, np.linalg.norm(x - 3)]),
    "real, in a complex array": lambda x: (
        (x.real**2 - 2).astype(complex) if np.iscomplexobj(x) else x**2 - 2
    ),
}


@pytest.mark.parametrize("fun", DROPS_ALL.values(), ids=DROPS_ALL)
def test_the_complex_step_refuses_what_drops_every_imaginary_part(fun):
    what = r"fun: .* no imaginary part, although they depend on x.*jac='cs'.*'3-point'"
    with pytest.raises(ValueError, match=what):
        raphson.lsqtr(fun, [1.0, 1.5], "cs", verbose=0)
    with pytest.raises(ValueError, match=what):
        raphson.root(fun, [1.0, 1.5], jac="cs", method="newton")


def test_a_refused_answer_leaves_the_solver_as_it_was():
    solver = raphson.LeastSquares([1.0, 1.5], "cs")
    with pytest.raises(ValueError, match="no imaginary part"):
        solver.solve(np.abs)
    before = solver.to_bytes()
    for _ in range(2):
        what, x = solver.ask()
        assert what == "residual"
        with pytest.raises(ValueError, match=r"value: .*no imaginary part"):
            solver.tell(np.abs(x))
        assert pickle.loads(pickle.dumps(solver)).to_bytes() == before
    solver.stop()
    assert solver.result().status == -4


DROPS_SOME = {
    "component 1 of its value": lambda x: np.array([x[0] * x[1] - 2, abs(x[0]) - 0.5]),
    "component 1 of x": lambda x: np.array([x[0] + np.real(x[1]), x[0] - 2 * np.real(x[1])]) - 1,
}


@pytest.mark.parametrize(("what", "fun"), DROPS_SOME.items(), ids=DROPS_SOME)
def test_the_complex_step_ends_where_one_component_drops_it(what, fun):
    for result, status in (
        (raphson.lsqtr(fun, [1.0, 1.5], "cs", verbose=0), -8),
        (raphson.root(fun, [1.0, 1.5], jac="cs", method="newton"), -6),
    ):
        assert (result.success, result.status) == (False, status)
        assert what in result.message
        assert "jac='cs'" in result.message
        assert "jac='3-point'" in result.message
        assert result.x.tolist() == [1.0, 1.5]


def test_the_refusal_of_one_component_is_saved():
    fun = DROPS_SOME["component 1 of its value"]
    solver = raphson.NewtonSystem([1.0, 1.5], "cs")
    solver.solve(fun)
    loaded = raphson.NewtonSystem.from_bytes(solver.to_bytes())
    assert loaded.result().message == solver.result().message


def test_the_complex_step_takes_functions_that_are_constant():
    fit = raphson.lsqtr(lambda x: np.array([1.0, 2.0]), [1.0, 1.5], "cs", verbose=0)
    assert fit.success
    counted = Counted(lambda x: np.array([x[0] ** 2 - 2, x[0] - 1.5, 7.0]))
    fit = raphson.lsqtr(counted, [1.0, 1.5], "cs", verbose=0)
    assert fit.success
    # The last component and the last unknown are looked at once, with two calls each.
    assert counted.calls == fit.nfev + 2 * fit.njev + 4


# Dissolved carbonate with sodium, in mol/l: H+, OH-, CO2, HCO3-, CO3--, Na+ and an ion pair.
WATER, ACIDITY_1, ACIDITY_2 = 1e-14, 10**-6.35, 10**-10.33


def carbonate(pair, association, by_carbon_dioxide, carbon, sodium, chloride):
    """Mass action and balances in concentrations as they are, from 1e-12 to 1e-3."""

    def fun(x):
        hydrogen, hydroxide, dioxide, bicarbonate, carbonate, free, paired = x
        ligand = carbonate if pair == "NaCO3-" else bicarbonate
        charge_of_pair = -1 if pair == "NaCO3-" else 0
        total = 1e-2 * carbon if by_carbon_dioxide else carbon
        dissolved = dioxide if by_carbon_dioxide else dioxide + bicarbonate + carbonate + paired
        return np.array(
            [
                hydrogen * hydroxide - WATER,
                hydrogen * bicarbonate - ACIDITY_1 * dioxide,
                hydrogen * carbonate - ACIDITY_2 * bicarbonate,
                paired - association * free * ligand,
                dissolved - total,
                free + paired - sodium,
                hydrogen
                + free
                + charge_of_pair * paired
                - hydroxide
                - bicarbonate
                - 2 * carbonate
                - chloride,
            ]
        )

    return fun


# The first edition took 70, 100 (in vain), 42 (in vain), 27 (in vain) and 49 (in vain) iterations
# with '2-point' and 1072, 1407, 827, 566 and 1019 calls.
CARBONATES = [
    ("NaHCO3", 10**-0.25, True, 2e-3, 2e-4, 6e-5),
    ("NaHCO3", 10**-0.25, True, 2e-3, 6e-4, 5.4e-4),
    ("NaHCO3", 10**-0.25, True, 1e-3, 3e-4, 2.7e-4),
    ("NaCO3-", 10**1.27, True, 2e-3, 6e-4, 5.4e-4),
    ("NaHCO3", 10**-0.25, False, 2e-3, 2e-3, 6e-4),
]


@pytest.mark.parametrize("jac", ["2-point", "3-point", "cs"])
@pytest.mark.parametrize("water", CARBONATES, ids=str)
def test_seven_carbonate_species_without_scaling(water, jac):
    fun = carbonate(*water)
    start = np.full(7, 1e-7)
    solution = raphson.root(fun, start, jac=jac, method="newton")
    assert solution.success
    assert solution.nit <= 10
    assert solution.nfev < 150
    exact = raphson.root(fun, start, jac="cs", method="newton").x
    assert np.allclose(solution.x, exact, rtol=1e-7, atol=0)


def test_better_jacobians_are_saved():
    fun = carbonate(*CARBONATES[0])
    solver = raphson.NewtonSystem(np.full(7, 1e-7), "2-point")
    twin = raphson.NewtonSystem(np.full(7, 1e-7), "2-point")
    twin.solve(fun)
    while not solver.done:
        solver = pickle.loads(pickle.dumps(solver))
        solver.tell(fun(solver.ask().x))
    assert solver.result().nfev == twin.result().nfev
    assert solver.x.tobytes() == twin.x.tobytes()


def test_a_jacobian_that_the_user_gives_is_asked_for_once_an_iteration():
    calls = []

    def wrong(x):
        calls.append(x)
        return np.diag(1.02 * np.cos(x) - 2.0)

    raphson.root(lambda x: np.sin(x) - 0.9 * x - 1.0, [3.0, -4.0], jac=wrong, method="newton")
    assert len(calls) == len({x.tobytes() for x in calls})
