"""How the figures look: small, with text as text, the same bytes each time, and a white ground."""

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt

GRAY = "#555555"
NAVY = "#12304f"
BLUE = "#9cc9f0"
ORANGE = "#e07b16"
SAND = "#f3e3b3"

SETTINGS = {
    "svg.hashsalt": "raphson",
    "font.size": 9,
    "path.simplify": False,
    "figure.facecolor": "white",
}


def panels(columns=2, size=(8, 3.2), **layout):
    """Make a figure of panels side by side, to be written as SVG."""
    mpl.use("svg")
    plt.rcParams.update(SETTINGS | {"svg.fonttype": "none"})
    return plt.subplots(1, columns, figsize=size, **layout)


def power_of_ten(value, _position):
    """Label a tick in plain text, which every viewer can draw."""
    exponent = str(round(np.log10(value)))
    return "10" + exponent.translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def tidy(axes, title, label):
    """Give a panel of convergence its title and axes."""
    axes.set_title(title, fontsize=9.5, loc="left")
    axes.set_xlabel(label)
    axes.set_xlim(left=0)
    axes.yaxis.set_major_formatter(power_of_ten)
    axes.minorticks_off()
    plain(axes)


def plain(axes):
    """Leave two thin lines of the frame."""
    axes.tick_params(color=GRAY, labelcolor="#222222")
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GRAY)
