"""The same strengths by autograd. In reading order:

strengths       the likelihood and the fit
linear_head     a head on frozen features
"""
