"""The questions of a study, in the order of the paper's argument: a file each, from what is expected to what was found.

Each module has `answer(evidence) -> Answer`, whose sentences follow from the numbers, and `draw(evidence) -> Figure`.
"""
