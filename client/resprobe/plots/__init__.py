"""Figures with matplotlib: ratios in layer order, distributions, lesions, comparisons. Needs matplotlib.

In: dataset results, block statistics and lesions. Out: matplotlib figures, which a notebook shows; `save` writes them.
Imports analysis.

from resprobe import plots

figure = plots.plot_ratios(result.blocks, client.model("resnet20"))
plots.save(figure, "blocks.svg")
"""

from resprobe.plots.comparison import plot_comparison
from resprobe.plots.depths import plot_depths
from resprobe.plots.groups import plot_classes, plot_errors
from resprobe.plots.inspection import TOP, plot_activation, plot_inspection, plot_maps, plot_readouts
from resprobe.plots.layout import COLOURS
from resprobe.plots.lesions import plot_lesions
from resprobe.plots.output import check_path, save
from resprobe.plots.ratios import plot_ratios
from resprobe.plots.statistics import plot_cosines, plot_responses

__all__ = [
    "COLOURS",
    "TOP",
    "check_path",
    "plot_activation",
    "plot_classes",
    "plot_comparison",
    "plot_cosines",
    "plot_depths",
    "plot_errors",
    "plot_inspection",
    "plot_lesions",
    "plot_maps",
    "plot_ratios",
    "plot_readouts",
    "plot_responses",
    "save",
]
