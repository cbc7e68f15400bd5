"""The measured ratios beside their aims, as a picture."""

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

from benchmarks.stand import RESULTS, Report


def draw(report: Report) -> None:
    """One bar per ratio; a mark where it should be."""
    rows = [row for row in report.rows if row["ratio"] is not None]
    if not rows:
        return
    figure, axes = plt.subplots(figsize=(10, 0.5 * len(rows) + 1.2))
    names = [f"{row['what'].strip()}\n/ {row['to']}" for row in rows]
    axes.barh(range(len(rows)), [row["ratio"] for row in rows], color="#3b6ea5", height=0.55)
    for at, row in enumerate(rows):
        if row["met"] is not None:
            axes.plot([float(row["aim"].removeprefix("<"))] * 2, [at - 0.38, at + 0.38], color="#e4572e", linewidth=2.5)
        axes.text(row["ratio"], at, f" {row['ratio']:.2f}", va="center", fontsize=8)
    axes.set_yticks(range(len(rows)), names, fontsize=7)
    axes.invert_yaxis()
    axes.set_xlabel("ratio to what stood beside it in the same run (orange: aim)")
    figure.tight_layout()
    figure.savefig(RESULTS / "ratios.png", dpi=130)
    plt.close(figure)
