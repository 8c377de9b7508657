from collections.abc import Callable, Iterable, Mapping
from typing import Any

from numpy.typing import ArrayLike

__version__: str

def newton(
    func: Callable[..., Any],
    x0: ArrayLike,
    fprime: Callable[..., Any] | None,
    args: Iterable[Any],
    tol: float,
    maxiter: int,
    fprime2: Callable[..., Any] | None,
    x1: complex | None,
    rtol: float,
    full_output: bool,
    disp: bool,
) -> Any: ...
def root_newton(
    fun: Callable[..., Any],
    x0: ArrayLike,
    args: tuple[Any, ...],
    jac: Callable[..., Any] | bool | str | None,
    tol: float | None,
    callback: Callable[[Any, Any], Any] | None,
    options: Mapping[str, Any] | None,
) -> Any: ...
def broyden1(
    function: Callable[[Any], Any],
    xin: ArrayLike,
    callback: Callable[[Any, Any], Any] | None,
    settings: dict[str, Any],
) -> Any: ...
def root_broyden1(
    fun: Callable[..., Any],
    x0: ArrayLike,
    args: tuple[Any, ...],
    callback: Callable[[Any, Any], Any] | None,
    settings: dict[str, Any],
) -> Any: ...
def lsqtr(
    fun: Callable[..., Any],
    x0: ArrayLike,
    jac: Callable[..., Any] | str,
    args: Iterable[Any],
    callback: Callable[..., Any] | None,
    keywords: dict[str, Any],
) -> Any: ...
