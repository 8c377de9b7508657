"""A fit whose simulations run in other processes: you hold the loop, the solver asks.

Three rates of a chain of reactions A -> B -> C (-> lost) are fitted to measured concentrations.
Every residual is a simulation, and for a Jacobian by differences there is one for each rate, all
at the same time. Between any two lines the solver could be saved.

Run it with `python examples/parallel.py`.
"""

import time
from concurrent.futures import ProcessPoolExecutor

import numpy as np

import raphson

TIMES = np.linspace(0.0, 4.0, 17)
TRUE_RATES = np.array([1.7, 0.6, 0.2])
STEP = 1e-6


def concentrations(rates):
    """Simulate B and C by the classical Runge-Kutta method; slow, as simulations are."""
    one, two, three = rates
    matrix = np.array([[-one, 0.0, 0.0], [one, -two, 0.0], [0.0, two, -three]])
    state, now, states = np.array([1.0, 0.0, 0.0]), 0.0, []
    for moment in TIMES:
        steps = max(1, round((moment - now) / 1e-3))
        width = (moment - now) / steps
        for _ in range(steps):
            k1 = matrix @ state
            k2 = matrix @ (state + width / 2 * k1)
            k3 = matrix @ (state + width / 2 * k2)
            k4 = matrix @ (state + width * k3)
            state = state + width / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        now = moment
        states.append(state[1:])
    return np.concatenate(states)


def jacobian(pool, rates, here):
    """Difference quotients; the simulations of all columns run at once."""
    displaced = rates + STEP * np.eye(len(rates))
    columns = list(pool.map(concentrations, displaced))
    return np.column_stack([(column - here) / STEP for column in columns])


def main():
    """Fit the rates."""
    noise = np.random.default_rng(0).normal(0.0, 2e-3, 2 * len(TIMES))
    measured = concentrations(TRUE_RATES) + noise
    solver = raphson.LeastSquares([1.0, 1.0, 1.0], bounds=([0.0, 0.0, 0.0], np.inf))
    began = time.perf_counter()
    with ProcessPoolExecutor(max_workers=3) as pool:
        simulated = None
        while not solver.done:
            what, rates = solver.ask()
            if what == "residual":
                simulated = pool.submit(concentrations, rates).result()
                solver.tell(simulated - measured)
            else:
                # A Jacobian is asked for where the residual was told last.
                solver.tell(jacobian(pool, rates, simulated))
                print(f"iteration {solver.nit}: cost {solver.cost:.3e} at rates {rates.round(4)}")
    result = solver.result()
    print(f"{result.message}")
    print(f"fitted {result.x.round(3)}, true {TRUE_RATES}")
    print(f"{result.nfev} + {3 * result.njev} simulations, {time.perf_counter() - began:.1f} s")
    assert np.allclose(result.x, TRUE_RATES, atol=0.02)


if __name__ == "__main__":
    main()
