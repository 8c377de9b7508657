"""Draw `convergence_lsqtr.svg`: the cost against the evaluations, for DESC and raphson.

Run it with `python docs/figures/convergence_lsqtr.py`; it needs matplotlib. DESC's points are
those recorded in tests/fixtures/desc. It prints the numbers that `docs/lsqtr.md` states. The file
has the same bytes whenever it is drawn with the same versions on the same kind of processor.
"""

import json
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import style

import raphson

TARGET = Path(__file__).with_suffix(".svg")
FIXTURES = Path(__file__).parents[2] / "tests" / "fixtures" / "desc"
STYLES = {
    "DESC": {"color": "#9cc9f0", "linewidth": 5, "marker": "o", "markersize": 8, "zorder": 2},
    "raphson": {
        "color": "#12304f",
        "linewidth": 1.2,
        "marker": "o",
        "markersize": 2.5,
        "zorder": 4,
    },
}
TITLES = {
    "kowalik-osborne": "Kowalik and Osborne, 4 unknowns",
    "helical valley, box": "helical valley, 3 unknowns in a box",
}

sys.path.insert(0, str(FIXTURES))
from lsq_problems import PROBLEMS  # noqa: E402


def cost(problem, x):
    """Half the sum of squares."""
    f = problem.residual(x)
    return f @ f / 2


def solve(problem, **settings):
    """Solve a problem; the result, and the points that `fun` was asked for."""
    points = []

    def fun(x):
        points.append(x.copy())
        return problem.residual(x)

    bounds = (problem.lower, problem.upper)
    result = raphson.lsqtr(
        fun, problem.start, problem.jacobian, bounds=bounds, verbose=0, **settings
    )
    return result, points


def recorded(name):
    """Return the points that DESC asked for with the default settings."""
    cases = json.loads((FIXTURES / "desc_lsqtr.json").read_text())["cases"]
    return next(np.array(case["asked"]) for case in cases if case["name"] == name)


def draw(axes, name, runs, lowest):
    """Draw one problem."""
    problem = PROBLEMS[name]
    for label, points in runs.items():
        above = [cost(problem, x) - lowest for x in points]
        count = np.arange(1, len(above) + 1)
        axes.semilogy(count, above, label=label, solid_joinstyle="round", **STYLES[label])
    style.tidy(axes, TITLES[name], "evaluations of f")
    axes.xaxis.set_major_locator(mpl.ticker.MultipleLocator(5))
    axes.yaxis.set_major_locator(mpl.ticker.LogLocator(numticks=8))


def main():
    """Solve, print and draw."""
    figure, both = style.panels(width_ratios=[3, 2])
    for axes, name in zip(both, TITLES, strict=True):
        problem = PROBLEMS[name]
        result, points = solve(problem)
        lowest = solve(problem, ftol=0, xtol=1e-15, gtol=1e-15)[0].cost
        theirs = recorded(name)
        apart = np.max(np.abs(np.array(points) - theirs) / np.max(np.abs(theirs), axis=0))
        rejected = result.nfev - result.njev
        print(
            f"{name}: {len(theirs)} and {len(points)} evaluations, {rejected} of them rejected; "
            f"points apart by {apart:.0e}; last cost above {lowest:.6e} by "
            f"{result.cost - lowest:.1e}"
        )
        draw(axes, name, {"DESC": theirs, "raphson": points}, lowest)
    both[0].set_ylabel("cost above its minimum")
    both[0].legend(frameon=False, loc="upper right")
    figure.tight_layout()
    figure.savefig(TARGET, metadata={"Date": None, "Creator": None})


if __name__ == "__main__":
    main()
