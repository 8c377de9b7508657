"""What a solve does, recorded and shown."""

from __future__ import annotations

import math
import time
import weakref
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TextIO

from raphson._observer import Observer
from raphson._output import is_of_the_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from raphson._core import Solver
    from raphson._progress import Display

# What is recorded of a solver that has it; the bounds and the time come after.
_FIGURES = (
    "nit",
    "nfev",
    "njev",
    "residual_norm",
    "cost",
    "optimality",
    "step_norm",
    "step_length",
    "trust_radius",
)
# What goes to zero, at the same rate as the error: for least squares the gradient.
_ERRORS = ("residual_norm", "optimality")
# How many iterations are printed.
_LAST_ROWS = 5
# How many estimates of the order are combined, and how far the last two may be off.
_ESTIMATES = 3
_AGREED = 0.5
# A residual that has grown by this from its least one says that the solve diverges.
_GROWN = 100.0
# What a line shows after the rest, and the tolerances for it.
_AIMS = (
    ("", "", ("f_tol", "ftol")),
    ("optimality", "optimality", ("gtol",)),
    ("step_norm", "step", ("x_tol", "xtol")),
    ("trust_radius", "radius", ()),
)
# Seconds after which a solve is long.
_LONG = 1.0


class _Record(NamedTuple):
    """What is recorded of a solve. Other threads may read it meanwhile: rows are added whole."""

    solver: str
    # That of its numbers.
    precision: float
    names: tuple[str, ...]
    rows: list[tuple[Any, ...]]

    def copy(self) -> _Record:
        return self._replace(rows=self.rows.copy())

    def columns(self) -> dict[str, list[Any]]:
        rows = self.rows.copy()
        return {name: [row[k] for row in rows] for k, name in enumerate(self.names)}

    def convergence_order(self) -> float | None:
        columns = self.columns()
        errors = next((columns[name] for name in _ERRORS if name in columns), [])
        return _order(errors, self.precision)

    def divergence(self) -> str:
        """Say since when the residual has grown; empty where it has not."""
        columns = self.columns()
        column = columns.get("residual_norm", [])
        finite = [size for size in column if math.isfinite(size)]
        if not finite:
            return ""
        # What rounding leaves may grow by any factor.
        level = self.precision * max(finite)
        if column[-1] <= _GROWN * max(min(finite), level):
            return ""
        return f"diverging since iteration {columns['nit'][column.index(min(finite))]}"


