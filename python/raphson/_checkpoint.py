"""Solvers that are saved while they run."""

from __future__ import annotations

import os
import time
import warnings
from typing import TYPE_CHECKING, Any

from raphson import _core
from raphson._observer import Observer

if TYPE_CHECKING:
    from collections.abc import Callable

    from raphson._core import Solver

_SOLVERS = (_core.Broyden1, _core.NewtonSystem, _core.LeastSquares)


class _Checkpoint(Observer):
    """Saves a solver from time to time."""

    def __init__(self, path: str, every: int, seconds: float) -> None:
        self.path = path
        self.every = every
        self.seconds = seconds
        self._values = 0
        self._saved_at = -float("inf")

    def evaluated(self, solver: Solver) -> None:
        self._values += 1
        if self._values >= self.every and time.monotonic() - self._saved_at >= self.seconds:
            self._save(solver)

    def ended(self, solver: Solver) -> None:
        self._save(solver)

    def _save(self, solver: Solver) -> None:
        try:
            _replace(self.path, solver.to_bytes())
        except OSError as error:
            # Hours of work are worth more than their copy.
            message = f"the checkpoint was not written, and the last one stays: {error}"
            warnings.warn(message, RuntimeWarning, stacklevel=2)
        self._values = 0
        self._saved_at = time.monotonic()


def _replace(path: str, data: bytes) -> None:
    """Replace a file as a whole: whatever happens, it is the old one or the new one."""
    temporary = f"{path}.tmp"
    with open(temporary, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    if os.name == "posix":
        # The new name is safe only with its directory.
        directory = os.open(os.path.dirname(path), os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def checkpoint(path: str | os.PathLike[str], every: int = 1, seconds: float = 0.0) -> Observer:
    """
    Save a solver while it runs, so that the solve survives the process.

    The file is replaced as a whole (a temporary file beside it, fsync, rename): whenever the
    process is killed, there is the last good checkpoint. It is also written when the solve ends
    and when an exception ends it.

    Parameters
    ----------
    path : path-like
        The file. The same name with ``.tmp`` appended is written on the way.
    every : int, optional
        Save after so many evaluations of the user's functions.
    seconds : float, optional
        But not before so many seconds have passed since the last time.

    Returns
    -------
    observer : Observer
        To be passed as ``callback``.

    Raises
    ------
    ValueError
        If `every` is less than 1 or `seconds` is negative.
    FileNotFoundError
        If there is no directory for the file.

    Warns
    -----
    RuntimeWarning
        If the file cannot be written. The solve goes on, and the last checkpoint stays.

    See Also
    --------
    load_checkpoint : The solver that was saved.

    Examples
    --------
    A script that can be killed and started again as often as it takes:

    >>> import os, tempfile
    >>> import numpy as np
    >>> import raphson
    >>> path = os.path.join(tempfile.mkdtemp(), "run.raphson")
    >>> def solver():
    ...     if os.path.exists(path):
    ...         return raphson.load_checkpoint(path)
    ...     return raphson.Broyden1([1.0, 1.0], f_tol=1e-10)
    >>> solver().solve(lambda x: np.cos(x) - x, callback=raphson.checkpoint(path)).x
    array([0.73908513, 0.73908513])

    The second time the answer is there without an evaluation:

    >>> solver().solve(lambda x: 1 / 0).x
    array([0.73908513, 0.73908513])
    """
    if isinstance(every, bool) or not isinstance(every, int) or every < 1:
        raise ValueError(f"every must be an int of at least 1, got {every!r}")
    if not seconds >= 0:
        raise ValueError(f"seconds must not be negative, got {seconds!r}")
    file = os.path.realpath(os.fsdecode(path))
    if not os.path.isdir(os.path.dirname(file)):
        raise FileNotFoundError(f"path: there is no directory {os.path.dirname(file)!r}")
    return _Checkpoint(file, every, seconds)


def load_checkpoint(
    path: str | os.PathLike[str], *, tol_norm: Callable[[Any], float] | None = None
) -> Solver:
    """
    Load the solver that a checkpoint holds.

    Parameters
    ----------
    path : path-like
        The file that `checkpoint` has written.
    tol_norm : callable, optional
        That of the solver, if it had one: functions are not saved.

    Returns
    -------
    solver : Broyden1, NewtonSystem or LeastSquares
        Its ``solve`` goes on where the checkpoint was made.

    Raises
    ------
    ValueError
        If the file is no checkpoint, or it is truncated, altered, or of a newer version.
    OSError
        If the file cannot be read.
    """
    with open(path, "rb") as file:
        data = file.read()
    name = _core.saved_class(data)
    for solver in _SOLVERS:
        if solver.__name__ == name:
            return solver.from_bytes(data) if tol_norm is None else _with_norm(data, tol_norm)
    raise ValueError(f"data: this is the saved state of {name}, which this release does not know")


def _with_norm(data: bytes, tol_norm: Callable[[Any], float]) -> Solver:
    return _core.Broyden1.from_bytes(data, tol_norm)
