"""Nonlinear solvers with kernels in Rust, behind the signatures of SciPy and DESC.

Functions
---------
newton
    Roots of functions of one variable: a drop-in for `scipy.optimize.newton`.
broyden1
    Roots of systems without their Jacobian: a drop-in for `scipy.optimize.broyden1`.
root
    Roots of systems of equations, with the call of `scipy.optimize.root`.
lsqtr
    Least squares with bounds: a drop-in for `desc.optimize.lsqtr`.
patch, unpatch, patched
    Ours in place of the originals, in code that calls those.

``python -m raphson script.py`` runs a script under the patch.
"""

from raphson._broyden1 import broyden1
from raphson._core import __version__
from raphson._lsqtr import lsqtr
from raphson._newton import newton
from raphson._patch import patch, patched, unpatch
from raphson._root import root

__all__ = [
    "__version__",
    "broyden1",
    "lsqtr",
    "newton",
    "patch",
    "patched",
    "root",
    "unpatch",
]
