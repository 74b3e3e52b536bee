"""Bradley-Terry for tables by autograd and L-BFGS. Formulas: numpy_ref/bradley_terry/strengths.py.

It is the reward loss with one strength for each item in place of a network.
"""

import torch
import torch.nn.functional as F

from ..ties import davidson, rao_kupper, rao_kupper_threshold


def log_likelihood(strength, pairs, home=None, log_nu=None, log_theta=None):
    """Σ wins log P(first) + ties log P(tie) + losses log P(second)        (N,) -> ();  pairs hold tensors

    Without a tie parameter, ties are left out.
    """
    d = strength[pairs.first] - strength[pairs.second] + (0 if home is None else home * pairs.at_home)
    if log_nu is None and log_theta is None:
        return (pairs.wins * F.logsigmoid(d) + pairs.losses * F.logsigmoid(-d)).sum()
    log_p = rao_kupper(d, log_theta) if log_nu is None else davidson(d, log_nu)
    return (torch.stack([pairs.wins, pairs.ties, pairs.losses], -1) * log_p).sum()


def fit(pairs, home=False, ties="drop", ridge=0.0, max_iterations=2000):
    """The strengths of greatest likelihood by L-BFGS -> strength (N,) of mean 0, h, tie parameter (log ν or log θ)

    ties is "drop", "davidson" or "rao-kupper". L-BFGS minimises the mean over the games: on the sum it stalls when its
    line search no longer sees the loss change. This function does not check whether the strengths exist.
    """
    pairs = pairs._replace(**{name: torch.as_tensor(getattr(pairs, name)) for name in pairs._fields[1:]})
    games = pairs.wins.sum() + pairs.losses.sum() + (0 if ties == "drop" else pairs.ties.sum())
    strength = torch.zeros(pairs.n_items, dtype=torch.float64, requires_grad=True)
    effects = torch.zeros(2, dtype=torch.float64, requires_grad=True)  # h, and log ν or the raw form of log θ

    def tie_parameter():
        return {"davidson": {"log_nu": effects[1]}, "rao-kupper": {"log_theta": rao_kupper_threshold(effects[1])}}.get(
            ties, {}
        )

    def loss():
        optimiser.zero_grad()
        value = log_likelihood(strength, pairs, effects[0] if home else None, **tie_parameter())
        mean_loss = (ridge / 2 * strength.square().sum() - value) / games
        mean_loss.backward()
        return mean_loss

    options = {"max_iter": max_iterations, "history_size": 50, "tolerance_grad": 1e-15, "tolerance_change": 0}
    for line_search in ("strong_wolfe", None):  # a line search compares losses and misses the last 1e-9
        optimiser = torch.optim.LBFGS([strength, effects], line_search_fn=line_search, **options)
        optimiser.step(loss)
    with torch.no_grad():
        tie = next(iter(tie_parameter().values()), None)
        return strength - strength.mean(), effects[0] if home else None, tie