class Monitor(Observer):
    r"""
    Records every iteration of a solve, shows the progress of a long one, and draws it.

    It is passed as ``callback``, alone or in a list with others, to `root`, `broyden1`, `lsqtr`
    and to the `solve` of a solver. (`newton`, for one equation, has no callback, as in SciPy.) A
    solver that is asked and told by hand is shown to it after each answer, see Examples. A monitor
    is for one solve at a time, and begins anew with another solver. Other threads may print it,
    copy it and ask for its record meanwhile: they get the iterations that are complete.

    Parameters
    ----------
    progress : bool, optional
        Whether to show a line that says how far the solve is. By default once a solve has taken
        more than a second, so that short ones print nothing; True from its beginning, which needs
        rich (``pip install rich``); False never. In a terminal and in a notebook
        the line is updated; in a file or pipe, and without rich, there is another each time that
        the solve has taken twice as long, and at least one a minute. While one solve has a live
        line in the terminal, others, nested or in other threads, show none.
    file : file object, optional
        Where to show it: ``sys.stderr`` by default.

    Attributes
    ----------
    convergence_order : float or None
        An estimate of q in :math:`e_{k+1} \approx C e_k^q`, see Notes.

    See Also
    --------
    Observer : The base class of callbacks that get the solver itself.
    checkpoint : Saves the solver while it runs.

    Notes
    -----
    The order of convergence [1]_ is estimated from how far the logarithm of the error falls,
    :math:`d_k = \log(e_{k+1} / e_k)`, for :math:`d_{k+1} \approx q\,d_k`:

    .. math:: q \approx \frac{\sum d_{k+1} d_k}{\sum d_k^2}

    over the last three k. The error e is measured by the norm of the residual, or for least
    squares by the optimality (the scaled gradient). Only errors that fall in a row are used, and
    none that rounding has brought to a halt. The order is None where there are too few of them, or
    the last two quotients :math:`d_{k+1} / d_k` are not within 0.5 of q. Newton's method has order
    2, and 1 where the Jacobian is singular at the root; the secant method, which is Broyden's for
    one unknown, has order 1.618; order 1 is linear convergence.

    References
    ----------
    .. [1] J. M. Ortega, W. C. Rheinboldt, "Iterative Solution of Nonlinear Equations in Several
       Variables", SIAM, 2000, chapter 9.

    Examples
    --------
    >>> import numpy as np
    >>> import raphson
    >>> monitor = raphson.Monitor()
    >>> x = raphson.broyden1(lambda x: np.cos(x) - x, [1.0], callback=monitor)
    >>> monitor  # doctest: +ELLIPSIS
    Monitor of Broyden1: 4 iterations in ... ms
    nit  nfev  residual_norm  step_norm  step_length ...
      0     1      4.597e-01  0.000e+00    0.000e+00 ...
      1     2      3.776e-01  5.000e-01    1.000e+00 ...
      2     3      2.270e-02  2.255e-01    1.000e+00 ...
      3     4      1.370e-03  1.442e-02    1.000e+00 ...
      4     5      4.141e-06  8.207e-04    1.000e+00 ...
    >>> monitor.to_dict()["nfev"]
    [1, 2, 3, 4, 5]

    By hand:

    >>> solver = raphson.LeastSquares([-1.2, 1.0])
    >>> with raphson.Monitor() as monitor:
    ...     while not solver.done:
    ...         what, (x, y) = solver.ask()
    ...         if what == "residual":
    ...             solver.tell([10 * (y - x**2), 1 - x])
    ...         else:
    ...             solver.tell([[-20 * x, 10], [-1, 0]])
    ...         monitor.iterated(solver)
    >>> len(monitor.to_dict()["cost"]) == solver.nit + 1
    True
    """

    def __init__(self, progress: bool | None = None, file: TextIO | None = None) -> None:
        if progress:
            from raphson._progress import require_rich

            require_rich()
        self._progress = progress
        self._file = file
        self._record = _Record("", 0.0, (), [])
        self._solver: weakref.ref[Solver] | None = None
        self._display: Display | None = None
        self._began = 0.0
        self._seconds = 0.0
        self._next_line = math.inf

    def started(self, solver: Solver) -> None:
        """
        Begin to record a solver, or go on where it was left.

        Parameters
        ----------
        solver : Solver
            The solver.
        """
        self._leave_line()
        if self._solver is None or self._solver() is not solver:
            self._solver = weakref.ref(solver)
            names = [name for name in _FIGURES if hasattr(solver, name)]
            names += ["active_bounds"] if hasattr(solver, "active_mask") else []
            self._record = _Record(
                type(solver).__name__, _precision(solver.x), (*names, "time"), []
            )
            self._seconds = 0.0
        now = time.monotonic()
        self._began = now - self._seconds
        if self._progress is None:
            self._next_line = now + _LONG
        else:
            self._next_line = now if self._progress else math.inf
        self._look(solver)

    def evaluated(self, solver: Solver) -> None:
        """
        Record where the solver starts, and show how far it is.

        Parameters
        ----------
        solver : Solver
            The solver.
        """
        self.iterated(solver)

    def iterated(self, solver: Solver) -> None:
        """
        Record an iteration, if it is complete and was not recorded yet.

        Parameters
        ----------
        solver : Solver
            The solver.
        """
        if self._solver is None or self._solver() is not solver:
            self.started(solver)
        self._seconds = time.monotonic() - self._began
        self._look(solver)

    def ended(self, solver: Solver) -> None:
        """
        Record the last iteration, and leave the line of progress as it is.

        Parameters
        ----------
        solver : Solver
            The solver.
        """
        self.iterated(solver)
        if not self._record.rows and solver.nfev > 0:
            self._add(solver)
        try:
            if self._display is not None:
                self._next_line = -math.inf
                self._show(solver)
        finally:
            self._leave_line()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        solver = None if self._solver is None else self._solver()
        if solver is not None:
            self.ended(solver)
        self._leave_line()

    @property
    def convergence_order(self) -> float | None:
        """An estimate of the order of convergence; None where it cannot be told."""
        return self._record.convergence_order()

    def to_dict(self) -> dict[str, list[int | float | None]]:
        """
        Give the record as lists of numbers, for json, pandas and the like.

        Returns
        -------
        record : dict
            A list for each quantity, with one element for each iteration, the start first:
            ``nit``, ``nfev``, ``step_norm`` and ``time`` (seconds since the solve began); for
            systems ``residual_norm`` and ``step_length`` (of the line search); for least squares
            ``cost``, ``optimality``, ``trust_radius`` and ``active_bounds`` (how many); and
            ``njev`` where there are Jacobians. What is not a finite number is None.
        """
        return {
            name: [value if math.isfinite(value) else None for value in column]
            for name, column in self._record.columns().items()
        }

    def plot(self, ax: Axes | None = None) -> Axes:
        """
        Draw the convergence on a logarithmic axis.

        Below it, for least squares, are the trust radius and how many bounds are active. It needs
        matplotlib (``pip install matplotlib``).

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw, without what would be below. A new figure by default.

        Returns
        -------
        ax : matplotlib.axes.Axes
            The axes of the convergence; ``ax.figure`` is the figure.
        """
        from raphson._plot import draw

        record = self._record.copy()
        return draw(record.columns(), _title(record), ax)

    def __repr__(self) -> str:
        record = self._record.copy()
        header, rows = _table(record)
        widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
        lines = [
            "  ".join(text.rjust(width) for text, width in zip(row, widths, strict=True)).rstrip()
            for row in [header, *rows]
            if rows
        ]
        return "\n".join([f"Monitor of {_title(record, self._time())}", *lines])

    def _repr_html_(self) -> str:
        from raphson._result import html_table

        record = self._record.copy()
        header, rows = _table(record)
        title = _title(record, self._time())
        return f"<div><b>Monitor</b> of {title}{html_table(rows, header)}</div>"

    def __getstate__(self) -> dict[str, Any]:
        # The solver and the line on the screen stay where they are.
        kept = {"_record": self._record.copy()}
        return self.__dict__ | kept | {"_solver": None, "_display": None, "_file": None}

    def _look(self, solver: Solver) -> None:
        """Record what is new, and show it if it is time."""
        rows = self._record.rows
        # The number of iterations is the first figure.
        if solver.nit > rows[-1][0] if rows else _start_is_known(solver):
            self._add(solver)
        self._show(solver)

    def _add(self, solver: Solver) -> None:
        names, rows = self._record.names, self._record.rows
        rows.append(tuple(self._figure(solver, name) for name in names))

    def _figure(self, solver: Solver, name: str) -> Any:
        if name == "time":
            return self._seconds
        if name == "active_bounds":
            return int(abs(solver.active_mask).sum())  # type: ignore[attr-defined]
        return getattr(solver, name)

    def _show(self, solver: Solver) -> None:
        """Show the progress, if it is time."""
        if time.monotonic() < self._next_line:
            return
        from raphson._progress import open_display

        text = self._line(solver)
        try:
            if self._display is None:
                self._display = open_display(self._file)
            if self._display is None:
                self._next_line = time.monotonic() + _LONG
                return
            self._display.show(text)
            self._next_line = time.monotonic() + self._display.pause(self._seconds)
        except (OSError, ValueError) as error:
            if not is_of_the_file(error):
                raise
            # The file is closed, or the pipe broken: no reason to end the solve.
            self._display = None
            self._next_line = math.inf

    def _leave_line(self) -> None:
        display, self._display = self._display, None
        self._next_line = math.inf
        if display is not None:
            display.close()

    def _line(self, solver: Solver) -> list[str]:
        """Say how far the solve is, and what it aims at; what matters less comes later."""
        record = self._record
        columns = record.columns()

        def last(name: str, label: str) -> list[str]:
            column = columns.get(name)
            return [f"{label} {column[-1]:.2e}"] if column else []

        parts = [f"{record.solver}: iteration {solver.nit}"]
        parts += last("residual_norm", "|F|") + last("cost", "cost")
        parts += filter(None, [record.divergence()])
        parts += [f"{solver.calls} evaluations", _duration(self._seconds)]
        tolerances = solver.tolerances
        for name, label, aims in _AIMS:
            parts += last(name, label)
            parts += [f"{aim} {tolerances[aim]:.0e}" for aim in aims if aim in tolerances]
        return parts

    def _time(self) -> str:
        return f" in {_duration(self._seconds)}"


