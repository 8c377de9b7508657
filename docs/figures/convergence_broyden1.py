"""Draw `convergence_broyden1.svg`: the residual against the calls of F, for SciPy and raphson.

Run it with `python docs/figures/convergence_broyden1.py`; it needs matplotlib. It prints the
numbers that `docs/broyden1.md` states. The file has the same bytes whenever it is drawn with the
same versions on the same kind of processor.
"""

from pathlib import Path

import numpy as np
import scipy.optimize
import style

import raphson

TARGET = Path(__file__).with_suffix(".svg")
SIDE = 20
STYLES = {
    "SciPy": {"color": "#9cc9f0", "linewidth": 5, "zorder": 2},
    "raphson": {"color": "#12304f", "linewidth": 1.2, "zorder": 4},
    "SciPy, F disturbed": {"color": "#e07b16", "linewidth": 1.4, "zorder": 3},
}
# Two paths part where their residuals differ by this much of their size.
PARTED = 0.5


def tridiagonal(x):
    """Broyden's tridiagonal system."""
    f = (3 - 2 * x) * x + 1
    f[1:] -= x[:-1]
    f[:-1] -= 2 * x[1:]
    return f


def bratu(x):
    """Discretise −Δu = 6 exp(u) on the unit square, u = 0 on its boundary, with five points."""
    u = np.pad(x.reshape(SIDE, SIDE), 1)
    neighbours = u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:]
    inner = u[1:-1, 1:-1]
    return (4 * inner - neighbours - 6 * np.exp(inner) / (SIDE + 1) ** 2).ravel()


PROBLEMS = {
    "tridiagonal system, 1000 unknowns": (tridiagonal, np.full(1000, -1.0), {"alpha": -0.2}),
    f"Bratu problem, {SIDE}² unknowns, no line search": (
        bratu,
        np.zeros(SIDE**2),
        {"alpha": -0.25, "line_search": None},
    ),
}


class Recorded:
    """A function that keeps the points it was asked at and the norms of what it returned."""

    def __init__(self, fun, noise=None):
        self.fun = fun
        self.noise = noise
        self.points = []
        self.norms = []

    def __call__(self, x):
        """Call the function; with noise, change each value by one rounding error, up or down."""
        self.points.append(x.copy())
        f = self.fun(x)
        if self.noise is not None:
            f = f * (1 + self.noise.choice([-1, 1], size=f.shape) * 1.2e-16)
        self.norms.append(np.max(np.abs(f)))
        return f


def record(solver, problem, noise=None):
    """Solve a problem; what F was asked and what it answered."""
    fun, start, options = problem
    recorded = Recorded(fun, noise)
    solver(recorded, start, f_tol=1e-8, **options)
    return recorded


def distances(run, reference):
    """How far corresponding points are apart, relative to their size; the start is left out."""
    pairs = zip(run.points[1:], reference.points[1:], strict=False)
    return np.array([np.max(np.abs(x - y)) / np.max(np.abs(y)) for x, y in pairs])


def parting(run, reference):
    """Return the first call where the residuals are no longer the same, or None."""
    pairs = zip(run.norms, reference.norms, strict=False)
    different = (abs(norm / other - 1) > PARTED for norm, other in pairs)
    return next((call for call, parted in enumerate(different, 1) if parted), None)


def describe(title, runs):
    """Print the numbers of calls, how far the points are apart, and where the paths part."""
    print(title)
    for name, run in runs.items():
        print(f"  {name}: {len(run.points)} calls, last residual {run.norms[-1]:.1e}", end="")
        if name != "SciPy":
            apart = np.maximum.accumulate(distances(run, runs["SciPy"]))
            until = [f"{apart[n - 2]:.0e} in {n}" for n in (20, 40, 80) if n <= len(apart) + 1]
            call = parting(run, runs["SciPy"])
            print(f"; points apart by {', '.join(until)} calls; parts at call {call}", end="")
        print()


def draw(axes, title, runs):
    """Draw one problem."""
    for name, run in runs.items():
        calls = np.arange(1, len(run.norms) + 1)
        axes.semilogy(calls, run.norms, label=name, solid_joinstyle="round", **STYLES[name])
    axes.axhline(1e-8, color=style.GRAY, linewidth=0.7, linestyle=(0, (4, 4)), zorder=1)
    axes.annotate("f_tol", (0, 1e-8), (4, 3), textcoords="offset points", color=style.GRAY)
    calls = [parting(run, runs["SciPy"]) for run in runs.values()]
    first = min((call for call in calls if call is not None), default=None)
    if first is not None:
        axes.axvline(first, color=style.GRAY, linewidth=0.9, linestyle=(0, (1, 2)), zorder=1)
        axes.annotate(
            "the paths part", (first, 1e3), (5, 0), textcoords="offset points", color=style.GRAY
        )
    style.tidy(axes, title, "calls of F")
    axes.set_yticks([10.0**k for k in range(-8, 5, 2)])


def main():
    """Solve, print and draw."""
    figure, both = style.panels(sharey=True, width_ratios=[2, 3])
    for axes, (title, problem) in zip(both, PROBLEMS.items(), strict=True):
        runs = {
            "SciPy": record(scipy.optimize.broyden1, problem),
            "raphson": record(raphson.broyden1, problem),
            "SciPy, F disturbed": record(
                scipy.optimize.broyden1, problem, np.random.default_rng(0)
            ),
        }
        describe(title, runs)
        draw(axes, title, runs)
    both[0].set_ylabel("largest component of F")
    both[0].legend(frameon=False, loc="upper right")
    figure.tight_layout()
    figure.savefig(TARGET, metadata={"Date": None, "Creator": None})


if __name__ == "__main__":
    main()
