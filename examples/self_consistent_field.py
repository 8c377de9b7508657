"""A self-consistent field, with Broyden's method as the mixer.

Eight electrons in a one-dimensional trap repel each other. The density n makes a potential, the
potential makes orbitals, and those make a density again:

    n  ->  V[n]  ->  -1/2 psi'' + V psi = e psi  ->  sum of |psi|^2  =  G[n].

The density sought is the fixed point n = G[n]. Feeding G[n] back overshoots (the charge
"sloshes"), damping it helps slowly, and Broyden's method on F[n] = G[n] - n learns how much
to mix.

Run it with `python examples/self_consistent_field.py`.
"""

import numpy as np
from scipy.linalg import eigh_tridiagonal

import raphson

POINTS = np.linspace(-10.0, 10.0, 201)
SPACING = POINTS[1] - POINTS[0]
ELECTRONS = 8
# Coulomb's repulsion, softened as is usual in one dimension.
REPULSION = 1.0 / np.sqrt((POINTS[:, None] - POINTS[None, :]) ** 2 + 1.0)
TRAP = 0.02 * POINTS**2


def density_from(density):
    """G[n]: the density of the orbitals in the potential of a density, two electrons in each."""
    potential = TRAP + SPACING * REPULSION @ density
    kinetic = 1.0 / SPACING**2
    _, orbitals = eigh_tridiagonal(
        kinetic + potential,
        np.full(len(POINTS) - 1, -0.5 * kinetic),
        select="i",
        select_range=(0, ELECTRONS // 2 - 1),
    )
    return 2.0 * np.sum(orbitals**2, axis=1) / SPACING


def guess():
    """All electrons in one broad hump."""
    hump = np.exp(-(POINTS**2) / 20.0)
    return ELECTRONS * hump / (SPACING * hump.sum())


def damped(mixing, tolerance, limit=400):
    """Say how many densities simple mixing takes, which adds a fixed share of the change."""
    density = guess()
    for count in range(1, limit + 1):
        change = density_from(density) - density
        if np.max(np.abs(change)) <= tolerance:
            return f"{count} densities"
        density = density + mixing * change
    return f"not in {limit} densities (still off by {np.max(np.abs(change)):.0e})"


def main():
    """Mix by Broyden's method, and compare."""
    tolerance = 1e-9
    mixer = raphson.Broyden1(guess(), alpha=0.3, f_tol=tolerance, line_search=None)
    while not mixer.done:
        _, density = mixer.ask()
        mixer.tell(density_from(density) - density)
        if mixer.nit:
            print(f"iteration {mixer.nit:2}: |G[n] - n| = {mixer.residual_norm:.1e}")
    result = mixer.result()
    charge = SPACING * result.x.sum()
    print(f"Broyden:       {result.nfev} densities, {charge:.6f} electrons")
    for mixing in (1.0, 0.3, 0.1):
        print(f"mixing of {mixing:3}: {damped(mixing, tolerance)}")
    assert result.success
    assert abs(charge - ELECTRONS) < 1e-6


if __name__ == "__main__":
    main()
