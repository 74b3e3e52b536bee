"""Strengths of items from who beat whom how often: the reward model's loss, with one parameter for each item.

The heart is `strengths`. In reading order:

answer          `fit` and `rank`: one call from games or rankings to strengths with their names

strengths       the likelihood, its gradient and the fit
outcomes, fitted        one row of games, with or without ties; what a fit returns
win_counts      games as counts of wins between pairs
small_tables            Newton's method on the square table of wins, the shortest way
newton, spanning_tree, mm       the solver of large tables, its preconditioner, and the oldest way
existence, effects      when strengths exist; when a home effect and a tie parameter do
inference       standard errors, intervals, tests
plackett_luce   the same for whole rankings
linear_head     the same convex problem for a head on frozen features
columns, games, byte_columns    games from columns in memory, from a file, from a large plain file
rankings        rankings from a file
command, text, figure, tables       `python -m numpy_ref fit`
"""

from .answer import Comparison, NoEstimate, Strengths, fit, rank

__all__ = ["Comparison", "NoEstimate", "Strengths", "fit", "rank"]
