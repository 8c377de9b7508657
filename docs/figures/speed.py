"""Draw `speed.svg` and `overhead.svg` from the tables in `benchmarks/README.md`.

Run it with `python docs/figures/speed.py`; it needs matplotlib. No number is measured here: first
measure, then copy the tables, then draw.
"""

import re
from pathlib import Path

import style

FOLDER = Path(__file__).parent
MEASURED = FOLDER.parents[1] / "benchmarks" / "README.md"


def rows_measured():
    """Read the rows of all tables against SciPy; each problem with the name of its solver."""
    for section in re.split(r"^## ", MEASURED.read_text("utf-8"), flags=re.M)[1:]:
        lines = [line for line in section.splitlines() if line.startswith("| ")]
        cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
        header = next((row for row in cells if "scipy / raphson" in row), None)
        if header:
            rows = [
                dict(zip(header, row, strict=True)) for row in cells if len(row) == len(header)
            ]
            solver = re.match(r"`(\w+)", section)[1]
            for row in rows[1:]:
                owned = ":" in row["problem"]
                yield row if owned else row | {"problem": f"{solver}: {row['problem']}"}


def panel(count, title):
    """Make a narrow figure of so many rows, named above what is drawn, on a scale of ratios."""
    figure, axes = style.panels(1, size=(4.8, 0.5 + 0.27 * count), layout="constrained")
    axes.set_title(f"{title} (logarithmic)", fontsize=9.5, loc="left")
    axes.set_xscale("log")
    axes.set_ylim(count - 0.3, -0.9)
    axes.set_yticks([])
    axes.xaxis.set_major_formatter("{x:g}")
    axes.minorticks_off()
    style.plain(axes)
    axes.spines["left"].set_visible(False)
    axes.axvline(1, color=style.GRAY, linewidth=0.8)
    return figure, axes


def name(axes, row, text):
    """Write what a row is about."""
    axes.annotate(
        text,
        (1, row),
        (3, 2.5),
        textcoords="offset points",
        fontsize=8,
        color="#222222",
    )


def save(figure, file):
    """Write the same bytes each time."""
    figure.savefig(FOLDER / file, metadata={"Date": None, "Creator": None})


def speed(rows):
    """Draw the ratio of SciPy's time to ours, for every row."""
    figure, axes = panel(len(rows), "SciPy's time / raphson's time")
    for i, row in enumerate(rows):
        ratio = row["scipy / raphson"]
        axes.barh(i, float(ratio) - 1, left=1, height=0.34, align="edge", color=style.BLUE)
        axes.annotate(
            ratio,
            (float(ratio), i + 0.17),
            (3, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color=style.NAVY,
        )
        name(axes, i, row["problem"])
    axes.set_xlim(0.8, 100)
    save(figure, "speed.svg")


def overhead(rows):
    """Draw both times in units of what the calls of the functions take."""
    rows = [row for row in rows if row["raphson / bare calls"]]
    figure, axes = panel(len(rows) + 1, "time of a solve / time of its calls alone")
    for i, row in enumerate(rows):
        ours = float(row["raphson / bare calls"])
        theirs = ours * float(row["scipy / raphson"])
        axes.plot([ours, theirs], [i + 0.17] * 2, color=style.BLUE, linewidth=2, zorder=1)
        axes.plot(ours, i + 0.17, "o", color=style.NAVY, label="raphson")
        axes.plot(theirs, i + 0.17, "o", color=style.ORANGE, label="SciPy")
        name(axes, i, row["problem"])
    handles = axes.get_legend_handles_labels()[0][:2]
    axes.legend(handles=handles, frameon=False, loc="lower right", ncols=2)
    axes.set_xlim(0.8, 1000)
    save(figure, "overhead.svg")


def main():
    """Draw both."""
    rows = list(rows_measured())
    speed(rows)
    overhead(rows)


if __name__ == "__main__":
    main()
