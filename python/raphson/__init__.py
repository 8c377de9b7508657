"""Nonlinear solvers with kernels in Rust, behind the signatures of SciPy and DESC.

Functions
---------
newton
    Roots of functions of one variable: a drop-in for `scipy.optimize.newton`.
root
    Roots of systems of equations, with the call of `scipy.optimize.root`.
"""

from importlib.metadata import version as _version

from raphson._newton import newton
from raphson._root import root

__all__ = ["newton", "root"]

__version__ = _version("raphson")
