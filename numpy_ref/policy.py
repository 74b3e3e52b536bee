"""Policies over responses that can be enumerated, so that every expectation is a finite sum.

A policy is a softmax over A responses to each of N prompts, logits (N, A); `log_reference` (N, A) is log π_ref, and
`reward` (N, A) holds the reward of each response. Samplers draw G responses to each prompt: `actions (N, G)`, with
rewards and advantages (N, G). The responses of a language model cannot be enumerated; dpo.py trains such a policy.
"""

import numpy as np

from .errors import InputError


def log_softmax(logits):
    """log π = x - log Σ eˣ over the last axis        (..., A) -> (..., A)"""
    shifted = logits - logits.real.max(-1, keepdims=True)  # the shift cancels
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def kl(log_p, log_q):
    """KL(p ‖ q) = Σ p (log p - log q), in nats        (..., A), (..., A) -> (...);  log p = -∞ counts 0"""
    p = np.exp(log_p)
    return (p * (np.where(p == 0, log_q, log_p) - log_q)).sum(-1)


def penalised_reward(logits, log_reference, reward, beta):
    """J = mean_n Σ_a π_a (r_a - β log(π_a / π_ref,a)), the expected reward minus β KL        (N, A) thrice -> ()"""
    log_p = log_softmax(logits)
    net = reward - beta * (log_p - log_reference)  # (N, A)
    each = (np.exp(log_p) * net).sum(-1)  # (N,)
    return each.mean(), (log_p, net, each)


def penalised_reward_backward(dout, cache):
    """dx_a = π_a (net_a - Σ π net) / N,  net = r - β log(π / π_ref)

    net depends on π too, but that term is Σ π d log π = d Σ π = 0.
    """
    log_p, net, each = cache
    return dout / len(each) * np.exp(log_p) * (net - each[:, None])


def optimum(log_reference, reward, beta):
    """log π* = log π_ref + r / β - log Z,  Z = Σ π_ref e^{r / β}: of all policies, the one with the largest J

    (N, A), (N, A) -> (N, A); J(π*) = mean_n β log Z. InputError unless β > 0.
    Source: Korbak et al. 2022, arXiv:2205.11275; Rafailov et al. 2023, eq. 4.
    """
    if not beta > 0:
        raise InputError(f"beta is {beta}: expected a number above 0")
    return log_softmax(log_reference + reward / beta)


def action_log_probability(logits, actions):
    """log π[action]        (N, A), (N, G) ints -> (N, G)"""
    log_p = log_softmax(logits)
    return np.take_along_axis(log_p, actions, 1), (log_p, actions)


def action_log_probability_backward(dout, cache):
    """dx_a = Σ_g dy_g ([a = action_g] - π_a)"""
    log_p, actions = cache
    dlogits = -np.exp(log_p) * dout.sum(1, keepdims=True)
    np.add.at(dlogits, (np.arange(len(actions))[:, None], actions), dout)
    return dlogits


def group_advantage(reward):
    """A_g = (r_g - mean) / deviation over the G responses to its prompt        (N, G) -> (N, G);  0 if all are equal

    The advantage of GRPO. If rewards are 1 with probability p and else 0, the expected gradient is that of the expected
    reward times E[√(k (1 - k))] / (p (1 - p)), where k is the share of ones: very easy and very hard prompts get more
    weight.
    Source: Shao et al. 2024, arXiv:2402.03300, section 4.1.2.
    """
    differ = reward.max(1, keepdims=True) > reward.min(
        1, keepdims=True
    )  # equal rewards may have a rounded deviation of 1e-17
    centred = reward - reward.mean(1, keepdims=True)
    return np.divide(centred, reward.std(1, keepdims=True), out=np.zeros_like(centred), where=differ)


def reinforce_loss(logits, actions, advantage):
    """L = -mean[ A log π(action) ]        (N, A), (N, G) ints, (N, G) -> ()

    The value of L has no meaning, but its expected gradient is that of minus the expected reward if A is the reward
    minus any baseline that does not depend on the action. Source: Williams 1992.
    """
    log_p, cache = action_log_probability(logits, actions)
    return -(advantage * log_p).mean(), (cache, advantage)


def reinforce_loss_backward(dout, cache):
    """dlog π(action) = -A / (N G)"""
    log_p_cache, advantage = cache
    return action_log_probability_backward(-dout / advantage.size * advantage, log_p_cache)


def clipped_loss(logits, actions, advantage, old_log_p, clip=0.2):
    """L = -mean[ min(ρ A, clip(ρ, 1 - ε, 1 + ε) A) ],  ρ = π(action) / π_old(action)        as reinforce_loss

    old_log_p (N, G) is log π(action) of the policy that drew the actions. As long as π is that policy, ρ = 1 and the
    gradient is that of reinforce_loss. Source: Schulman et al. 2017, arXiv:1707.06347, eq. 7.
    """
    log_p, cache = action_log_probability(logits, actions)
    ratio = np.exp(log_p - old_log_p)
    inside = np.where(advantage > 0, ratio <= 1 + clip, ratio >= 1 - clip)
    bounded = np.where(inside, ratio, 1 + clip * np.sign(advantage))
    return -(advantage * bounded).mean(), (cache, advantage, np.where(inside, ratio, 0))


def clipped_loss_backward(dout, cache):
    """dlog π(action) = -ρ A / (N G), and 0 where ρ has already left the interval in the direction of A"""
    log_p_cache, advantage, ratio = cache
    return action_log_probability_backward(-dout / advantage.size * advantage * ratio, log_p_cache)


def best_of_n(log_p, reward, n):
    """P(a) = π_a / π(r = r_a) · [ π(r ≤ r_a)ⁿ - π(r < r_a)ⁿ ], the best of n draws        (A,), (A,) -> (A,)

    Among equal rewards, the best is chosen in proportion to π. The KL to π is at most log n - (n - 1) / n,
    and less where rewards tie (Beirami et al. 2024, arXiv:2401.01879). Computed as π(r ≤ r_a)ⁿ (1 - (1 - s)ⁿ) with
    s = π(r = r_a) / π(r ≤ r_a), where nothing cancels.
    """
    if not n >= 1:
        raise InputError(f"n is {n}: expected at least 1 draw")
    _, level = np.unique(reward, return_inverse=True)  # equal rewards share a level
    p = np.exp(log_p)
    mass = np.bincount(level, p)
    at_most = np.cumsum(mass)
    with np.errstate(divide="ignore"):  # log 0 below the lowest level
        first = -np.expm1(n * np.log1p(-mass / at_most))  # (levels,)
    return p * (at_most**n * first / mass)[level]
