"""Residual nets and their plain twins as PyTorch modules (He et al. 2015 and 2016).

In: an Architecture. Out: a torch.nn.Module. Imports errors only.
"""
