"""Strengths of items from who beat whom how often: the reward model's loss, with a table for a network.

strengths       the likelihood, its gradient and the fit; read this first
win_counts      games as counts of wins between pairs
newton, spanning_tree, existence    the solver, its preconditioner, and when an estimate exists
inference       standard errors, intervals, tests
plackett_luce   the same for whole rankings
linear_head     the same convex problem for a head on frozen features
games           the table of a file
command, text, figure, tables       `python -m numpy_ref fit`
"""
