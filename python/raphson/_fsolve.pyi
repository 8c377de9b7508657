from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import ArrayLike

def fsolve(
    func: Callable[..., Any],
    x0: ArrayLike,
    args: Any = (),
    fprime: Callable[..., Any] | None = None,
    full_output: bool | int = 0,
    col_deriv: bool | int = 0,
    xtol: float = 1.49012e-08,
    maxfev: int = 0,
    band: Sequence[int] | None = None,
    epsfcn: float | None = None,
    factor: float = 100,
    diag: ArrayLike | None = None,
) -> Any: ...
