from collections.abc import Callable, Iterable, Mapping
from math import inf
from typing import Any

from numpy.typing import ArrayLike

from raphson._observer import Callback

def lsqtr(
    fun: Callable[..., Any],
    x0: ArrayLike,
    jac: Callable[..., Any] | str,
    bounds: tuple[ArrayLike, ArrayLike] = (-inf, inf),
    args: Iterable[Any] = (),
    x_scale: ArrayLike | str = "jac",
    ftol: float | None = 1e-6,
    xtol: float | None = 1e-6,
    gtol: float | None = 1e-6,
    verbose: float = 1,
    maxiter: int | None = None,
    callback: Callback | None = None,
    options: Mapping[str, Any] | None = None,
) -> Any: ...
