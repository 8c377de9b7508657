"""Ours in place of the originals, for code that is to stay as it is.

An original is replaced in the module that defines it: at once if that is imported, otherwise by a
finder that waits for the import. So nobody pays for the import of SciPy or DESC who does not use
it, and whatever imports the name later gets the replacement. Who imported it earlier has it among
the globals of some module, and those are gone through.
"""

from __future__ import annotations

import importlib
import sys

# threading itself takes longer to import than the rest of this package.
from _thread import RLock
from collections import Counter, defaultdict
from contextlib import contextmanager
from functools import update_wrapper
from importlib.machinery import PathFinder
from time import perf_counter
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from raphson._broyden1 import broyden1
from raphson._core import StandIn
from raphson._fsolve import fsolve
from raphson._lsqtr import lsqtr
from raphson._newton import newton
from raphson._root import root

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from importlib.machinery import ModuleSpec


class Calls:
    """
    The calls of the originals while the patch was in force; printed, it is a table.

    Attributes
    ----------
    served : Counter
        How often ours served each function, by its name.
    seconds : defaultdict
        How long that took, the user's functions included.
    passed_on : Counter
        How often the original was called instead.
    """

    def __init__(self) -> None:
        self.served: Counter[str] = Counter()
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.passed_on: Counter[str] = Counter()
        self._lock = RLock()

    def _count_served(self, name: str, seconds: float) -> None:
        with self._lock:
            self.served[name] += 1
            self.seconds[name] += seconds

    def _count_passed_on(self, name: str) -> None:
        with self._lock:
            self.passed_on[name] += 1

    def __str__(self) -> str:
        names = sorted(self.served | self.passed_on)
        if not names:
            return "raphson: no calls"
        width = max(map(len, names))
        lines = [f"{'raphson':{width}}  {'served':>9}  {'seconds':>11}  {'passed on':>9}"]
        for name in names:
            numbers = (
                f"{self.served[name]:9}  {self.seconds[name]:11.6f}  {self.passed_on[name]:9}"
            )
            lines.append(f"{name:{width}}  {numbers}")
        return "\n".join(lines)


def _as_desc_gives_it(start: Any) -> Any:
    """Make a JAX array of a NumPy x0, so that `lsqtr` gives JAX arrays to the functions."""
    import numpy as np

    if isinstance(start, np.ndarray):
        return sys.modules["desc.backend"].jnp.asarray(start)
    return start


def _as_scipy_prints_it(result: Any) -> Any:
    from scipy.optimize import OptimizeResult

    return OptimizeResult(result)


def _unchanged(value: Any) -> Any:
    return value


class _Target(NamedTuple):
    """A function to be replaced, and how ours serves it."""

    function: str
    # For the user.
    name: str
    ours: Callable[..., Any]
    # The methods of it that are ours.
    methods: tuple[str, ...] = ()
    # What ours gets for x0, and what the caller gets for the result of ours.
    start: Callable[[Any], Any] = _unchanged
    result: Callable[[Any], Any] = _unchanged


# By the modules that define them.
_TARGETS = {
    "scipy.optimize._zeros_py": _Target("newton", "scipy.optimize.newton", newton),
    "scipy.optimize._nonlin": _Target("broyden1", "scipy.optimize.broyden1", broyden1),
    "scipy.optimize._minpack_py": _Target("fsolve", "scipy.optimize.fsolve", fsolve),
    "scipy.optimize._root": _Target(
        "root", "scipy.optimize.root", root, ("hybr", "broyden1"), result=_as_scipy_prints_it
    ),
    "desc.optimize.least_squares": _Target(
        "lsqtr",
        "desc.optimize.lsqtr",
        lsqtr,
        start=_as_desc_gives_it,
        result=_as_scipy_prints_it,
    ),
}


def _in_our_precision(start: Any) -> bool:
    """Whether the starting point is in double or single precision.

    Half and extended precision and objects would be rounded, or be handed by `newton` to SciPy's,
    which is what is replaced.
    """
    if type(start) in (float, int, complex):
        return True
    import numpy as np

    try:
        dtype = np.asarray(start).dtype
    except Exception:  # what is wrong with it is for the original to say
        return False
    return dtype.char in "fdFD" or dtype.kind in "biu"


def _argument(
    args: Sequence[Any], kwargs: Mapping[str, Any], position: int, names: Sequence[str]
) -> Any:
    """Find an argument of a call by its position or one of its names; None where it is missing."""
    if len(args) > position:
        return args[position]
    return next((kwargs[name] for name in names if name in kwargs), None)


