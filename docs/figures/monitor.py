"""Draw `monitor.svg`: what `Monitor.plot` shows of the least-squares problem of `docs/monitor.md`.

Run it with `python docs/figures/monitor.py`; it needs matplotlib. The file has the same bytes
whenever it is drawn with the same versions on the same kind of processor.
"""

from pathlib import Path

import matplotlib as mpl
import numpy as np
import style

import raphson

TARGET = Path(__file__).with_suffix(".svg")


def main():
    """Solve and draw."""
    mpl.use("svg")
    mpl.rcParams.update(style.SETTINGS | {"svg.fonttype": "none"})
    monitor = raphson.Monitor()
    raphson.lsqtr(
        lambda x: np.array([10 * (x[1] - x[0] ** 2), 1 - x[0]]),
        [-1.2, 1.0],
        "cs",
        bounds=([-2, -2], [0.8, 2]),
        verbose=0,
        callback=monitor,
    )
    figure = monitor.plot().figure
    convergence = figure.axes[0]
    convergence.yaxis.set_major_formatter(style.power_of_ten)
    convergence.minorticks_off()
    figure.savefig(TARGET, metadata={"Date": None, "Creator": None})


if __name__ == "__main__":
    main()