def _title(record: _Record, time: str = "") -> str:
    """Say what was solved, and how fast it converged."""
    if not record.rows:
        return f"{record.solver or 'nothing'}, no iterations yet"
    iterations = record.columns()["nit"][-1]
    order = record.convergence_order()
    known = "" if order is None else f"order of convergence about {order:.1f}"
    parts = [f"{record.solver}: {iterations} iterations{time}", known, record.divergence()]
    return ", ".join(filter(None, parts))


def _table(record: _Record) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Write the last iterations; the three dots are those before."""
    last = record.rows[-_LAST_ROWS:]
    texts = [(*map(_number, row[:-1]), _duration(row[-1])) for row in last]
    if len(record.rows) > _LAST_ROWS:
        texts.insert(0, ("...",) + ("",) * (len(record.names) - 1))
    return record.names, texts


def _start_is_known(solver: Solver) -> bool:
    # Least squares know nothing but the cost before the first Jacobian.
    return solver.nfev > 0 and not math.isnan(getattr(solver, "optimality", 0.0))


def _precision(x: Any) -> float:
    import numpy as np

    return float(np.finfo(np.asarray(x).dtype).eps)


def _order(errors: list[float], precision: float) -> float | None:
    """Estimate the order of convergence from the errors."""
    run = _falling(errors, precision)
    falls = [math.log(after / before) for before, after in pairwise(run)]
    order = _slope(list(pairwise(falls)))
    # The last error may be mostly rounding.
    return _slope(list(pairwise(falls[:-1]))) if order is None else order


def _slope(falls: list[tuple[float, float]]) -> float | None:
    """Fit how many times as far as the last time the logarithm falls; None if that varies."""
    last = falls[-_ESTIMATES:]
    if len(last) < 2:
        return None
    order = sum(d * e for d, e in last) / sum(d * d for d, _ in last)
    agreed = all(abs(e / d - order) <= _AGREED for d, e in last[-2:])
    return order if agreed else None


def _falling(errors: list[float], precision: float) -> list[float]:
    """Select the last errors that fall in a row, before rounding spoils them."""
    # Steps that were not taken leave the error as it is.
    kept = [e for k, e in enumerate(errors) if 0 < e < math.inf and e not in errors[k - 1 : k]]
    # This is what rounding leaves if the residual is a sum of terms as large as it was at first.
    level = precision * max(kept, default=0.0)
    # Where it leaves more, the errors come to a halt.
    lowest = min(kept, default=0.0)
    halted = [k for k, e in enumerate(kept) if e <= 2 * lowest]
    if len(halted) > 1:
        del kept[halted[0] :]
    run: list[float] = []
    for error in kept:
        if error > level:
            run = [*run, error] if run and error < run[-1] else [error]
    return run


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.3e}"


def _duration(seconds: float) -> str:
    if seconds < 59.95:
        return f"{1000 * seconds:.1f} ms" if seconds < 1 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
