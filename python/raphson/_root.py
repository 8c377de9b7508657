"""The public face of `raphson.root`: one call for all methods for systems of equations."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from math import inf, isfinite
from typing import TYPE_CHECKING, Any

from raphson import _core

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike

    from raphson._observer import Callback

# The options of SciPy's root(method='broyden1'), beside jac_options.
_BROYDEN1_OPTIONS = (
    "nit",
    "disp",
    "maxiter",
    "ftol",
    "fatol",
    "xtol",
    "xatol",
    "tol_norm",
    "line_search",
)

_JAC_OPTIONS = ("alpha", "reduction_method", "max_rank")
# What an option of another call is called here.
_MEANT = {
    "f_tol": "'fatol'",
    "f_rtol": "'ftol'",
    "x_tol": "'xatol'",
    "x_rtol": "'xtol'",
    "iter": "'nit'",
    "verbose": "'disp'",
    "max_nfev": "'maxiter'",
    "maxfev": "'maxiter'",
} | {name: f"options={{'jac_options': {{{name!r}: ...}}}}" for name in _JAC_OPTIONS}
_OF_NEWTON = ("diff_step",)


def _hint(name: str) -> str:
    """Say what an unknown option of method 'broyden1' is likely meant for."""
    if name in _MEANT:
        return f"; for {name!r} write {_MEANT[name]}"
    return f"; {name!r} is one of method 'newton'" if name in _OF_NEWTON else ""


def _as_dict(options: Mapping[str, Any] | None, name: str) -> dict[str, Any]:
    if options is not None and not isinstance(options, Mapping):
        raise TypeError(f"{name} must be a dict, not {type(options).__name__}")
    return dict(options or {})


def _broyden1(
    fun: Callable[..., Any],
    x0: ArrayLike,
    args: tuple[Any, ...],
    jac: Callable[..., Any] | bool | str | None,
    tol: float | None,
    callback: Callback | None,
    options: Mapping[str, Any] | None,
) -> Any:
    from scipy.optimize import OptimizeWarning

    given = _as_dict(options, "options")
    if tol is not None:
        try:
            isfinite(tol)
        except TypeError:
            raise TypeError(f"tol: expected a number, got {type(tol).__name__}") from None
        except OverflowError as error:
            raise ValueError(f"tol: {error}") from None
        given = {"xtol": tol, "xatol": inf, "ftol": inf, "fatol": inf} | given
    settings = _as_dict(given.pop("jac_options", None), "jac_options")
    unknown = sorted(set(settings) - set(_JAC_OPTIONS))
    if unknown:
        raise TypeError(
            f"jac_options: unknown option {unknown[0]!r} for method 'broyden1', which has "
            f"{', '.join(_JAC_OPTIONS)}"
        )
    settings |= {name: given.pop(name) for name in _BROYDEN1_OPTIONS if name in given}
    if given:
        names = ", ".join(map(str, given))
        hints = "".join(map(_hint, given))
        warnings.warn(f"Unknown solver options: {names}{hints}", OptimizeWarning, stacklevel=3)
    pairs = jac is True
    if jac is not None and not pairs:
        message = "Method broyden1 does not use the jacobian (jac)."
        warnings.warn(message, RuntimeWarning, stacklevel=3)
    return _core.root_broyden1(fun, x0, args, pairs, callback, settings)


def _hybr(
    fun: Callable[..., Any],
    x0: ArrayLike,
    args: tuple[Any, ...],
    jac: Callable[..., Any] | bool | str | None,
    tol: float | None,
    callback: Callback | None,
    options: Mapping[str, Any] | None,
) -> Any:
    if isinstance(jac, str):
        raise ValueError(
            f"jac must be callable, True or None for method 'hybr', not {jac!r}: it has forward "
            "differences of its own; method 'newton' has others"
        )
    settings = _as_dict(options, "options")
    if tol is not None:
        settings.setdefault("xtol", tol)
    return _core.fsolve(fun, x0, args, jac, callback, settings, True)


_METHODS = {"hybr": _hybr, "newton": _core.root_newton, "broyden1": _broyden1}


def root(
    fun: Callable[..., Any],
    x0: ArrayLike,
    args: Any = (),
    method: str = "hybr",
    jac: Callable[..., Any] | bool | str | None = None,
    tol: float | None = None,
    callback: Callback | None = None,
    options: Mapping[str, Any] | None = None,
) -> Any:
    r"""
    Find a root of a system of as many equations as unknowns, real or complex.

    Parameters
    ----------
    fun : callable ``fun(x, *args)``
        The residual F(x). It gets an array of the kind, shape and dtype of `x0` (float64 for
        lists, ints and float64; float32 and complex types stay what they are; a JAX array gives
        JAX arrays) and returns as many values, in any shape.
    x0 : array_like
        Starting point, of any shape; finite.
    args : tuple, optional
        Further arguments of `fun` and `jac`.
    method : {'hybr', 'newton', 'broyden1'}, optional
        The solver, see Notes; by default 'hybr', as in SciPy.
    jac : callable, bool or {'2-point', '3-point', 'cs'}, optional
        For 'hybr' and 'newton', the Jacobian J, with ``J[i, j]`` the derivative of value i of F
        with respect to element j of x, both in C order: a callable ``jac(x, *args)``; True if
        `fun` returns the pair ``(F, J)``, a tuple or list; or, for 'newton', how to approximate
        it: by finite differences ('2-point', the default, or '3-point') or by the complex step
        ('cs', for a real `x0` and a `fun` that is analytic and takes complex arrays). J is an
        array of shape ``(x.size, x.size)``; for 'newton' also ``F.shape + x.shape``, or a
        scipy.sparse matrix or array, which SciPy's sparse LU factors.
    tol : float, optional
        The same as the option ``xtol``; for 'broyden1' the other tolerances are then not used.
    callback : callable ``callback(x, f)``, `Observer`, or list of them, optional
        Called after every iteration with the new point and its residual ('broyden1' and 'hybr':
        both as one-dimensional arrays). Raising StopIteration in it ends the solve. A `Monitor`
        records the iterations, a `checkpoint` saves them.
    options : dict, optional
        Options of the method, see Notes.

    Returns
    -------
    Result
        A `scipy.optimize.OptimizeResult` with ``x``, ``fun`` (the residual there), ``success``,
        ``status``, ``message``, ``method``, ``nit``, and ``nfev`` and ``calls``, which both count
        all evaluations of `fun`, those for finite differences included. Method 'newton' adds
        ``jac`` (the last Jacobian used) and ``njev``, and without success its ``x`` is the point
        with the smallest residual.

    Raises
    ------
    ValueError
        If an argument or option has a value, or a callable returns an array of a shape, that does
        not fit; if `method` is not one of ours. If `jac` is 'cs' and `fun` drops all imaginary
        parts. With 'broyden1' also if a residual has NaN or inf.
    TypeError
        If an argument or what a callable returns is not of the expected type.

    See Also
    --------
    newton : Newton's method for one equation.
    fsolve : The call of SciPy for method 'hybr'.
    broyden1 : The call of SciPy for Broyden's method.
    scipy.optimize.root : The other methods of SciPy.

    Notes
    -----
    **Method 'hybr'** is Powell's hybrid method, see `fsolve`. F and x are one-dimensional. Its
    options are those of `scipy.optimize.root`: ``xtol``, ``maxfev``, ``band``, ``eps`` (in
    `fsolve` it is ``epsfcn``), ``factor``, ``diag`` and ``col_deriv``; so are its status (1 is
    success; -3 says that there is a NaN or inf, -5 that it was stopped) and the fields ``fjac``,
    ``r`` and ``qtf``.

    **Method 'newton'** solves :math:`J(x)\,d = -F(x)` in each iteration and moves along the
    Newton step d, see [1]_. By default a line search [2]_ shortens steps that do not reduce
    :math:`\|F\|_2`, so that starts from which plain Newton diverges still converge, or end with
    a reason. Its options:

    ``xtol`` : float, default ``eps**0.75`` (1.8e-12 in double precision)
        A point is a root if the next step with the same Jacobian would be no longer than
        :math:`\mathrm{xtol}\,\|x\|_\infty`, and the residual is what so small a change of x
        explains, :math:`|F_i| \le \mathrm{xtol}\,(|J|\,|x|)_i`.
    ``ftol`` : float, default 0
        A point is a root if :math:`\|F\|_\infty \le \mathrm{ftol}`. A root at zero with a
        singular Jacobian needs it: there nothing else says how near x is.
    ``maxiter`` : int, default 100
        Largest number of iterations.
    ``line_search`` : {'armijo', None}, default 'armijo'
        None is plain Newton.
    ``diff_step`` : float, optional
        Relative step of the approximations of J. By default it follows the precision in which
        `fun` computes, and gets better where the line search finds J wrong.

    ======  =======  ==========================================================
    status  success  meaning
    ======  =======  ==========================================================
    1       True     residual within ``ftol``
    2       True     next step and residual within ``xtol``
    0       False    ``maxiter`` iterations were not enough
    -1      False    the Jacobian is singular
    -2      False    the Jacobian has NaN or inf
    -3      False    the residual has NaN or inf
    -4      False    no step along the Newton direction reduces the residual
    -5      False    stopped by the caller
    -6      False    ``jac='cs'``, and a component of `fun` drops the imaginary
                     part of x
    ======  =======  ==========================================================

    **Method 'broyden1'** needs no Jacobian, see `broyden1`. Its options are those of
    `scipy.optimize.root`: ``nit``, ``disp``, ``maxiter``, ``ftol`` and ``xtol`` (relative),
    ``fatol`` and ``xatol`` (absolute), ``tol_norm``, ``line_search``, and ``jac_options``, a dict
    with ``alpha``, ``reduction_method`` and ``max_rank``. As in SciPy, ``fun`` is one-dimensional,
    ``nit`` counts how often the tolerances were looked at, and the status is 1 (converged) or 2
    (the iterations are used up); 3 is a stop by the callback.

    References
    ----------
    .. [1] C. T. Kelley, "Solving Nonlinear Equations with Newton's Method",
       SIAM, 2003.
    .. [2] J. E. Dennis, R. B. Schnabel, "Numerical Methods for Unconstrained Optimization and
       Nonlinear Equations", SIAM, 1996, algorithm A6.3.1.

    Examples
    --------
    Where the curves :math:`e^x + y = 2` and :math:`x^2 + 2y^2 = 6` meet:

    >>> import numpy as np
    >>> import raphson
    >>> def fun(v):
    ...     x, y = v
    ...     return [np.exp(x) + y - 2, x**2 + 2 * y**2 - 6]
    >>> def jac(v):
    ...     x, y = v
    ...     return [[np.exp(x), 1], [2 * x, 4 * y]]
    >>> solution = raphson.root(fun, [2.0, -2.0], method="newton", jac=jac)
    >>> solution.success, solution.nit
    (True, 5)
    >>> solution.x
    array([ 1.24979638, -1.48963234])
    """
    solve = _METHODS.get(method.lower()) if isinstance(method, str) else None
    if solve is None:
        raise ValueError(
            f"method must be one of {', '.join(map(repr, _METHODS))}, not {method!r}; "
            "for other methods see scipy.optimize.root"
        )
    if not isinstance(args, tuple):
        args = (args,)
    return solve(fun, x0, args, jac, tol, callback, options)
