"""The public face of `raphson.lsqtr`.

The types are in ``_lsqtr.pyi``: the signature here is DESC's, which has none.
"""

from math import inf

from raphson import _core


def lsqtr(
    fun,
    x0,
    jac,
    bounds=(-inf, inf),
    args=(),
    x_scale="jac",
    ftol=1e-6,
    xtol=1e-6,
    gtol=1e-6,
    verbose=1,
    maxiter=None,
    callback=None,
    options=None,
):
    r"""
    Minimize a sum of squares, with bounds, by a reflective trust-region method.

    A drop-in for `desc.optimize.lsqtr` that takes callables of any library: `fun` and `jac` are
    asked for the same points in the same order, up to rounding errors.

    Parameters
    ----------
    fun : callable ``fun(x, *args)``
        The residuals f, one-dimensional, as many at every x. It gets x as an array of float64, or
        of the library of `x0` (JAX).
    x0 : array_like
        Starting point, a vector (a number counts as one of length 1) within the bounds.
    jac : callable ``jac(x, *args)`` or {'2-point', '3-point', 'cs'}
        The Jacobian, of shape ``(f.size, x.size)``, in C or Fortran order; it is never written to.
        Or how to approximate it: by finite differences, which stay within the bounds, or by the
        complex step, for a `fun` that is analytic and takes complex arrays.
    bounds : tuple of array_like, optional
        Lower and upper bounds, each one number or one for each variable; or an object like
        `scipy.optimize.Bounds`. Infinite for no bound.
    args : tuple, optional
        Further arguments of `fun`, `jac` and `callback`.
    x_scale : array_like or 'jac', optional
        Characteristic size of each variable, in which the trust region is a ball. 'jac' takes the
        inverse norms of the columns of the Jacobian (the largest norms so far).
    ftol : float or None, optional
        Stop when a step reduces the cost F by less than ``ftol * F``. None or 0 (or less): do not.
    xtol : float or None, optional
        Stop when the norm of a step is less than ``xtol * (xtol + norm(x))``. None or 0: do not.
    gtol : float or None, optional
        Stop when the largest component of the gradient, each times the distance to the bound that
        it points at, is less than this. None or 0: do not.
    verbose : {0, 1, 2, 3}, optional
        Print nothing, a report at the end, a line for each iteration, the settings as well.
    maxiter : int, optional
        Largest number of iterations; ``100 * x.size`` by default.
    callback : callable ``callback(x, *args)``, `Observer`, or list of them, optional
        Called after every accepted step. Returning true, or raising StopIteration, ends the solve.
    options : dict, optional
        Further settings, see Notes. The dict is left as it is.

    Returns
    -------
    Result
        A `scipy.optimize.OptimizeResult` with ``x``; ``success``, ``status`` and ``message``;
        ``cost``, half the sum of squares; ``fun`` (also ``fse``) and ``f0se``, the residuals at x
        and at the start; ``grad``, the gradient of the cost; ``v``, the Coleman-Li distances;
        ``jac``, as it was returned; ``optimality``, what `gtol` is compared with;
        ``relative_optimality``, see Notes; ``nfev``, the evaluations of `fun` without those for
        approximated Jacobians, ``calls``, all of them, ``njev`` and ``nit``; ``active_mask``, -1
        or 1 where a lower or upper bound is active; ``allx``, the accepted points; ``alltr``, the
        trust radius after each evaluation; ``undefined_at``, with status -7 only, the last point
        where the residual had NaN or inf. Arrays are of the library of `x0`.

    Raises
    ------
    ValueError
        If an argument or option has a value, or a callable returns an array of a shape, that does
        not fit; in particular if `x0` is not within the bounds. If `jac` is 'cs' and `fun` drops
        all imaginary parts.
    TypeError
        If an argument or what a callable returns is not of the expected type.

    See Also
    --------
    scipy.optimize.least_squares : Least squares with robust losses and sparse Jacobians.

    Notes
    -----
    With the scales s of the variables and the distances v to the bounds that the gradient g of the
    cost points at (1 where there is none), each iteration minimizes

    .. math::

        q(\hat p) = \hat g^T \hat p + \tfrac{1}{2} \hat p^T (\hat J^T \hat J + C)\,\hat p,
        \qquad \|\hat p\| \le \Delta,

    where :math:`\hat J = J D`, :math:`\hat g = D g`, :math:`D = \mathrm{diag}(s \sqrt v)` and C is
    diagonal and zero without bounds [1]_. A step that leaves the bounds is reflected or shortened
    [2]_. The options are

    ``max_nfev`` : int, default ``5 * maxiter + 1``
        Largest number of evaluations of `fun`.
    ``relative_gtol`` : float, default 0
        Stop when the relative optimality is less than this. 0: do not.
    ``max_dx`` : float, default inf
        Largest distance from `x0`; the first point beyond it is the last.
    ``scaled_termination`` : bool, default True
        Steps, points and gradients are measured in scaled variables for `xtol` and `gtol`.
    ``initial_trust_radius`` : {'scipy', 'conngould', 'mix'} or float, default 'scipy'
        The scaled norm of x, the length of the Cauchy step relative to the gradient, the geometric
        mean of the two, or a number.
    ``initial_trust_ratio`` : float, default 1
        What that is multiplied by.
    ``max_trust_radius`` : float, default inf
        Largest trust radius after the first.
    ``min_trust_radius`` : float, default ``eps`` of the precision of `x0` (2.2e-16 for double)
        Give up when a step is shorter.
    ``tr_increase_threshold``, ``tr_decrease_threshold`` : float, default 0.75 and 0.25
        The radius grows where the reduction of the cost exceeds the first share of what the model
        predicts, and shrinks where it falls below the second.
    ``tr_increase_ratio``, ``tr_decrease_ratio`` : float, default 2 and 0.25
        The factors for it, of the length of the step; more than 1, and between 0 and 1.
    ``tr_method`` : {'qr', 'svd', 'cho'}, default 'qr'
        How the model is factored. All take the same path to rounding. 'cho' takes half the time of
        'qr' or less on tall problems, unless the Jacobian is badly conditioned.
    ``diff_step`` : float, optional
        Relative step of the approximations of the Jacobian. By default it follows the precision in
        which `fun` computes.

    ======  =======  ==========================================================
    status  success  meaning
    ======  =======  ==========================================================
    1       True     gradient within `gtol`
    2       True     reduction within `ftol`
    3       True     step within `xtol`
    4       True     both of these
    5       True     relative optimality within ``relative_gtol``
    6       True     as far as the rounding errors of a `fun` let that computes
                     in less than double precision, with differences for `jac`
    0       False    `maxiter` iterations were not enough
    -1      False    ``max_nfev`` evaluations were not enough
    -2      False    the step is shorter than ``min_trust_radius``
    -3      False    x is farther from `x0` than ``max_dx``
    -4      either   stopped by the callback; success as the tolerances say
    -5      False    the residual at `x0` has NaN or inf, or overflows
    -6      False    a Jacobian has NaN or inf, or overflows
    -7      False    the step is short only because the residual beyond it has NaN or inf
    -8      False    ``jac='cs'``, and a component of `fun` drops the imaginary
                     part of x
    ======  =======  ==========================================================

    A residual with NaN or inf later on counts as one that is too large. Status -7 means that the
    step which such residuals have shortened satisfies a tolerance, and the step without them would
    not.

    The relative optimality has no units. Where no bound is near, it is the largest cosine of an
    angle between f and a column of J, as in the test of MINPACK's ``gtol`` [3]_. In general it is
    the largest change of f, relative to f, by the best step of one variable alone within its
    bounds. A success where it is more than 0.01, with a step of that variable of more than 0.001,
    says so in its message: most often the residuals are so small that `gtol` holds anywhere. Where
    f is zero at the solution, the relative optimality need not be small.

    References
    ----------
    .. [1] T. F. Coleman, Y. Li, "An interior trust region approach for nonlinear minimization
       subject to bounds", SIAM Journal on Optimization 6, 1996.
    .. [2] M. A. Branch, T. F. Coleman, Y. Li, "A subspace, interior, and conjugate gradient method
       for large-scale bound-constrained minimization problems", SIAM Journal on Scientific
       Computing 21(1), 1999.
    .. [3] J. J. Moré, "The Levenberg-Marquardt algorithm: implementation and theory", Lecture
       Notes in Mathematics 630, Springer, 1978.

    Examples
    --------
    A decay that is seen through noise, :math:`y = a e^{-b t}` with :math:`b \ge 0`:

    >>> import numpy as np
    >>> import raphson
    >>> t = np.linspace(0, 4, 9)
    >>> y = 2.5 * np.exp(-1.3 * t) + 0.01 * np.cos(7 * t)
    >>> def fun(x):
    ...     return x[0] * np.exp(-x[1] * t) - y
    >>> def jac(x):
    ...     decay = np.exp(-x[1] * t)
    ...     return np.column_stack([decay, -x[0] * t * decay])
    >>> fit = raphson.lsqtr(fun, [1.0, 1.0], jac, bounds=([-np.inf, 0], np.inf), verbose=0)
    >>> fit.success, fit.nfev
    (True, 5)
    >>> fit.x.round(3)
    array([2.507, 1.306])
    """
    return _core.lsqtr(
        fun,
        x0,
        jac,
        args,
        callback,
        {
            "bounds": bounds,
            "x_scale": x_scale,
            "ftol": ftol,
            "xtol": xtol,
            "gtol": gtol,
            "verbose": verbose,
            "maxiter": maxiter,
            "options": options,
        },
    )
