"""When do a home effect and a tie parameter have an estimate? Cycles in the graph of results decide it exactly.

A direction changes the strengths by u, the home effect by g and the tie parameter by t ≥ 0 (in units of η, or of
log ν / 2). The concave log-likelihood has one maximum unless there is a direction along which it never falls. Let
D = u_first - u_second, plus g if first is at home. The log-likelihood never falls if every row satisfies

    first won: D ≥ t        tie: -t ≤ D ≤ t        second won: -D ≥ t

For given g and t these are difference constraints, u_b - u_a ≤ weight, each an arrow a -> b. A win is an arrow from the
winner to the loser; a tie is two arrows, one in each direction. The weight is c t + s g:

    c = -1 for a win, +1 for a tie;  s = 1 if a is at home, -1 if b is, 0 on neutral ground

The constraints can be satisfied exactly when no cycle has a negative total weight. With g = t = 0 this is Ford's
condition (existence.py). The home effect is tested with t = 0, g = ±1, the tie parameter with t = 1 and any g. A ridge
allows only u = 0: every arrow then starts and ends at one item. All weights are whole numbers, so nothing is rounded.

Source: Cormen et al. 2009, sections 24.1 and 24.4 (Bellman-Ford, difference constraints).
"""

import numpy as np


def unbounded_effect(rows, home, model, ridge=0.0):
    """One sentence on why a home effect or a tie parameter has no estimate; None if both have one

    A sample of the rows often holds all cycles that are needed, so it is tried first.
    """
    if not (home or model):
        return None
    stride = 1 + len(rows.first) // (64 * rows.n_items)
    if stride > 1 and reason(result_arrows(rows, ridge, stride), rows.n_items, home, model) is None:
        return None
    return reason(result_arrows(rows, ridge), rows.n_items, home, model)


def result_arrows(rows, ridge=0.0, stride=1):
    """The constraints of each row: arrows tail -> head, c (win -1, tie 1), s (home 1, away -1)    -> four of (E,)"""
    first, second, wins, ties, losses, at_home = (column[::stride] for column in rows[1:7])
    if ridge:
        first = second = np.zeros_like(first)
    won, drawn, lost = wins > 0, ties > 0, losses > 0
    forward, backward = [won, drawn], [lost, drawn]  # arrows first -> second, second -> first
    tail = np.concatenate([*(first[m] for m in forward), *(second[m] for m in backward)])
    head = np.concatenate([*(second[m] for m in forward), *(first[m] for m in backward)])
    sign = at_home.astype(np.int64)
    s = np.concatenate([*(sign[m] for m in forward), *(-sign[m] for m in backward)])
    c = np.concatenate([np.full(m.sum(), k) for m, k in ((won, -1), (drawn, 1), (lost, -1), (drawn, 1))])
    return tail, head, c, s


def reason(arrows, n, home, model):
    """The sentence of unbounded_effect for the arrows of n items"""
    tail, head, c, s = arrows
    if home:
        home_cycle, away_cycle = negative_cycle(tail, head, -s, n), negative_cycle(tail, head, s, n)
        if home_cycle is None or away_cycle is None:
            return home_problem(s, c, home_cycle is not None, away_cycle is not None)
    if model and tie_direction(tail, head, c, s if home else 0 * s, n) is not None:
        return tie_problem(c, home)
    return None


def tie_direction(tail, head, c, s, n):
    """A g for which c + g s has no negative cycle, as (numerator, denominator); None if there is no such g

    g starts at 0. A negative cycle with C = Σc and S = Σs stays negative until g reaches -C/S, so g moves there. If one
    cycle needs a larger g and another one a smaller g, no g exists (Dinkelbach's method).
    """
    numerator, denominator, direction = 0, 1, 0
    while (cycle := negative_cycle(tail, head, denominator * c + numerator * s, n)) is not None:
        total, slope = int(c[cycle].sum()), int(s[cycle].sum())
        sign = (slope > 0) - (slope < 0)
        if sign == 0 or sign == -direction:
            return None
        numerator, denominator, direction = -total * sign, abs(slope), sign
    return numerator, denominator


def negative_cycle(tail, head, weight, n):
    """The arrows of a cycle whose weights add up to less than 0, or None: Bellman-Ford on whole arrays

    All distances start at 0, as if one more item led to every item. An item's parent is the arrow that last shortened
    its distance. A cycle of parents has a negative weight. If distances could fall for ever, such a cycle appears.
    """
    order = np.argsort(head, kind="stable")
    tail, head, weight = tail[order], head[order], weight[order]
    starts = np.flatnonzero(np.diff(head, prepend=-1))
    items, lengths = head[starts], np.diff(np.append(starts, len(head)))
    distance, parent = np.zeros(n, np.int64), np.full(n, -1)
    while True:
        through = distance[tail] + weight  # (E,)
        shortest = np.minimum.reduceat(through, starts)
        shorter = shortest < distance[items]
        if not shorter.any():
            return None
        best = np.flatnonzero(through == np.repeat(shortest, lengths))[::-1]
        arrow = np.empty(n, int)
        arrow[head[best]] = best  # the first of the shortest: it is written last
        parent[items[shorter]] = arrow[items[shorter]]
        distance[items] = np.minimum(distance[items], shortest)
        cycle = cycle_of_parents(parent, tail)
        if cycle is not None:
            return order[cycle]


def cycle_of_parents(parent, tail):
    """The arrows of a cycle among each item's parent arrow, -1 for none        (N,), (E,) -> (cycle,) or None"""
    n = len(parent)
    above = np.append(np.where(parent < 0, n, tail[parent]), n)  # n stands for "no parent"
    ancestor = above
    for _ in range(n.bit_length()):
        ancestor = ancestor[ancestor]
    caught = np.flatnonzero(ancestor[:n] < n)
    if not len(caught):
        return None
    item = start = ancestor[caught[0]]
    arrows = [parent[item]]
    while (item := tail[arrows[-1]]) != start:
        arrows.append(parent[item])
    return np.array(arrows)


def home_problem(s, c, home_leads, away_leads):
    """Why h has no estimate

    home_leads      some circle of results has more home wins than away wins; away_leads: more away wins
    """
    if not home_leads and not away_leads:
        return (
            "no estimate exists: the home effect cannot be told from the strengths, for along every circle of results "
            "home and away cancel; let pairs meet on both grounds, or leave the home effect out"
        )
    winner, loser = ("home", "away") if home_leads else ("away", "home")
    if not (s[c < 0] == (-1 if home_leads else 1)).any():
        why = f"no {loser} side ever won"
    else:
        why = f"no circle of results (A beat B, B beat C, C beat A) has more {loser} wins than {winner} wins"
    return f"no estimate exists: {why}, so the data would have the home effect {'' if home_leads else 'minus '}infinite"


def tie_problem(c, home):
    """Why the tie parameter has no estimate"""
    if (c > 0).all():
        why = "every game is a tie"
    else:
        whatever = ", whatever the home effect" if home else ""
        why = f"no circle of results (A beat B, B tied C, C beat A) has more decided games than ties{whatever}"
    return f"no estimate exists: {why}, so the data would have the tie parameter infinite; count ties as half wins"
