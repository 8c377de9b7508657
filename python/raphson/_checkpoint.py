"""Solvers that are saved while they run."""

from __future__ import annotations

import contextlib
import operator
import os
import stat
import time
import warnings
from numbers import Real
from typing import TYPE_CHECKING, Any

from raphson import _core
from raphson._observer import Observer
from raphson._output import is_of_the_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import SupportsIndex

    from raphson._core import Solver

# A file without a name, which Linux has, is gone with a process that is killed.
_HAS_UNNAMED_FILES = hasattr(os, "O_TMPFILE") and os.path.isdir("/proc/self/fd")

_SOLVERS = (_core.Broyden1, _core.NewtonSystem, _core.PowellHybrid, _core.LeastSquares)


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
        data = solver.to_bytes()
        try:
            _replace(self.path, data)
        except OSError as error:
            if not is_of_the_file(error):
                raise
            # Hours of work are worth more than their copy.
            # Without the name of the temporary file, which is another one each time: Python shows
            # a warning with the same text once.
            reason = f"{error.strerror or error}: {self.path}"
            message = f"the checkpoint was not written, and the last one stays: {reason}"
            warnings.warn(message, RuntimeWarning, stacklevel=2)
        self._values = 0
        self._saved_at = time.monotonic()


def _replace(path: str, data: bytes) -> None:
    """Replace a file as a whole: whatever happens, it is the old one or the new one."""
    folder, name = os.path.split(path)
    # Nobody else has this name, or could have put a link there.
    temporary = os.path.join(folder, f".{name[:100]}.{os.urandom(8).hex()}.tmp")
    try:
        permissions = _permissions(path)
        with open(temporary, "xb", opener=_creator(permissions)) as file:
            _permit(file.fileno(), permissions)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            _give_name(file.fileno(), temporary)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    if os.name == "posix":
        # The new name is safe only with its directory.
        directory = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _permissions(path: str) -> int | None:
    """Who may read and write the file as it is; None where there is none."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return None
    return mode & 0o777 if stat.S_ISREG(mode) else None


def _creator(permissions: int | None) -> Callable[[str, int], int]:
    """Make what `open` calls to create a file that at most these people may read."""
    mode = 0o666 if permissions is None else permissions

    def create(path: str, flags: int) -> int:
        if _HAS_UNNAMED_FILES:
            try:
                return os.open(os.path.dirname(path), os.O_TMPFILE | os.O_WRONLY, mode)
            except OSError as error:
                # Not every file system has them.
                if not is_of_the_file(error):
                    raise
        return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), mode)

    return create


def _permit(file: int, permissions: int | None) -> None:
    """Let those who might read the former file read this one, whatever the umask is."""
    if permissions is not None and os.fstat(file).st_mode & 0o777 != permissions:
        os.fchmod(file, permissions)


def _give_name(file: int, path: str) -> None:
    """Give a file without a name its first one."""
    if os.fstat(file).st_nlink == 0:
        # With a directory, which is not looked at here, links on the way to the file are followed.
        os.link(f"/proc/self/fd/{file}", path, src_dir_fd=file)


def _integer(value: Any) -> int | None:
    try:
        return None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return None


def checkpoint(
    path: str | os.PathLike[str], every: SupportsIndex = 1, seconds: float = 0.0
) -> Observer:
    """
    Save a solver while it runs, so that the solve survives the process.

    The file is replaced as a whole (a new file beside it, fsync, rename): whenever the process is
    killed, there is the last good checkpoint. It is also written when the solve ends and when an
    exception ends it.

    Parameters
    ----------
    path : path-like
        The file. If it is a symbolic link, that is followed now, once, and the file that it leads
        to is written.
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
        If `every` is less than 1 or `seconds` is negative, or if there is something at `path` that
        is no file: a folder or a device, say.
    TypeError
        If `seconds` is no number.
    FileNotFoundError
        If there is no directory for the file.

    Warns
    -----
    RuntimeWarning
        If the file cannot be written. The solve goes on, and the last checkpoint stays.

    See Also
    --------
    load_checkpoint : The solver that was saved.

    Notes
    -----
    A file that is there keeps its permissions (the mode, not its owner or access lists); a new one
    has those that the umask gives.

    Where several solves, of any processes, write to one path, each file is whole and the last one
    stays; give each solve a path of its own.

    The new file has no name until it is complete, where the file system can do that (Linux, on
    local disks). Elsewhere it is called ``.name.<random>.tmp``, and is left behind if the process
    is killed while it writes; if writing fails, it is removed.

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
    period = _integer(every)
    if period is None or period < 1:
        raise ValueError(f"every must be an int of at least 1, got {every!r}")
    if not isinstance(seconds, Real):
        raise TypeError(f"seconds must be a number, got {seconds!r}")
    if not seconds >= 0:
        raise ValueError(f"seconds must not be negative, got {seconds!r}")
    file = os.path.realpath(os.fsdecode(path))
    if not os.path.isdir(os.path.dirname(file)):
        raise FileNotFoundError(f"path: there is no directory {os.path.dirname(file)!r}")
    if os.path.lexists(file) and not os.path.isfile(file):
        raise ValueError(f"path: {file!r} is no file")
    return _Checkpoint(file, period, float(seconds))


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
    solver : Broyden1, NewtonSystem, PowellHybrid or LeastSquares
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
