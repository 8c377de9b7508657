"""What goes wrong with a file that is written to, told from what goes wrong meanwhile."""

from __future__ import annotations

import io
from types import CodeType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType


def is_of_the_file(error: OSError | ValueError) -> bool:
    """
    Whether writing to a file has raised an error, and not somebody else at that moment.

    A solve survives a full disk and a closed file. The TimeoutError that the handler of a signal
    raises, or another thread in this one, is meant for the solve.
    """
    if not error.args:
        return False
    # What the operating system raises has a number.
    if (
        isinstance(error, OSError)
        and error.errno is None
        and type(error) not in (OSError, io.UnsupportedOperation)
    ):
        return False
    handlers = set(_codes_of_handlers())
    return not any(code in handlers for code in _codes(error.__traceback__))


def _codes(trace: TracebackType | None) -> Iterator[CodeType]:
    while trace:
        yield trace.tb_frame.f_code
        trace = trace.tb_next


def _codes_of_handlers() -> Iterator[CodeType]:
    import signal  # this late, as nothing else of ours needs it

    for number in signal.valid_signals():
        handler: Any = signal.getsignal(number)
        # Of a partial function, of an object that is called, or of a function.
        function = getattr(handler, "func", handler)
        method = getattr(function, "__call__", None)  # noqa: B004
        code = getattr(function, "__code__", getattr(method, "__code__", None))
        if isinstance(code, CodeType):
            yield code
