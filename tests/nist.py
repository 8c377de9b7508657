"""Nonlinear regression problems of the Statistical Reference Datasets of NIST.

The data, starting points and certified results of those of lower and average difficulty are read
from the files in fixtures/nist. The models, as they are written there, and their derivatives are
here.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FOLDER = Path(__file__).parent / "fixtures" / "nist"

# The values of a model at all predictors, and the columns of its Jacobian. Parameters may be
# complex.
Model = Callable[[NDArray, NDArray], tuple[NDArray, list[NDArray]]]


@dataclass(frozen=True)
class RegressionProblem:
    """A regression with certified results.

    The second predictor of Nelson is the second row of `predictors`; all others have one only.
    """

    name: str
    level: str
    starts: tuple[NDArray, NDArray]
    certified: NDArray
    standard_deviations: NDArray
    residual_sum_of_squares: float
    predictors: NDArray
    responses: NDArray
    model: Model

    def __str__(self) -> str:
        return self.name

    def residual(self, parameters: NDArray) -> NDArray:
        """Model less observations."""
        return self.model(parameters, self.predictors)[0] - self.responses

    def jacobian(self, parameters: NDArray) -> NDArray:
        """Derivatives of the residual, one column for each parameter."""
        return np.stack(self.model(parameters, self.predictors)[1], axis=1)


def misra1a(b, x):
    decay = np.exp(-b[1] * x)
    return b[0] * (1 - decay), [1 - decay, b[0] * x * decay]


def misra1b(b, x):
    base = 1 + b[1] * x / 2
    return b[0] * (1 - base**-2), [1 - base**-2, b[0] * x * base**-3]


def misra1c(b, x):
    base = 1 + 2 * b[1] * x
    return b[0] * (1 - base**-0.5), [1 - base**-0.5, b[0] * x * base**-1.5]


def misra1d(b, x):
    base = 1 + b[1] * x
    return b[0] * b[1] * x / base, [b[1] * x / base, b[0] * x / base**2]


def chwirut(b, x):
    bottom = b[1] + b[2] * x
    y = np.exp(-b[0] * x) / bottom
    return y, [-x * y, -y / bottom, -x * y / bottom]


def dan_wood(b, x):
    power = x ** b[1]
    return b[0] * power, [power, b[0] * power * np.log(x)]


def lanczos(b, x):
    """Sum of exponentials."""
    y, columns = 0, []
    for amplitude, rate in zip(b[0::2], b[1::2], strict=True):
        decay = np.exp(-rate * x)
        y = y + amplitude * decay
        columns += [decay, -amplitude * x * decay]
    return y, columns


def gauss(b, x):
    """Two Gaussians on a decaying exponential."""
    y, columns = lanczos(b[:2], x)
    for height, centre, width in (b[2:5], b[5:8]):
        distance = (x - centre) / width
        bell = np.exp(-(distance**2))
        slope = 2 * height * bell * distance / width
        y = y + height * bell
        columns += [bell, slope, slope * distance]
    return y, columns


def rational(b, x):
    """Ratio of polynomials of the same degree, the lower one with constant 1."""
    degree = b.size // 2
    powers = x ** np.arange(degree + 1)[:, np.newaxis]
    bottom = 1 + b[degree + 1 :] @ powers[1:]
    y = b[: degree + 1] @ powers / bottom
    return y, [*(powers / bottom), *(-y * powers[1:] / bottom)]


def nelson(b, x):
    """Logarithm of the response."""
    time, temperature = x
    aging = time * np.exp(-b[2] * temperature)
    return b[0] - b[1] * aging, [np.ones_like(time), -aging, b[1] * temperature * aging]


def mgh17(b, x):
    first, second = np.exp(-x * b[3]), np.exp(-x * b[4])
    return (
        b[0] + b[1] * first + b[2] * second,
        [np.ones_like(x), first, second, -b[1] * x * first, -b[2] * x * second],
    )


def roszman1(b, x):
    distance = x - b[3]
    s = np.pi * (distance**2 + b[2] ** 2)
    return (
        b[0] - b[1] * x - np.arctan(b[2] / distance) / np.pi,
        [np.ones_like(x), -x, -distance / s, -b[2] / s],
    )


def enso(b, x):
    """A mean and three cycles: one of a year, two of unknown periods."""

    def cycle(period, cosine, sine):
        angle = 2 * np.pi * x / period
        c, s = np.cos(angle), np.sin(angle)
        return cosine * c + sine * s, [(cosine * s - sine * c) * angle / period, c, s]

    year, year_columns = cycle(12, b[1], b[2])
    first, first_columns = cycle(*b[3:6])
    second, second_columns = cycle(*b[6:9])
    columns = [np.ones_like(x), *year_columns[1:], *first_columns, *second_columns]
    return b[0] + year + first + second, columns


MODELS: dict[str, Model] = {
    "Misra1a": misra1a,
    "Chwirut2": chwirut,
    "Chwirut1": chwirut,
    "Lanczos3": lanczos,
    "Gauss1": gauss,
    "Gauss2": gauss,
    "DanWood": dan_wood,
    "Misra1b": misra1b,
    "Kirby2": rational,
    "Hahn1": rational,
    "Nelson": nelson,
    "MGH17": mgh17,
    "Lanczos1": lanczos,
    "Lanczos2": lanczos,
    "Gauss3": gauss,
    "Misra1c": misra1c,
    "Misra1d": misra1d,
    "Roszman1": roszman1,
    "ENSO": enso,
}


def read(name: str) -> RegressionProblem:
    """Read one of NIST's files."""
    text = (FOLDER / f"{name}.dat").read_text(encoding="ascii")
    # The table is the last of the paragraphs called data.
    table = re.split(r"^Data:.*\n", text, flags=re.MULTILINE)[-1]
    parameters = re.findall(r"^ *b\d+ *= +(\S+) +(\S+) +(\S+) +(\S+) *$", text, re.MULTILINE)
    first, second, certified, deviations = np.array(parameters, dtype=float).T.copy()
    sum_of_squares = re.search(r"^Residual Sum of Squares: +(\S+)", text, re.MULTILINE)
    rows = [line.split() for line in table.splitlines() if line.strip()]
    responses, *predictors = np.array(rows, dtype=float).T.copy()
    return RegressionProblem(
        name,
        re.search(r"(\w+) Level of Difficulty", text)[1],
        (first, second),
        certified,
        deviations,
        float(sum_of_squares[1]),
        predictors[0] if len(predictors) == 1 else np.array(predictors),
        np.log(responses) if name == "Nelson" else responses,
        MODELS[name],
    )


PROBLEMS = [read(name) for name in MODELS]
