"""What looks at a solve from the inside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from raphson._core import Solver


class Observer:
    """
    A callback that gets the solver itself: the base class of those that want more than x.

    An instance is passed as ``callback``, alone or in a list with others, to `root`, `broyden1`,
    `lsqtr` and to the ``solve`` of a solver. Its methods do nothing unless a subclass defines
    them. They may read the solver and save it, but an answer that they tell it ends the solve
    with an error. Raising StopIteration in ``iterated`` ends the solve at the current iterate; any
    other exception comes out of the solve.

    See Also
    --------
    checkpoint : Saves the solver while it runs.
    Monitor : Records and shows the iterations.

    Examples
    --------
    >>> import numpy as np
    >>> import raphson
    >>> class Steps(raphson.Observer):
    ...     def iterated(self, solver):
    ...         print(solver.nit, f"{solver.step_norm:.0e}")
    >>> x = raphson.broyden1(lambda x: np.cos(x) - x, [1.0], callback=Steps())
    1 5e-01
    2 2e-01
    3 1e-02
    4 8e-04
    """

    def started(self, solver: Solver) -> None:
        """
        Look at a solver that is about to be answered: a new one, or one that goes on.

        Parameters
        ----------
        solver : Solver
            The solver.
        """

    def evaluated(self, solver: Solver) -> None:
        """
        Look at a solver that has worked in the value of a function, and is about to ask again.

        Parameters
        ----------
        solver : Solver
            The solver.
        """

    def iterated(self, solver: Solver) -> None:
        """
        Look at a solver that has completed an iteration.

        Parameters
        ----------
        solver : Solver
            The solver.
        """

    def ended(self, solver: Solver) -> None:
        """
        Look at a solver that is not answered any more: it is done, or an exception is on its way.

        Parameters
        ----------
        solver : Solver
            The solver.
        """


# What is passed as ``callback``.
Callback = Callable[..., Any] | Observer | Sequence[Callable[..., Any] | Observer]
