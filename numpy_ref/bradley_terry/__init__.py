"""Strengths of items from who beat whom how often: the reward model's loss, with one parameter for each item.

The heart is `strengths`. In reading order:

answer          `fit` and `rank`: one call from games or rankings to strengths with their names

strengths       the likelihood, its gradient and the fit
outcomes        the log-likelihood of one row of games, with or without ties
fitted          the result of a fit
win_counts      games as counts of wins between pairs
small_tables    Newton's method on the square table of wins: the shortest solver
newton          Newton's method for large tables
spanning_tree   its preconditioner for tables in which few pairs met
mm              the oldest solver: minorise-maximise
existence       when strengths exist
effects         when a home effect and a tie parameter exist
inference       standard errors, intervals, the bootstrap
plackett_luce   the same for whole rankings
linear_head     the same convex problem for a head on frozen features
labels          names of items as numbers
columns         games from columns in memory
games           games from a file
byte_columns    the columns of a plain file, read fast
rankings        rankings from a file
command         the command `python -m numpy_ref fit`
text            its result as text, HTML and JSON
figure          its pictures
tables          two tables of games, as examples
"""

from .answer import Comparison, NoEstimate, Strengths, fit, rank

__all__ = ["Comparison", "NoEstimate", "Strengths", "fit", "rank"]
