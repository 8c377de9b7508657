"""Newton's method on three problems: an equation, a pair of equations, and a power grid.

Run it with `python examples/newton.py`.
"""

import math

import numpy as np

import raphson


class Counted:
    """A function that counts its calls."""

    def __init__(self, function):
        self.function = function
        self.calls = 0

    def __call__(self, x):
        """Call the function."""
        self.calls += 1
        return self.function(x)


def report(title, names, root, residual, *functions):
    """Print one row of the table for each unknown, with the cost of all of them."""
    calls = " + ".join(str(function.calls) for function in functions)
    for i, (name, value) in enumerate(zip(names, root, strict=True)):
        costs = f"{np.max(np.abs(residual)):>12.1e}   {calls}" if i == 0 else ""
        print(f"{title if i == 0 else '':<34}{name:>10} = {value:<18.12g}{costs}")


def equation():
    """Solve exp(x) = x + 2."""
    f = Counted(lambda x: math.exp(x) - x - 2)
    slope = Counted(lambda x: math.exp(x) - 1)
    root = raphson.newton(f, 1.0, slope)
    report("exp(x) = x + 2", ["x"], [root], f.function(root), f, slope)


def two_curves():
    """Find where exp(x) + y = 2 and x^2 + 2 y^2 = 6 meet."""

    def residual(v):
        x, y = v
        return [np.exp(x) + y - 2, x**2 + 2 * y**2 - 6]

    def jacobian(v):
        x, y = v
        return [[np.exp(x), 1], [2 * x, 4 * y]]

    for start in ([2.0, -2.0], [-2.0, 2.0]):
        fun, jac = Counted(residual), Counted(jacobian)
        solution = raphson.root(fun, start, jac=jac, method="newton")
        report(f"two curves, from {start}", "xy", solution.x, solution.fun, fun, jac)


def power_flow():
    """Find the voltages in a grid of three buses, in units of 100 MVA.

    A generator holds bus 1 at 1.05, another puts 200 MW into bus 3 and holds it at 1.04; a load
    takes 400 MW and 250 Mvar from bus 2. The grid is example 6.10 of H. Saadat, "Power System
    Analysis", McGraw-Hill, 1999.
    """
    lines = {(0, 1): 0.02 + 0.04j, (0, 2): 0.01 + 0.03j, (1, 2): 0.0125 + 0.025j}
    admittance = np.zeros((3, 3), dtype=complex)
    for (i, j), impedance in lines.items():
        admittance[[i, j], [j, i]] -= 1 / impedance
        admittance[[i, j], [i, j]] += 1 / impedance

    def mismatch(unknowns):
        voltage2, angle2, angle3 = unknowns
        voltage = np.array([1.05, voltage2, 1.04])
        angle = np.array([0.0, angle2, angle3])
        difference = angle[:, np.newaxis] - angle
        products = voltage[:, np.newaxis] * voltage
        g, b = admittance.real, admittance.imag
        active = (products * (g * np.cos(difference) + b * np.sin(difference))).sum(axis=1)
        reactive = (products * (g * np.sin(difference) - b * np.cos(difference))).sum(axis=1)
        return np.array([active[1] + 4.0, active[2] - 2.0, reactive[1] + 2.5])

    fun = Counted(mismatch)
    solution = raphson.root(fun, [1.0, 0.0, 0.0], jac="cs", method="newton")
    voltage2, angle2, angle3 = solution.x
    report(
        "power grid, complex-step Jacobian",
        ["|V2|", "angle2/deg", "angle3/deg"],
        [voltage2, np.degrees(angle2), np.degrees(angle3)],
        solution.fun,
        fun,
    )


if __name__ == "__main__":
    print(f"{'problem':<34}{'':>10}   {'root':<18}{'residual':>12}   calls of f + f'")
    equation()
    two_curves()
    power_flow()
