"""The public face of `raphson.broyden1`.

The types are in ``_broyden1.pyi``: the signature here is SciPy's, which has none.
"""

from raphson import _core

# What an option of `root` is called here.
_MEANT = {
    "fatol": "f_tol",
    "ftol": "f_rtol",
    "xatol": "x_tol",
    "xtol": "x_rtol",
    "nit": "iter",
    "disp": "verbose",
    "maxfev": "maxiter",
    "max_nfev": "maxiter",
    "x0": "xin",
    "fun": "F",
}


def broyden1(
    F,
    xin,
    iter=None,
    alpha=None,
    reduction_method="restart",
    max_rank=None,
    verbose=False,
    maxiter=None,
    f_tol=None,
    f_rtol=None,
    x_tol=None,
    x_rtol=None,
    tol_norm=None,
    line_search="armijo",
    callback=None,
    **kw,
):
    r"""
    Find a root of a system of equations without its Jacobian, by Broyden's first method.

    A drop-in for `scipy.optimize.broyden1`: `F` is asked for the same points in the same order, up
    to rounding errors, which Broyden's iterations can amplify.

    Parameters
    ----------
    F : callable ``F(x)``
        The residual. It gets an array of the kind, shape and dtype of `xin` (float64 for ints) and
        returns as many values.
    xin : array_like
        Starting point, of any shape, real or complex, in single or double precision.
    iter : int, optional
        Make so many iterations instead of looking at the tolerances.
    alpha : number, optional
        The inverse Jacobian begins as ``-alpha`` times the identity. By default it is chosen by
        the sizes of `xin` and ``F(xin)``.
    reduction_method : {'restart', 'simple', 'svd'} or tuple, optional
        How the rank of the approximation is kept below `max_rank`: drop everything, drop the
        oldest update, or keep the largest singular values: as many as ``('svd', to_retain)`` says,
        by default ``max_rank - 3``, or none where that is negative. (SciPy's documentation says
        ``max_rank - 2``; its code does the same as ours.)
    max_rank : int, optional
        Largest rank, at least 2. Unlimited by default.
    verbose : bool, optional
        Print a line for every iteration.
    maxiter : int, optional
        Largest number of iterations; ``100 * (x.size + 1)`` by default.
    f_tol, f_rtol : float, optional
        Largest norm of the residual, absolute (6e-6 by default) and relative to that at `xin`.
    x_tol, x_rtol : float, optional
        Largest norm of the step, absolute and relative to that of x. Not used by default.
    tol_norm : callable ``tol_norm(vector)``, optional
        The norm for all four, of a one-dimensional array. The maximum norm by default.
    line_search : {'armijo', 'wolfe', None}, optional
        How to shorten a step; None takes all steps in full.
    callback : callable ``callback(x, f)``, `Observer`, or list of them, optional
        Called after every iteration with the point and the residual as one-dimensional arrays.
        Raising StopIteration in it ends the solve with the current point.

    Returns
    -------
    x : ndarray, or array of the kind of `xin`
        The root, of the shape of `xin`.

    Raises
    ------
    scipy.optimize.NoConvergence
        If `maxiter` iterations were not enough. ``args[0]`` is the last point; ``result`` is a
        `Result` with it, the residual ``fun``, ``nit`` and ``nfev``; printed, it says how large
        the residual is and what to try.
    ValueError
        If the residual has NaN or inf or changes its length, if a step is zero, or if an argument
        has a value that does not fit.
    TypeError
        If an argument is not of the expected type.

    See Also
    --------
    root : The same with ``method='broyden1'`` and a result object.

    Notes
    -----
    After a step :math:`\delta` that changed the residual by y, the approximation H of the inverse
    Jacobian becomes

    .. math::

        H_+ = H + \frac{(\delta - H y)\,\delta^\dagger H}{\delta^\dagger H y},

    Broyden's "good" update [1]_, see [2]_ for the reduction of its rank.

    References
    ----------
    .. [1] C. G. Broyden, "A class of methods for solving nonlinear simultaneous equations",
       Mathematics of Computation 19, 1965.
    .. [2] B. A. van der Rotten, "A limited memory Broyden method to solve high-dimensional systems
       of nonlinear equations", PhD thesis, Universiteit Leiden, 2003.

    Examples
    --------
    >>> import raphson
    >>> def fun(x):
    ...     return [x[0] + 0.5 * (x[0] - x[1]) ** 3 - 1.0, 0.5 * (x[1] - x[0]) ** 3 + x[1]]
    >>> raphson.broyden1(fun, [0, 0])
    array([0.84116396, 0.15883641])
    """
    if kw:
        name = min(kw)
        hint = f". Did you mean {_MEANT[name]!r}?" if name in _MEANT else ""
        raise TypeError(f"broyden1() got an unexpected keyword argument {name!r}{hint}")
    return _core.broyden1(
        F,
        xin,
        callback,
        {
            "iter": iter,
            "alpha": alpha,
            "reduction_method": reduction_method,
            "max_rank": max_rank,
            "verbose": verbose,
            "maxiter": maxiter,
            "f_tol": f_tol,
            "f_rtol": f_rtol,
            "x_tol": x_tol,
            "x_rtol": x_rtol,
            "tol_norm": tol_norm,
            "line_search": line_search,
        },
    )