# What the originals call their first two arguments.
_FUNCTIONS = ("func", "fun", "F")
_STARTS = ("x0", "xin")


def _method(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Find the method in a call of `scipy.optimize.root`."""
    method = args[3] if len(args) > 3 else kwargs.get("method", "hybr")
    return method.lower() if isinstance(method, str) else method


class _Reached(Exception):
    """The user's function would have been called."""


def _unreachable(*args: Any, **kwargs: Any) -> Any:
    raise _Reached


def _refuses(ours: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> bool:
    """Whether ours fails for its arguments, before it has called the user's function.

    Asked after an error only, so that no call is slower for it.
    """
    if args:
        args = (_unreachable, *args[1:])
    else:
        kwargs = kwargs | {name: _unreachable for name in _FUNCTIONS if name in kwargs}
    try:
        ours(*args, **kwargs)
    except _Reached:
        return False
    except Exception:
        return True
    return False


class _Ticket(NamedTuple):
    """A call that ours serves."""

    # Where it is counted, even if the patch is gone when it returns.
    calls: Calls
    name: str
    began: float


class _Guide:
    """What a stand-in asks, see `StandIn`: whether ours serves a call, and what comes of it."""

    def __init__(self, target: _Target, original: Callable[..., Any]) -> None:
        self.target = target
        self.original = original

    def choose(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any], _Ticket | None]:
        calls = _patch.calls
        if calls is None:
            return self.original, args, kwargs, None
        target, name = self.target, self.target.name
        serves = callable(_argument(args, kwargs, 0, _FUNCTIONS)) and _in_our_precision(
            _argument(args, kwargs, 1, _STARTS)
        )
        if target.methods:
            method = _method(args, kwargs)
            name = f"{name}(method={method!r})"
            serves = serves and method in target.methods
        if not serves:
            calls._count_passed_on(name)
            return self.original, args, kwargs, None
        if target.start is not _unchanged:
            if len(args) > 1:
                args = (args[0], target.start(args[1]), *args[2:])
            elif "x0" in kwargs:
                kwargs = kwargs | {"x0": target.start(kwargs["x0"])}
        return target.ours, args, kwargs, _Ticket(calls, name, perf_counter())

    def returned(self, ticket: _Ticket, value: Any) -> Any:
        self._count_served(ticket)
        return self.target.result(value)

    def raised(
        self,
        ticket: _Ticket,
        error: BaseException,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Callable[..., Any] | None:
        if not isinstance(error, TypeError | ValueError) or not _refuses(
            self.target.ours, args, kwargs
        ):
            self._count_served(ticket)
            return None
        ticket.calls._count_passed_on(ticket.name)
        return self.original

    def _count_served(self, ticket: _Ticket) -> None:
        ticket.calls._count_served(ticket.name, perf_counter() - ticket.began)


def _replacement(target: _Target, original: Callable[..., Any]) -> Callable[..., Any]:
    return update_wrapper(StandIn(_Guide(target, original)), original)


def _namespaces() -> Iterator[dict[str, Any]]:
    """Yield the globals of all modules that are imported.

    They are not asked for anything: a lazy one (`importlib.util.LazyLoader`) would be loaded.
    """
    for module in list(sys.modules.values()):
        if isinstance(module, ModuleType):
            yield object.__getattribute__(module, "__dict__")


def _rebind(new: dict[Any, Any], namespaces: Iterable[dict[str, Any]]) -> None:
    by_identity = {id(function): other for function, other in new.items()}
    for namespace in namespaces:
        for name, value in namespace.copy().items():
            if id(value) in by_identity:
                namespace[name] = by_identity[id(value)]


def _imported_targets() -> list[str]:
    # None stands for a module that must not be imported.
    return [name for name in _TARGETS if sys.modules.get(name) is not None]


class _Patch:
    """The state of the process: whether the patch is in force, and what it replaced."""

    def __init__(self) -> None:
        self.lock = RLock()
        self.calls: Calls | None = None
        self.wanted = False
        self.contexts = 0
        self.replacements: dict[Callable[..., Any], Callable[..., Any]] = {}

    def update(self) -> None:
        in_force = self.wanted or self.contexts > 0
        if in_force and self.calls is None:
            self.calls = Calls()
            sys.meta_path.insert(0, _FINDER)
            for name in _imported_targets():
                self.learn(sys.modules[name])
            _rebind(self.replacements, _namespaces())
        elif not in_force and self.calls is not None:
            self.calls = None
            sys.meta_path.remove(_FINDER)
            originals = {ours: original for original, ours in self.replacements.items()}
            _rebind(originals, _namespaces())

    def learn(self, module: ModuleType) -> None:
        """Make the replacement for the function that this module defines."""
        target = _TARGETS[module.__name__]
        function: Any = vars(module).get(target.function)
        known = {None, *self.replacements, *self.replacements.values()}
        if function not in known:
            self.replacements[function] = _replacement(target, function)

    def imported(self, module: ModuleType) -> None:
        with self.lock:
            if self.calls is not None:
                self.learn(module)
                _rebind(self.replacements, [vars(module)])


_patch = _Patch()


class _Loader:
    """Loads a module as its own loader does, and then replaces the function that it defines."""

    def __init__(self, loader: Any) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)  # type: ignore[no-any-return]

    def exec_module(self, module: ModuleType) -> None:
        spec = module.__spec__
        assert spec is not None
        spec.loader = module.__loader__ = self.loader
        self.loader.exec_module(module)
        _patch.imported(module)


class _Finder:
    """Finds the modules that define the originals, in the way of all others."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name in _TARGETS else None
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)  # type: ignore[assignment]
        return spec


_FINDER: Any = _Finder()


def _await_imports() -> None:
    """Let other threads finish what they import; not under the lock, which loaders take."""
    for name in _imported_targets():
        importlib.import_module(name)


def patch() -> Calls:
    """
    Replace the originals by ours, everywhere in this process.

    `scipy.optimize.newton`, `fsolve`, `broyden1` and `root` with methods 'hybr' (its default) and
    'broyden1', and `desc.optimize.lsqtr`
    where DESC is installed, are served by raphson until `unpatch`. Other methods of `root`, and
    arguments that ours refuses, go to the original.

    Returns
    -------
    Calls
        Counts the calls from now on, or since the patch came into force if it is already: mappings
        ``served``, ``seconds`` and ``passed_on`` from the names of the functions. Printed, it is a
        table.

    See Also
    --------
    patched : The same for a block of code.
    unpatch : Bring the originals back.

    Notes
    -----
    Names that were imported before, with ``from scipy.optimize import newton``, are replaced too,
    if they are the globals of a module. What else has kept the original goes on calling it: a
    class, a container, a default argument, a `functools.partial`.

    Examples
    --------
    >>> import raphson
    >>> import scipy.optimize
    >>> calls = raphson.patch()
    >>> round(scipy.optimize.newton(lambda x: x**3 - 8, 1.0), 9)
    np.float64(2.0)
    >>> raphson.unpatch()
    >>> calls.served["scipy.optimize.newton"]
    1
    """
    _await_imports()
    with _patch.lock:
        _patch.wanted = True
        _patch.update()
        assert _patch.calls is not None
        return _patch.calls


def unpatch() -> None:
    """
    Bring the originals back, whatever number of calls `patch` had.

    Without a patch it does nothing. In a ``with patched():`` it takes effect at the end of that.

    See Also
    --------
    patch : Replace the originals by ours.

    Examples
    --------
    >>> import raphson
    >>> import scipy.optimize
    >>> original = scipy.optimize.broyden1
    >>> calls = raphson.patch()
    >>> scipy.optimize.broyden1 is original
    False
    >>> raphson.unpatch()
    >>> scipy.optimize.broyden1 is original
    True
    """
    with _patch.lock:
        _patch.wanted = False
        _patch.update()


@contextmanager
def patched() -> Iterator[Calls]:
    """
    Replace the originals by ours for a block of code, in all threads.

    The originals come back at the end of the block, however it ends, unless `patch` or another
    block keeps them replaced.

    Yields
    ------
    Calls
        See `patch`.

    See Also
    --------
    patch : The same for good.

    Examples
    --------
    >>> import raphson
    >>> import scipy.optimize
    >>> with raphson.patched() as calls:
    ...     x = scipy.optimize.broyden1(lambda x: x**3 - [1, 8], [2.0, 3.0])
    >>> x.round(3)
    array([1., 2.])
    >>> calls.served
    Counter({'scipy.optimize.broyden1': 1})
    """
    _await_imports()
    with _patch.lock:
        _patch.contexts += 1
        _patch.update()
        calls = _patch.calls
    assert calls is not None
    try:
        yield calls
    finally:
        with _patch.lock:
            _patch.contexts -= 1
            _patch.update()
