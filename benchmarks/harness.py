"""Times alternatives side by side in one process and prints their ratios.

Machines are noisy: the alternatives take turns for several rounds, and the smallest time of each
is the one that the noise disturbed least.
"""

import gc
import multiprocessing
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

Action = Callable[[], object]

ROUNDS = 9
SECONDS_A_TURN = 0.05


@dataclass
class Row:
    """One line of a table: how long ours and the alternatives took, in seconds."""

    name: str
    seconds: dict[str, float]

    def ratio(self, other: str) -> float:
        """How many times as long as ours the other took."""
        return self.seconds[other] / self.seconds["raphson"]


def measure(name: str, **actions: Action) -> Row:
    """Time each action, in turns; one of them is called `raphson`."""
    repeats = {key: _repeats(action) for key, action in actions.items()}
    best = dict.fromkeys(actions, float("inf"))
    for _ in range(ROUNDS):
        for key, action in actions.items():
            best[key] = min(best[key], _time(action, repeats[key]))
    return Row(name, best)


def _repeats(action: Action) -> int:
    """How often to repeat an action so that a turn is long enough for the clock."""
    action()
    once = max(_time(action, 1), 1e-7)
    return max(1, round(SECONDS_A_TURN / once))


def _time(action: Action, repeats: int) -> float:
    gc.collect()
    gc.disable()
    try:
        start = time.perf_counter()
        for _ in range(repeats):
            action()
        return (time.perf_counter() - start) / repeats
    finally:
        gc.enable()


class Calls:
    """Records the calls of some functions, to repeat them without a solver."""

    def __init__(self) -> None:
        self._calls: list[tuple[Callable[..., object], tuple[object, ...]]] = []

    def record(self, function: Callable[..., object]) -> Callable[..., object]:
        """Wrap a function so that its calls are recorded."""

        def recorded(*args: object) -> object:
            self._calls.append((function, args))
            return function(*args)

        return recorded

    def repeat(self) -> None:
        """Make the recorded calls again: the least that any solver has to do."""
        for function, args in self._calls:
            function(*args)


def in_new_process(function: Callable[..., object], *args: object) -> object:
    """Call a function of a script in a process of its own, where it sees only its own memory."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=_put, args=(queue, function, args))
    process.start()
    result = queue.get()
    process.join()
    return result


def _put(queue, function: Callable[..., object], args: tuple[object, ...]) -> None:
    queue.put(function(*args))


def high_water() -> int:
    """Read the largest memory of this process so far, in bytes (Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no VmHWM in /proc/self/status")


def print_table(rows: Sequence[Row], peer: str) -> None:
    """Print a Markdown table of ratios against a peer and, where measured, the bare calls."""
    print(f"| problem | raphson | {peer} | {peer} / raphson | raphson / bare calls |")
    print("|---|---:|---:|---:|---:|")
    for row in rows:
        bare = f"{1 / row.ratio('bare'):.2f}" if "bare" in row.seconds else ""
        print(
            f"| {row.name} | {_seconds(row.seconds['raphson'])} | {_seconds(row.seconds[peer])} "
            f"| {row.ratio(peer):.1f} | {bare} |"
        )


def _seconds(value: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value / 1e-9:.3g} ns"
