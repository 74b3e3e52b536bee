"""The same strengths by autograd. In reading order:

strengths       the likelihood
linear_head     a head on frozen features
"""
