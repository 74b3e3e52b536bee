"""The same strengths by autograd.

strengths       the likelihood
linear_head     a head on frozen features
"""
