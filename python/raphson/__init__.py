"""Nonlinear solvers with kernels in Rust, behind the signatures of SciPy and DESC.

Functions
---------
newton
    Roots of functions of one variable: a drop-in for `scipy.optimize.newton`.
broyden1
    Roots of systems without their Jacobian: a drop-in for `scipy.optimize.broyden1`.
root
    Roots of systems of equations, with the call of `scipy.optimize.root`.
fsolve
    Roots of systems by Powell's hybrid method: a drop-in for `scipy.optimize.fsolve`.
lsqtr
    Least squares with bounds: a drop-in for `desc.optimize.lsqtr`.
checkpoint, load_checkpoint
    Solves that survive their process.
patch, unpatch, patched
    Ours in place of the originals, in code that calls those.

Classes
-------
Broyden1, NewtonSystem, PowellHybrid, LeastSquares
    The same methods without a loop: they are asked what they want to know, and told.
Solver
    What they have in common.
Observer
    A callback that gets the solver itself.
Monitor
    One that records the iterations, shows the progress and draws it.
Result
    What a solve has found.

``python -m raphson script.py`` runs a script under the patch.
"""

from raphson import _start  # noqa: F401
from raphson._broyden1 import broyden1
from raphson._checkpoint import checkpoint, load_checkpoint
from raphson._core import (
    Broyden1,
    LeastSquares,
    NewtonSystem,
    PowellHybrid,
    Solver,
    __version__,
)
from raphson._fsolve import fsolve
from raphson._lsqtr import lsqtr
from raphson._monitor import Monitor
from raphson._newton import newton
from raphson._observer import Observer
from raphson._patch import patch, patched, unpatch
from raphson._root import root

# For type checkers it is true. (To import it from typing would come before what `_start` does.)
TYPE_CHECKING = False
if TYPE_CHECKING:
    from raphson._result import Result

__all__ = [
    "Broyden1",
    "LeastSquares",
    "Monitor",
    "NewtonSystem",
    "Observer",
    "PowellHybrid",
    "Result",
    "Solver",
    "__version__",
    "broyden1",
    "checkpoint",
    "fsolve",
    "load_checkpoint",
    "lsqtr",
    "newton",
    "patch",
    "patched",
    "root",
    "unpatch",
]


def __getattr__(name: str) -> object:
    # Its base class is SciPy's, which takes long to import.
    if name == "Result":
        from raphson._result import Result

        return Result
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
