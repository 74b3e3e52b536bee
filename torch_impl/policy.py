"""Policies over enumerated responses in PyTorch's own primitives. Formulas: numpy_ref/policy.py."""

import torch
import torch.nn.functional as F
from torch.distributions import Categorical, kl_divergence


def penalised_reward(logits, log_reference, reward, beta):
    """The expected reward minus β KL(π ‖ π_ref), mean over prompts        (N, A) thrice -> ()"""
    policy = Categorical(logits=logits)
    return ((policy.probs * reward).sum(-1) - beta * kl_divergence(policy, Categorical(logits=log_reference))).mean()


def optimum(log_reference, reward, beta):
    """log π*, π* ∝ π_ref e^{r / β}        (N, A), (N, A) -> (N, A)"""
    return F.log_softmax(log_reference + reward / beta, -1)


def action_log_probability(logits, actions):
    """log π[action]        (N, A), (N, G) -> (N, G)"""
    return Categorical(logits=logits[:, None, :]).log_prob(actions)


def group_advantage(reward):
    """(r_g - mean) / deviation, 0 if all are equal        (N, G) -> (N, G)"""
    deviation, mean = torch.std_mean(reward, 1, correction=0, keepdim=True)
    equal = (reward == reward[:, :1]).all(1, keepdim=True)
    return torch.where(equal, 0, (reward - mean) / torch.where(equal, 1, deviation))


def reinforce_loss(logits, actions, advantage):
    """-mean[ A log π(action) ]        (N, A), (N, G), (N, G) -> ()"""
    return -(advantage * action_log_probability(logits, actions)).mean()


def clipped_loss(logits, actions, advantage, old_log_p, clip=0.2):
    """-mean[ min(ρ A, clip(ρ, 1 - ε, 1 + ε) A) ]        as reinforce_loss"""
    ratio = (action_log_probability(logits, actions) - old_log_p).exp()
    return -torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage).mean()


def best_of_n(log_p, reward, n):
    """P(a is the best of n draws); equal rewards share in proportion to π        (A,), (A,) -> (A,)"""
    p = log_p.exp()
    at_most, below = (compared.to(p) @ p for compared in (reward <= reward[:, None], reward < reward[:, None]))
    return p / (at_most - below) * (at_most**n - below**n)
