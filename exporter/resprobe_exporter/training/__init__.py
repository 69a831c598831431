"""Training: data, augmentation, recipes, the loop, its checkpoints and its logs.

In: a net, a data set, a recipe and a seed. Out: trained weights, with loss and accuracy. Imports nets.
"""
