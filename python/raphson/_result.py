"""The class of the results: made of SciPy's, so it is imported when the first result is made."""

from __future__ import annotations

import html
import reprlib
from typing import Any

import numpy as np
import scipy.optimize
from scipy.optimize import OptimizeResult

# What a reader looks for comes first, in this order.
_FIRST = (
    "message",
    "success",
    "status",
    "x",
    "cost",
    "fun",
    "optimality",
    "relative_optimality",
    "nit",
    "nfev",
    "njev",
    "calls",
)
# Records and what is rarely looked at: printed by `details` only.
_DETAILS = ("v", "allx", "alltr", "f0se", "fse")
# Longer arrays are shown by their ends.
_LONGEST = 8
# Longer texts are cut, but for messages.
_WIDEST = 120
_SIGNS = {"converged": "✓", "not converged": "✗"}
# They can be read on white and on black.
_COLORS = {"converged": "#2da44e", "not converged": "#e5534b"}


class Result(OptimizeResult):  # type: ignore[misc, unused-ignore]
    """
    What a solve has found: a `scipy.optimize.OptimizeResult` that can be read at a glance.

    It is a dict whose items are attributes too. Printed, and as the last line of a notebook's
    cell, it begins with the verdict, and shows long arrays by their ends. What `lsqtr` records of
    its way is left out (``v``, ``allx``, ``alltr``, ``f0se`` and ``fse``); `details` has all.

    See Also
    --------
    root, lsqtr : Functions that return it.
    Solver.result : That of a solver that is asked and told.

    Examples
    --------
    >>> import numpy as np
    >>> import raphson
    >>> def residual(x):
    ...     return 2 * x - np.arange(1000)
    >>> raphson.root(residual, np.ones(1000), (), "newton", jac=lambda x: 2 * np.eye(1000))
    converged: max |F| = 0.000e+00 after 2 evaluations
      message: Converged: the residual is within ftol.
      success: True
       status: 1
            x: [0. 0.5 ... 499. 499.5], 1000 elements
          fun: [0. 0. ... 0. 0.], 1000 elements
          nit: 1
         nfev: 2
         njev: 1
        calls: 2
       method: newton
          jac: array, 1000 x 1000, float64
    """

    def details(self) -> str:
        """
        Write all fields, as printing does with the most of them.

        Returns
        -------
        text : str
            A line for the verdict, and one for each field.
        """
        return _lines(self, _rows(self, details=True))

    def __repr__(self) -> str:
        return str(_text_of(self))

    def _repr_html_(self) -> str:
        verdict, numbers = _headline(self)
        color = f"color:{_COLORS[verdict]}" if verdict else ""
        head = f"<b style='{color}'>{_SIGNS.get(verdict, '')} {verdict or 'Result'}</b> {numbers}"
        return f"<div>{head}{html_table(_rows(self))}</div>"


class NoConvergence(scipy.optimize.NoConvergence):  # type: ignore[misc, unused-ignore]
    """SciPy's error, whose only argument is the last point, with words."""

    result: Result
    explanation = "no convergence"

    def __str__(self) -> str:
        return self.explanation


def _lines(result: Result, rows: list[tuple[str, ...]]) -> str:
    width = max((len(name) for name, _ in rows), default=0)
    head = ": ".join(filter(None, _headline(result))) or "Result"
    return "\n".join([head, *(f"  {name:>{width}}: {text}" for name, text in rows)])


# A result may hold itself.
_text_of: Any = reprlib.recursive_repr("Result(...)")(
    lambda result: _lines(result, _rows(result, details=False))
)


def html_table(rows: list[tuple[str, ...]], header: tuple[str, ...] = ()) -> str:
    """Write a table of texts as HTML; in a row, the first says what the others are."""
    cell = "text-align:left;white-space:nowrap;padding:0.1em 0.8em"
    head = "".join(f"<th style='{cell}'>{html.escape(text)}</th>" for text in header)
    body = ""
    for name, *texts in rows:
        cells = "".join(f"<td style='{cell}'>{html.escape(text)}</td>" for text in texts)
        body += f"<tr><th style='{cell}'>{html.escape(name)}</th>{cells}</tr>"
    return f"<table style='color:inherit;font-variant-numeric:tabular-nums'>{head}{body}</table>"


def _headline(result: Result) -> tuple[str, str]:
    """Say the verdict, and the numbers that go with it; empty where it is not known."""
    verdict = ""
    if "success" in result:
        verdict = "converged" if result["success"] else "not converged"
    numbers = []
    try:
        if "cost" in result:
            numbers.append(f"cost = {result['cost']:.3e}")
        elif "fun" in result:
            numbers.append(f"max |F| = {np.max(np.abs(result['fun']), initial=0.0):.3e}")
        calls = result.get("calls", result.get("nfev"))
        if calls is not None:
            numbers.append(f"after {calls:d} evaluations")
    except (TypeError, ValueError):
        # The fields are the user's to change.
        numbers = []
    return verdict, " ".join(numbers)


def _rows(result: Result, details: bool = False) -> list[tuple[str, ...]]:
    names = [name for name in _FIRST if name in result]
    names += [name for name in result if name not in _FIRST + _DETAILS]
    if details:
        names += [name for name in _DETAILS if name in result]
    return [(str(name), _text(result[name])) for name in names]


def _text(value: Any) -> str:
    """Write a value in one line, whatever it is."""
    if isinstance(value, str):
        return " ".join(value.split())
    if hasattr(value, "nnz") and hasattr(value, "shape"):
        return f"sparse, {_size(value.shape)}, {value.nnz} stored"
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return _array(np.asarray(value))
    if isinstance(value, (list, tuple)) and value:
        return f"{len(value)} {'points' if hasattr(value[0], 'shape') else 'entries'}"
    text = " ".join(repr(value).split())
    return text if len(text) <= _WIDEST else text[: _WIDEST - 3] + "..."


def _array(value: np.ndarray[Any, Any]) -> str:
    if value.ndim > 1 and value.size > _LONGEST:
        return f"array, {_size(value.shape)}, {value.dtype}"
    with np.printoptions(threshold=_LONGEST, edgeitems=2):
        text = " ".join(str(value).split()).replace("[ ", "[").replace(" ]", "]")
    return text if value.size <= _LONGEST else f"{text}, {value.size} elements"


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
