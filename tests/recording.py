"""Callables that remember what they were called with, to compare two solvers call by call."""

import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class Run:
    """What a solver asked for, in order, and what came of it."""

    calls: list[tuple[str, Any]] = field(default_factory=list)
    warnings: list[tuple[type, str, str]] = field(default_factory=list)
    result: Any = None
    error: tuple[type, str] | None = None

    def function(self, name, function):
        """Wrap a callable so that its first argument is recorded."""
        if function is None:
            return None

        def recorded(x, *args):
            self.calls.append((name, np.array(x, copy=True) if isinstance(x, np.ndarray) else x))
            return function(x, *args)

        return recorded


def record(solver, functions, *args, **kwargs):
    """Run a solver with recorded callables, given by keyword; errors are part of the record."""
    run = Run()
    functions = {name: run.function(name, function) for name, function in functions.items()}
    with warnings.catch_warnings(record=True) as caught, np.errstate(all="ignore"):
        warnings.simplefilter("always")
        try:
            run.result = solver(*args, **functions, **kwargs)
        except Exception as error:
            run.error = (type(error), str(error))
    run.warnings = [(w.category, str(w.message), w.filename) for w in caught]
    return run


def same(ours, theirs, ulps=0):
    """Two objects agree in type, dtype, shape, and in value up to some units in the last place."""
    if type(ours) is not type(theirs):
        return False
    if isinstance(ours, tuple):
        return len(ours) == len(theirs) and all(
            same(a, b, ulps) for a, b in zip(ours, theirs, strict=True)
        )
    a, b = np.asarray(ours), np.asarray(theirs)
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    if ulps == 0 or a.dtype.kind not in "fc":
        return bool(np.array_equal(a, b, equal_nan=a.dtype.kind in "fc"))
    spacing = np.spacing(np.maximum(np.abs(a), np.abs(b)))
    with np.errstate(invalid="ignore"):
        close = (np.abs(a - b) <= ulps * spacing) | (a == b) | (np.isnan(a) & np.isnan(b))
    return bool(np.all(close))
