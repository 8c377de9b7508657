"""Broyden's first method in numbers of sixty digits.

Where two programs differ by their rounding errors, neither of them is the truth: the judge is the
same iteration in arithmetic that is as good as exact. The residual is evaluated in that
arithmetic too, at points that are not rounded.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np
from numpy.typing import NDArray

# A context of our own: its precision and the methods of its numbers are nobody else's.
EXACT = mpmath.mp.clone()
EXACT.dps = 60


def let_numpy_compute() -> None:
    """Give the numbers the methods that NumPy's functions call on arrays of objects."""
    methods = {"exp": EXACT.exp, "sqrt": EXACT.sqrt, "hypot": EXACT.hypot}
    methods |= {"sin": EXACT.sin, "cos": EXACT.cos, "arctan": EXACT.atan}
    for name, function in methods.items():
        # A function of Python's becomes a method, which those of the context do not.
        setattr(EXACT.mpf, name, lambda *numbers, function=function: function(*numbers))


let_numpy_compute()


def exact(values: Any) -> NDArray:
    """An array of the same numbers with sixty digits."""
    return np.vectorize(EXACT.convert, otypes=[object])(values)


def errors(points: Iterable[NDArray], reference: Iterable[NDArray]) -> NDArray:
    """How far points are from those of an exact computation, relative to their size."""
    pairs = zip(points, reference, strict=False)
    return np.array(
        [float(np.max(np.abs(exact(x) - y)) / max(np.max(np.abs(y)), 1e-300)) for x, y in pairs]
    )


def expect_as_near(
    ours: list[NDArray], theirs: list[NDArray], reference: Iterable[NDArray], allowed: NDArray
) -> None:
    """Assert that our points are as near to the exact ones as theirs, but for what is allowed."""
    truth = [point for point, _ in zip(reference, allowed, strict=False)]
    our_errors, their_errors = errors(ours, truth), errors(theirs, truth)
    assert len(our_errors) == len(their_errors) == len(allowed)
    assert np.all(our_errors <= np.maximum(allowed, their_errors)), (our_errors, their_errors)


def norm(vector: NDArray) -> Any:
    return np.sqrt(np.sum(np.abs(vector) ** 2))


def broyden1(
    residual: Callable[[NDArray], NDArray],
    start: NDArray,
    *,
    alpha: float | None = None,
    line_search: str | None = "armijo",
    reduction_method: Any = "restart",
    max_rank: float = np.inf,
) -> Iterator[NDArray]:
    """Generate the points at which Broyden's first method asks for F, without end."""

    def at(x):
        return exact(residual(x.reshape(np.shape(start)))).ravel()

    search = {None: full_step, "armijo": armijo, "wolfe": wolfe}[line_search]
    x = exact(start).ravel()
    yield x.reshape(np.shape(start))
    f = at(x)
    if alpha is None:
        alpha = max(norm(x), 1) / norm(f) / 2
    inverse = Inverse(EXACT.convert(-alpha), x.size, reduction_method, max_rank)
    while True:
        line = Line(at, x, f, -inverse.times(f))
        for point in search(line):
            yield point.reshape(np.shape(start))
        inverse.update(line.point - x, line.residual - f)
        x, f = line.point, line.residual


