from collections.abc import Callable, Iterable
from typing import Any

from numpy.typing import ArrayLike

def newton(
    func: Callable[..., Any],
    x0: ArrayLike,
    fprime: Callable[..., Any] | None = None,
    args: Iterable[Any] = (),
    tol: float = 1.48e-08,
    maxiter: int = 50,
    fprime2: Callable[..., Any] | None = None,
    x1: complex | None = None,
    rtol: float = 0.0,
    full_output: bool = False,
    disp: bool = True,
) -> Any: ...
