"""The public face of `raphson.newton`.

The types are in ``_newton.pyi``: the signature here is SciPy's, which has none.
"""

from raphson import _core


def newton(
    func,
    x0,
    fprime=None,
    args=(),
    tol=1.48e-08,
    maxiter=50,
    fprime2=None,
    x1=None,
    rtol=0.0,
    full_output=False,
    disp=True,
):
    r"""
    Find a root of a function of one variable, real or complex.

    Newton-Raphson where `fprime` is given, Halley's method where `fprime2` is given as well, the
    secant method otherwise. A drop-in for `scipy.optimize.newton`: the callables are asked for the
    same points in the same order.

    Parameters
    ----------
    func : callable ``func(x, *args)``
        The function. For a scalar `x0` it gets a NumPy scalar and returns one number. For an
        array it gets an array of that shape and returns one value for each element.
    x0 : number or array_like
        Starting point; an array of two or more elements is as many separate problems, solved
        together.
    fprime : callable ``fprime(x, *args)``, optional
        The derivative.
    args : tuple, optional
        Further arguments of all three callables.
    tol : float, optional
        A step of this length or less (in units of `x`) counts as converged.
    maxiter : int, optional
        Largest number of iterations.
    fprime2 : callable ``fprime2(x, *args)``, optional
        The second derivative. Without `fprime` it is not used.
    x1 : number, optional
        Second starting point of the secant method. Not used for an array `x0`.
    rtol : float, optional
        The same as `tol`, in units of ``abs(x)``. Not used for an array `x0`.
    full_output : bool, optional
        Return more than the root.
    disp : bool, optional
        Raise if a scalar `x0` leads nowhere; otherwise the result says so. Not used for an array.

    Returns
    -------
    root : number or ndarray
        The root, of the dtype that arithmetic with the values of `func` gives it; for an array of
        starting points a float64 or complex128 array of the same shape.
    r : scipy.optimize.RootResults
        With `full_output` and a scalar `x0`: fields ``root``, ``converged``, ``flag``,
        ``iterations``, ``function_calls`` (of all three callables) and ``method``.
    converged, zero_der : ndarray of bool
        With `full_output` and an array `x0`, in a named tuple ``(root, converged, zero_der)``:
        which elements converged, and which were stopped by a derivative that is exactly zero.

    Raises
    ------
    RuntimeError
        With `disp`, if a scalar `x0` does not converge; if no element of an array does.
    ValueError
        If `tol` or `maxiter` is not positive, `x1` equals `x0`, `x0` is empty, or a callable
        returns the wrong number of values.
    TypeError
        If an argument or what a callable returns is not of the expected type.

    Warns
    -----
    RuntimeWarning
        If some elements of an array do not converge or meet a zero derivative; if a scalar `x0`
        meets one and `disp` is False.

    See Also
    --------
    root : Newton's method for systems of equations.

    Notes
    -----
    A small step does not prove a root. Check ``func(root)`` where it matters.

    The iterations are

    .. math::

        x_{k+1} = x_k - \frac{f(x_k)}{f'(x_k)}

    with its correction by the curvature (Halley), or with the slope of the line through the last
    two points (secant); see [1]_.

    References
    ----------
    .. [1] J. F. Traub, "Iterative Methods for the Solution of Equations",
       Prentice-Hall, 1964.

    Examples
    --------
    >>> import math
    >>> import raphson
    >>> f = lambda x: math.exp(x) - x - 2
    >>> fprime = lambda x: math.exp(x) - 1
    >>> round(raphson.newton(f, 1.0, fprime), 12)
    np.float64(1.146193220621)

    Without the derivative, and with the details:

    >>> root, details = raphson.newton(f, 1.0, full_output=True)
    >>> details.method, details.converged, details.function_calls
    ('secant', True, 7)

    Cube roots of four numbers at once:

    >>> import numpy as np
    >>> a = np.array([1.0, 8.0, 27.0, 64.0])
    >>> raphson.newton(lambda x, a: x**3 - a, np.ones(4), lambda x, a: 3 * x**2, args=(a,))
    array([1., 2., 3., 4.])
    """
    return _core.newton(func, x0, fprime, args, tol, maxiter, fprime2, x1, rtol, full_output, disp)