class Inverse:
    """An approximation a I + Σ c rᵀ of the inverse Jacobian."""

    def __init__(self, factor, size, reduction_method, max_rank):
        self.factor = factor
        self.size = size
        self.terms: list[tuple[NDArray, NDArray]] = []
        method, *parameters = np.atleast_1d(np.array(reduction_method, dtype=object))
        self.reduction = method
        self.limit = max_rank - 1
        self.retained = parameters[0] if parameters else self.limit - 2

    def times(self, v):
        return self.factor * v + sum(c * (r @ v) for c, r in self.terms)

    def transposed_times(self, v):
        return self.factor * v + sum(r * (v @ c) for c, r in self.terms)

    def update(self, step, change):
        # SciPy goes over to a square matrix, which is not reduced, where the rank exceeds n.
        if len(self.terms) <= self.size:
            self.reduce()
        row = self.transposed_times(np.conj(step))
        denominator = row @ change
        if denominator == 0:
            # The quotient is not finite, and then SciPy goes back to the first matrix.
            self.terms.clear()
        else:
            self.terms.append((step - self.times(change), row / denominator))

    def reduce(self):
        if self.reduction == "svd":
            if len(self.terms) >= min(self.limit, self.size):
                self.keep_largest_singular_values()
        elif len(self.terms) > self.limit:
            kept = 0 if self.reduction == "restart" else self.limit
            self.terms = self.terms[len(self.terms) - kept :]

    def keep_largest_singular_values(self):
        """The nearest matrix C Rᵀ of lower rank, by factors of C and of the conjugate of R."""
        columns, rows = (np.array(side).T.tolist() for side in zip(*self.terms, strict=True))
        q1, r1 = EXACT.qr(EXACT.matrix(columns), mode="skinny")
        q2, r2 = EXACT.qr(EXACT.matrix(rows).conjugate(), mode="skinny")
        u, s, vh = EXACT.svd(r1 * r2.H)
        left, right = (
            np.array(m.tolist(), dtype=object) for m in (q1 * u, (q2 * vh.H).conjugate())
        )
        kept = max(0, min(self.retained, min(self.limit, self.size) - 1))
        self.terms = [(s[k] * left[:, k], right[:, k]) for k in range(kept)]


class Line:
    """The points x + s p, and what was found at the last of them."""

    def __init__(self, at, x, f, direction):
        self.at, self.start, self.direction = at, x, direction
        self.length, self.residual = EXACT.zero, f
        self.relative_size = norm(x) / norm(direction)

    @property
    def point(self):
        return self.start + self.length * self.direction

    @property
    def merit(self):
        return norm(self.residual) ** 2

    def go(self, length):
        """Move to a length; the points that F is asked at on the way, one or none."""
        if length != self.length:
            self.length = length
            yield self.point
            self.residual = self.at(self.point)

    def slope(self):
        """A difference quotient of the merit; as a generator it also yields where F is asked."""
        distance = (abs(self.length) + self.relative_size + 1) * 1e-8
        beyond = self.start + (self.length + distance) * self.direction
        yield beyond
        return (norm(self.at(beyond)) ** 2 - self.merit) / distance


def full_step(line):
    yield from line.go(EXACT.one)


def armijo(line):
    """Backtracking to a sufficient decrease, by a parabola and then by cubics."""
    start = line.merit

    def excess(length):
        """The merit of the last trial above the tangent with slope -start at this length."""
        return length, line.merit - start + start * length

    yield from line.go(EXACT.one)
    last = excess(line.length)
    next_length = start / 2 / last[1]
    while line.merit > start * (1 - 1e-4 * line.length):
        yield from line.go(next_length)
        # After a cubic, SciPy keeps the merit as if it were that at half the length before.
        before, last = last, excess(line.length if last[0] == 1 else last[0] / 2)
        if last[0] <= 1e-2 and line.merit > start * (1 - 1e-4 * line.length):
            yield from line.go(EXACT.one)
            return
        next_length = cubic_minimiser(start, *before, *last)


def cubic_minimiser(start, s, excess_s, t, excess_t):
    """Where the cubic with the slope -start at 0 that exceeds its tangent by this is least."""
    factor = s**2 * t**2 * (t - s)
    a = (s**2 * excess_t - t**2 * excess_s) / factor
    b = (t**3 * excess_s - s**3 * excess_t) / factor
    return (-b + np.sqrt(abs(b**2 + 3 * a * start))) / (3 * a)


@dataclass
class Trial:
    length: Any
    merit: Any
    slope: Any

    def tilted(self, slope):
        return Trial(self.length, self.merit + slope * self.length, self.slope + slope)


