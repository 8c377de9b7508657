"""The public face of `raphson.fsolve`.

The types are in ``_fsolve.pyi``: the signature here is SciPy's, which has none.
"""

import warnings

from raphson import _core


def fsolve(
    func,
    x0,
    args=(),
    fprime=None,
    full_output=0,
    col_deriv=0,
    xtol=1.49012e-08,
    maxfev=0,
    band=None,
    epsfcn=None,
    factor=100,
    diag=None,
):
    r"""
    Find a root of a system of equations by Powell's hybrid method.

    A drop-in for `scipy.optimize.fsolve`: `func` and `fprime` are asked for the same points in the
    same order, to the last bit where the processor computes as SciPy's.

    Parameters
    ----------
    func : callable ``func(x, *args)``
        The residual F(x), as a vector with a number for each unknown. x is a vector of NumPy's.
    x0 : array_like
        Starting point, real and finite; what is not a vector is flattened.
    args : tuple, optional
        Further arguments of `func` and `fprime`.
    fprime : callable ``fprime(x, *args)``, optional
        The Jacobian, with a row for each residual. By default it is approximated by forward
        differences.
    full_output : bool, optional
        Return `infodict`, `ier` and `mesg` too, and don't warn.
    col_deriv : bool, optional
        `fprime` returns a row for each unknown instead.
    xtol : float, optional
        The solve ends when the radius that steps may have is at most so large, relative to x.
    maxfev : int, optional
        How many evaluations of `func` may be made; 0 stands for ``200 * (x.size + 1)``, or with
        `fprime` for ``100 * (x.size + 1)``.
    band : sequence of two ints, optional
        How many diagonals below and above the main one of the Jacobian are not zero: fewer
        evaluations make its differences.
    epsfcn : float, optional
        How large the relative errors of `func` are; the steps of the differences are relative to x
        and of its square root. By default the precision of what `func` returns.
    factor : float, optional
        The first radius, relative to x.
    diag : array_like, optional
        Positive factors that bring the unknowns to one scale. By default the norms of the columns
        of the Jacobian.

    Returns
    -------
    x : ndarray
        The solution, or the last iterate.
    infodict : dict
        Only with `full_output`, as the two that follow: ``nfev``, ``njev`` (with `fprime`),
        ``fvec`` (the residual), and the factors of the last approximate Jacobian: ``fjac`` (Q,
        transposed), ``r`` (R, by rows, without its zeros) and ``qtf`` (Qᵀ F).
    ier : int
        1 if a solution was found.
    mesg : str
        What has ended the solve.

    Warns
    -----
    RuntimeWarning
        If no solution was found, without `full_output`.

    Raises
    ------
    TypeError
        If a function returns an array of another shape or complex numbers, or an argument is not
        of the expected type.
    ValueError
        If an argument has a value that does not fit.

    See Also
    --------
    root : The same and other methods, with a result object.
    PowellHybrid : The method without its loop.

    Notes
    -----
    Each step minimises the norm of a linear model within a trust radius, along a path from the
    direction of the gradient to the Newton step [1]_. The model's Jacobian is changed by Broyden's
    update after each step, and computed anew when two steps in a row have not done what it said.
    The order of all operations is that of MINPACK's hybrd and hybrj [2]_.

    References
    ----------
    .. [1] M. J. D. Powell, "A hybrid method for nonlinear equations", in P. Rabinowitz (ed.),
       "Numerical Methods for Nonlinear Algebraic Equations", Gordon and Breach, 1970.
    .. [2] J. J. Moré, B. S. Garbow, K. E. Hillstrom, "User Guide for MINPACK-1", report ANL-80-74,
       Argonne National Laboratory, 1980.

    Examples
    --------
    >>> import numpy as np
    >>> import raphson
    >>> def fun(v):
    ...     x, y = v
    ...     return [np.exp(x) + y - 2, x**2 + 2 * y**2 - 6]
    >>> raphson.fsolve(fun, [2, -2])
    array([ 1.24979638, -1.48963234])
    """
    settings = {
        "col_deriv": col_deriv,
        "xtol": xtol,
        "maxfev": maxfev,
        "band": band,
        "eps": epsfcn,
        "factor": factor,
        "diag": diag,
    }
    if not isinstance(args, tuple):
        args = (args,)
    result = _core.fsolve(func, x0, args, fprime, None, settings, False)
    if full_output:
        names = ("nfev", "njev", "fjac", "r", "qtf")
        info = {name: result[name] for name in names if name in result}
        return result.x, info | {"fvec": result.fun}, result.status, result.message
    if not result.success:
        warnings.warn(result.message, RuntimeWarning, stacklevel=2)
    return result.x
