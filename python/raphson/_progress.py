"""The line that says how far a solve is: live in a terminal or a notebook, else now and then.

Nothing here has a thread or a clock of its own: the monitor shows the next line when it is called
and the pause is over.
"""

from __future__ import annotations

import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from raphson._output import is_of_the_file

if TYPE_CHECKING:
    from rich.live import Live

# A terminal has one live line: nested solves and those of other threads do without.
_live_line = threading.Lock()


class Display(Protocol):
    """A place to show a line."""

    def show(self, parts: list[str]) -> None:
        """Show these in place of the last; the later ones may be left out."""

    def close(self) -> Any:
        """Leave the last text where it is."""

    def pause(self, seconds: float) -> float:
        """Say how long to wait for the next text after so many seconds of the solve."""


class Lines:
    """Plain lines for files and pipes: fewer and fewer, but one a minute."""

    def __init__(self, file: TextIO) -> None:
        self.file = file
        self.last = ""

    def show(self, parts: list[str]) -> None:
        text = ", ".join(parts)
        if text != self.last:
            print(text, file=self.file, flush=True)
        self.last = text

    def close(self) -> None:
        pass

    def pause(self, seconds: float) -> float:
        return min(max(seconds, 2.0), 60.0)


class Terminal:
    """One line that changes; what others print meanwhile goes above it."""

    def __init__(self, live: Live) -> None:
        self.live = live
        live.start()
        # Whatever becomes of the solve, the terminal gets its cursor back.
        self.close = weakref.finalize(self, _leave, live)

    def show(self, parts: list[str]) -> None:
        from rich.text import Text

        text = fitted(parts, self.live.console.width)
        # No markup, and no second line in a narrow window.
        self.live.update(Text(text, no_wrap=True, overflow="ellipsis"), refresh=True)

    def pause(self, _: float) -> float:
        return 0.1


def _leave(live: Live) -> None:
    try:
        live.stop()
    except (OSError, ValueError) as error:
        # A file that is closed has no cursor.
        if not is_of_the_file(error):
            raise
    finally:
        _live_line.release()


class Notebook:
    """The output of a cell; it is saved with the notebook."""

    def __init__(self) -> None:
        self.handle: Any = None

    def show(self, parts: list[str]) -> None:
        from IPython import display as ipython

        text = ", ".join(parts)
        # It has no types in some releases.
        display: Any = ipython.display
        if self.handle is None:
            self.handle = display(_Line(text), display_id=True)
        else:
            self.handle.update(_Line(text))

    def close(self) -> None:
        pass

    def pause(self, _: float) -> float:
        return 0.3


class _Line:
    """A text as a notebook shows it."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return f"<div style='font-variant-numeric:tabular-nums'>{self.text}</div>"


def fitted(parts: list[str], width: int) -> str:
    """Join what there is room for: the first part, and of the others as many as fit."""
    text, *others = parts
    for part in others:
        longer = f"{text}, {part}"
        text = longer if len(longer) <= width else text
    return text


def require_rich() -> None:
    """Raise an ImportError that says what to install where rich is missing."""
    try:
        import rich  # noqa: F401
    except ImportError as error:
        message = "progress=True needs rich: pip install rich"
        raise ImportError(message) from error


def open_display(file: TextIO | None) -> Display | None:
    """Find where to show the progress; None where there is no place."""
    stream = sys.stderr if file is None else file
    if stream is None:
        # A process without stderr; print and rich would take stdout.
        return None
    try:
        from rich.console import Console
    except ImportError:
        return Lines(stream)
    # In a file that the user has given, the notebook has no part.
    console = Console(file=stream, force_jupyter=None if file is None else False)
    # Where a pipe is broken, rich would end the process and take its stdout away.
    console.on_broken_pipe = _raise_again  # type: ignore[method-assign]
    if console.is_jupyter:
        return Notebook()
    # FORCE_COLOR makes rich take anything for a terminal.
    if not _is_terminal(stream) or not console.is_terminal or console.is_dumb_terminal:
        return Lines(stream)
    return _terminal(console)


def _raise_again() -> None:
    """Raise the error that is being handled."""
    raise


def _terminal(console: Any) -> Terminal | None:
    from rich.live import Live

    if not _live_line.acquire(blocking=False):
        return None
    try:
        live = Live(
            console=console,
            auto_refresh=False,
            # What is printed into a file must get there.
            redirect_stdout=_is_terminal(sys.stdout),
            redirect_stderr=_is_terminal(sys.stderr),
        )
        return Terminal(live)
    except BaseException:
        _live_line.release()
        raise


def _is_terminal(stream: Any) -> bool:
    return stream is not None and stream.isatty()