def wolfe(line):
    """The search of Moré and Thuente, ACM TOMS 20(3), 1994, as MINPACK-2 has it."""
    start = Trial(EXACT.zero, line.merit, (yield from line.slope()))
    tilt = start.slope * 1e-4
    best = other = start
    bracketed, first_stage = False, True
    low, high = EXACT.zero, EXACT.convert(5)
    width, width_before = EXACT.convert(50 - 1e-2), 2 * EXACT.convert(50 - 1e-2)
    length = EXACT.one
    for _ in range(99 if start.slope < 0 else 0):
        yield from line.go(length)
        trial = Trial(length, line.merit, (yield from line.slope()))
        enough = trial.merit <= start.merit + length * tilt
        if enough and abs(trial.slope) <= -0.9 * start.slope:
            return
        if (
            (bracketed and (not low < length < high or high - low <= 1e-2 * high))
            or (length == 50 and enough and trial.slope <= tilt)
            or (length == 1e-2 and (not enough or trial.slope >= tilt))
        ):
            break
        first_stage = first_stage and not (enough and trial.slope >= 0)
        by = tilt if first_stage and trial.merit <= best.merit and not enough else 0
        trial, best, other = (t.tilted(-by) for t in (trial, best, other))
        length = next_length(best, other, trial, bracketed, low, high)
        turned = best.slope * trial.slope < 0
        if trial.merit > best.merit:
            other, bracketed = trial, True
        else:
            best, other, bracketed = trial, best if turned else other, bracketed or turned
        best, other = best.tilted(by), other.tilted(by)
        if bracketed:
            if abs(other.length - best.length) >= 0.66 * width_before:
                length = (best.length + other.length) / 2
            width_before, width = width, abs(other.length - best.length)
            low, high = sorted([best.length, other.length])
        else:
            low, high = (length + f * (length - best.length) for f in (1.1, 4))
        length = min(max(length, 1e-2), 50)
        if bracketed and (not low < length < high or high - low <= 1e-2 * high):
            length = best.length
    yield from line.go(EXACT.one)


def next_length(best, other, trial, bracketed, low, high):
    """The four cases of section 4 of the paper."""
    end = high if trial.length > best.length else low
    if trial.merit > best.merit:
        cubic, parabola = hermite_minimiser(best, trial)[0], parabola_minimiser(best, trial)
        nearer = abs(cubic - best.length) <= abs(parabola - best.length)
        return cubic if nearer else (cubic + parabola) / 2
    distance = best.length - trial.length
    secant = trial.length + trial.slope / (trial.slope - best.slope) * distance
    if best.slope * trial.slope < 0:
        return max(hermite_minimiser(trial, best)[0], secant, key=lambda s: abs(s - trial.length))
    if abs(trial.slope) < abs(best.slope):
        cubic, ratio = hermite_minimiser(trial, best)
        candidates = [cubic if ratio < 0 else end, secant]
        if not bracketed:
            chosen = max(candidates, key=lambda s: abs(s - trial.length))
            return min(max(chosen, low), high)
        chosen = min(candidates, key=lambda s: abs(s - trial.length))
        farthest = trial.length + 0.66 * (other.length - trial.length)
        return min(chosen, farthest) if distance < 0 else max(chosen, farthest)
    return hermite_minimiser(trial, other)[0] if bracketed else end


def hermite_minimiser(a, b):
    """Where the cubic with the merits and slopes of two trials is least; the same as a ratio."""
    theta = 3 * (a.merit - b.merit) / (b.length - a.length) + a.slope + b.slope
    gamma = np.sqrt(max(theta**2 - a.slope * b.slope, EXACT.zero))
    gamma = gamma if b.length > a.length else -gamma
    ratio = (gamma - a.slope + theta) / (2 * gamma - a.slope + b.slope)
    return a.length + ratio * (b.length - a.length), ratio


def parabola_minimiser(a, b):
    """Where the parabola with the merit and slope of a and the merit of b is least."""
    descent = (a.merit - b.merit) / (b.length - a.length)
    return a.length + a.slope / (descent + a.slope) / 2 * (b.length - a.length)
