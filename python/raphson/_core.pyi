from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Self, final

from numpy.typing import ArrayLike
from typing_extensions import disjoint_base

from raphson._observer import Callback
from raphson._results import Question

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
    callback: Callback | None,
    options: Mapping[str, Any] | None,
) -> Any: ...
def fsolve(
    fun: Callable[..., Any],
    x0: ArrayLike,
    args: tuple[Any, ...],
    jac: Callable[..., Any] | bool | None,
    callback: Callback | None,
    settings: dict[str, Any],
    of_root: bool,
) -> Any: ...
def broyden1(
    function: Callable[[Any], Any],
    xin: ArrayLike,
    callback: Callback | None,
    settings: dict[str, Any],
) -> Any: ...
def root_broyden1(
    fun: Callable[..., Any],
    x0: ArrayLike,
    args: tuple[Any, ...],
    pairs: bool,
    callback: Callback | None,
    settings: dict[str, Any],
) -> Any: ...
def lsqtr(
    fun: Callable[..., Any],
    x0: ArrayLike,
    jac: Callable[..., Any] | str,
    args: Iterable[Any],
    callback: Callback | None,
    keywords: dict[str, Any],
) -> Any: ...
def saved_class(data: bytes) -> str: ...

@disjoint_base
class Solver:
    @property
    def done(self) -> bool: ...
    @property
    def x(self) -> Any: ...
    @property
    def fun(self) -> Any: ...
    @property
    def nit(self) -> int: ...
    @property
    def nfev(self) -> int: ...
    @property
    def calls(self) -> int: ...
    @property
    def tolerances(self) -> dict[str, float]: ...
    @property
    def step_norm(self) -> float: ...
    def ask(self) -> Question: ...
    def tell(self, value: ArrayLike) -> None: ...
    def stop(self) -> None: ...
    def solve(
        self,
        fun: Callable[..., Any],
        jac: Callable[..., Any] | bool | None = None,
        args: Iterable[Any] | None = None,
        callback: Callback | None = None,
        verbose: float | None = None,
    ) -> Any: ...
    def result(self) -> Any: ...
    def to_bytes(self) -> bytes: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class Broyden1(Solver):
    def __new__(
        cls,
        xin: ArrayLike,
        *,
        iter: int | None = None,
        alpha: complex | None = None,
        reduction_method: str | tuple[Any, ...] = "restart",
        max_rank: float | None = None,
        maxiter: int | None = None,
        f_tol: float | None = None,
        f_rtol: float | None = None,
        x_tol: float | None = None,
        x_rtol: float | None = None,
        tol_norm: Callable[[Any], float] | None = None,
        line_search: str | bool | None = "armijo",
    ) -> Self: ...
    @classmethod
    def from_bytes(
        cls, data: bytes, tol_norm: Callable[[Any], float] | None = None
    ) -> Broyden1: ...
    @property
    def residual_norm(self) -> float: ...
    @property
    def step_length(self) -> float: ...

@final
class NewtonSystem(Solver):
    def __new__(
        cls,
        x0: ArrayLike,
        jac: str | None = "exact",
        *,
        xtol: float | None = None,
        ftol: float = 0.0,
        maxiter: int = 100,
        line_search: str | bool | None = "armijo",
        diff_step: float | None = None,
    ) -> Self: ...
    @classmethod
    def from_bytes(cls, data: bytes) -> NewtonSystem: ...
    @property
    def residual_norm(self) -> float: ...
    @property
    def step_length(self) -> float: ...
    @property
    def njev(self) -> int: ...

@final
class PowellHybrid(Solver):
    def __new__(
        cls,
        x0: ArrayLike,
        jac: str | None = "exact",
        *,
        xtol: float = 1.49012e-08,
        maxfev: int = 0,
        band: Sequence[int] | None = None,
        eps: float | None = None,
        factor: float = 100,
        diag: ArrayLike | None = None,
        col_deriv: bool = False,
    ) -> Self: ...
    @classmethod
    def from_bytes(cls, data: bytes) -> PowellHybrid: ...
    @property
    def residual_norm(self) -> float: ...
    @property
    def trust_radius(self) -> float: ...
    @property
    def njev(self) -> int: ...

@final
class LeastSquares(Solver):
    def __new__(
        cls,
        x0: ArrayLike,
        jac: str | None = "exact",
        *,
        bounds: Any = None,
        x_scale: ArrayLike | str = "jac",
        ftol: float | None = 1e-06,
        xtol: float | None = 1e-06,
        gtol: float | None = 1e-06,
        maxiter: int | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Self: ...
    @classmethod
    def from_bytes(cls, data: bytes) -> LeastSquares: ...
    @property
    def cost(self) -> float: ...
    @property
    def optimality(self) -> float: ...
    @property
    def relative_optimality(self) -> float: ...
    @property
    def trust_radius(self) -> float: ...
    @property
    def active_mask(self) -> Any: ...
    @property
    def njev(self) -> int: ...

@final
class StandIn:
    def __new__(cls, guide: object) -> Self: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...
    def __get__(self, instance: object, _class: type | None = None, /) -> Any: ...
