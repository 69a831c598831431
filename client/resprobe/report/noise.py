"""Section of a page on the noise of quantisation, block by block."""

from resprobe.analysis.noise import NoiseOfBlocks
from resprobe.report.page import Section, Table


def section(noise: NoiseOfBlocks) -> Section:
    """Returns the section on what quantisation changed in each block: a sentence and a table."""
    columns = ("block", "noise\nof F(x)", "noise\nof F(x) + s(x)", "ratio\nfloat32", f"ratio\n{noise.model.precision}")
    rows = [[name, *(f"{number:.4f}" for number in numbers)] for name, *numbers in noise.rows()]
    caption = (
        f"Noise of F(x): ‖F′(x) − F(x)‖ / ‖F(x)‖ over all {noise.over} images, channels and positions, F′ the branch "
        f"in {noise.model.precision} and F that in float32. Ratios are means over these images. All was measured when "
        "the model was made."
    )
    return Section("Noise of quantisation", [noise.sentence(), Table(columns, rows, caption)])
