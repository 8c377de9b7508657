"""The drawing of a monitor's record."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Columns = dict[str, list[Any]]

# What is drawn of each, and how; the colours are those of the style in use.
_CURVES: dict[str, dict[str, Any]] = {
    "residual_norm": {"label": "residual ‖F‖", "color": "C0", "marker": "o"},
    "cost": {"label": "cost ½‖f‖²", "color": "C0", "marker": "o"},
    "optimality": {"label": "optimality", "color": "C1", "marker": "o"},
    "step_norm": {"label": "step ‖Δx‖", "color": "C0", "alpha": 0.45, "marker": "."},
}


def draw(columns: Columns, title: str, axes: Axes | None) -> Axes:
    """Draw the convergence, and below it, in a figure of its own, radius and bounds."""
    try:
        from matplotlib import pyplot
    except ImportError as error:
        message = "Monitor.plot needs matplotlib: pip install matplotlib"
        raise ImportError(message) from error

    if axes is not None:
        _draw_convergence(columns, title, axes)
        axes.set_xlabel("iteration")
        return axes
    if "trust_radius" in columns:
        _, (axes, below) = pyplot.subplots(
            2, 1, sharex=True, height_ratios=[2, 1], figsize=(6.4, 5.6), layout="constrained"
        )
        _draw_region(columns, below)
        below.set_xlabel("iteration")
    else:
        _, axes = pyplot.subplots(layout="constrained")
        axes.set_xlabel("iteration")
    _draw_convergence(columns, title, axes)
    return axes


def _draw_convergence(columns: Columns, title: str, axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    for name, style in _CURVES.items():
        if name in columns:
            axes.plot(columns["nit"], _positive(columns[name]), markersize=4, **style)
            if name != "step_norm":
                _mark_zeros(columns["nit"], columns[name], style["color"], axes)
    axes.set_yscale("log")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title(title, loc="left", fontsize="medium")
    if columns:
        axes.legend()
    _remove_frame(axes)


def _mark_zeros(iterations: list[int], values: list[float], color: str, axes: Axes) -> None:
    """Draw what is exactly zero at the lower end of the logarithmic axis."""
    zeros = [k for k, value in zip(iterations, values, strict=True) if value == 0]
    if zeros:
        axes.plot(
            zeros,
            [0] * len(zeros),
            marker="v",
            color=color,
            linestyle="none",
            clip_on=False,
            transform=axes.get_xaxis_transform(),
            label="exactly 0",
        )


def _draw_region(columns: Columns, axes: Axes) -> None:
    """Draw the trust radius and, if there are any, the active bounds."""
    from matplotlib.ticker import MaxNLocator

    radius = _positive(columns["trust_radius"])
    axes.plot(columns["nit"], radius, color="C0", marker="o", markersize=4)
    known = [value for value in radius if math.isfinite(value)]
    # Within two decades a logarithmic axis has a label or two, or a crowd of minor ones.
    if known and max(known) >= 100 * min(known):
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.set_ylabel("trust radius", color="C0")
    _remove_frame(axes)
    if any(columns["active_bounds"]):
        right = axes.twinx()
        right.fill_between(
            columns["nit"], columns["active_bounds"], step="mid", color="C1", alpha=0.3
        )
        right.set_ylabel("active bounds", color="C1")
        right.yaxis.set_major_locator(MaxNLocator(integer=True))
        right.set_ylim(bottom=0)
        right.spines[["top", "left"]].set_visible(False)
        # The curve goes before what is filled.
        axes.set_zorder(right.get_zorder() + 1)
        axes.patch.set_visible(False)


def _positive(values: list[float]) -> list[float]:
    return [value if value > 0 else math.nan for value in values]


def _remove_frame(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
