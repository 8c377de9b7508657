from collections.abc import Callable
from typing import Any

from numpy.typing import ArrayLike

from raphson._observer import Callback

def broyden1(
    F: Callable[[Any], Any],
    xin: ArrayLike,
    iter: int | None = None,
    alpha: complex | None = None,
    reduction_method: str | tuple[Any, ...] = "restart",
    max_rank: float | None = None,
    verbose: bool = False,
    maxiter: int | None = None,
    f_tol: float | None = None,
    f_rtol: float | None = None,
    x_tol: float | None = None,
    x_rtol: float | None = None,
    tol_norm: Callable[[Any], float] | None = None,
    line_search: str | bool | None = "armijo",
    callback: Callback | None = None,
    **kw: Any,
) -> Any: ...
