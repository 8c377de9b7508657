"""Every figure printed in the reference text on Newton's method."""

import numpy as np
import pytest

import raphson

EPSILON = np.finfo(float).eps


def printed(values):
    """Parse what the text prints: the decimals shown are the figures to reproduce."""
    return [line.split() for line in values.strip().splitlines()]


def points_asked(f, x0, fprime, **options):
    points = []

    def recorded(x):
        points.append(x)
        return f(x)

    root = raphson.newton(recorded, x0, fprime, **options)
    return [*points[1:], root]


EXPONENTIAL = printed("""
1.163953413738653
1.1464211850430086
1.1461932587044987
1.1461932206205836
1.1461932206205827
1.1461932206205827
""")

SYSTEM = printed("""
1.47534204 -1.51232898
1.27281682 -1.48698329
1.25005406 -1.48961351
1.24979642 -1.48963233
1.24979638 -1.48963234
1.24979638 -1.48963234
1.24979638 -1.48963234
""")


def test_exponential_equation():
    points = points_asked(
        lambda x: np.exp(x) - x - 2.0, 1.0, lambda x: np.exp(x) - 1, tol=EPSILON, maxiter=10
    )
    assert [[repr(float(x))] for x in points] == EXPONENTIAL


def system(v):
    x, y = v
    return np.array([np.exp(x) + y - 2.0, x**2 + 2 * y**2 - 6.0])


def system_jacobian(v):
    x, y = v
    return np.array([[np.exp(x), 1], [2 * x, 4 * y]])


def test_system_of_two_equations():
    points = []
    raphson.root(
        system,
        [2.0, -2.0],
        jac=system_jacobian,
        callback=lambda x, f: points.append(x),
        options={"line_search": None, "xtol": 0.0, "maxiter": len(SYSTEM)},
        method="newton",
    )
    assert [[f"{x:.8f}" for x in point] for point in points] == SYSTEM


@pytest.mark.parametrize("line_search", [None, "armijo"])
def test_system_is_solved_to_machine_precision(line_search):
    solution = raphson.root(
        system,
        [2.0, -2.0],
        jac=system_jacobian,
        options={"line_search": line_search},
        method="newton",
    )
    assert solution.success
    assert [f"{x:.8f}" for x in solution.x] == SYSTEM[-1]
    assert np.max(np.abs(system(solution.x))) < 8 * EPSILON


def test_task_1():
    root = raphson.newton(lambda x: np.cos(x) - x, 0.5, lambda x: -np.sin(x) - 1, tol=EPSILON)
    assert abs(np.cos(root) - root) < EPSILON


def test_task_2():
    solution = raphson.root(
        lambda v: [np.sin(v[0]) - v[1], v[0] ** 2 + v[1] ** 4 - 1],
        [0.0, 1.0],
        jac=lambda v: [[np.cos(v[0]), -1.0], [2 * v[0], 4 * v[1] ** 3]],
        options={"xtol": EPSILON},
        method="newton",
    )
    assert solution.success
    x, y = solution.x
    assert abs(np.sin(x) - y) < 4 * EPSILON
    assert abs(x**2 + y**4 - 1) < 4 * EPSILON
