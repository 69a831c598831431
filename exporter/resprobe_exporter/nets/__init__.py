"""Residual nets and their plain twins as PyTorch modules (He et al. 2015 and 2016).

In: an Architecture, a value without torch: family, depth, shortcuts, images, and the layout of stem, stages and blocks.
Out: a torch.nn.Module. Imports errors only.
"""
