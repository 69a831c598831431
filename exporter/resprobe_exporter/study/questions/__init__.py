"""Questions of a study, in the order of the paper's argument, a file each.

In: the evidence of a study. Out: `answer(evidence)`, an Answer whose sentences follow from the numbers, and
`draw(evidence)`, its figure. Imports study only.
"""
