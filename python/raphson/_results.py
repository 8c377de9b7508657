"""Result types of the public functions that SciPy has no importable class for."""

from typing import Any, NamedTuple


class result(NamedTuple):
    """What `newton` returns for an array of starting points with ``full_output=True``."""

    root: Any
    converged: Any
    zero_der: Any


class Question(NamedTuple):
    """What a solver wants to know."""

    what: str
    x: Any
