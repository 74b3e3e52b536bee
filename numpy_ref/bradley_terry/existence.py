"""When do strengths exist? Ford's condition: however the items are split in two groups, each has beaten the other.

Draw an arrow from each winner to the loser. Ford's condition says that the arrows lead from every item to every other
one. Then the likelihood has a maximum, and only one, up to a common shift. Otherwise some group never lost to the rest,
and its likelihood grows without end as its strengths do; or two groups never met, and nothing tells how far apart they
are.

Source: Ford 1957, Am. Math. Monthly 64(8), 28-33.
"""

import numpy as np

NO_CIRCLE = "no estimate exists: the items are not held together by wins in both directions (Ford's condition)"
LONGEST_NAME = 40  # characters of a name in a sentence


def arrows(pairs, stride=1):
    """Winner and loser of each arrow; a tie gives an arrow in both directions        -> (E,), (E,)"""
    first, second, wins, ties, losses = (column[::stride] for column in pairs[1:6])
    won, lost = wins + ties > 0, losses + ties > 0
    return np.concatenate([first[won], second[lost]]), np.concatenate([second[won], first[lost]])


def groups_of(pairs):
    """The groups of Ford's condition, strongest first. The strengths exist if there is only one group

    A sample of the rows is often enough to prove that, so it is tried first.
    """
    stride = 1 + len(pairs.first) // (64 * pairs.n_items)
    winner, loser = arrows(pairs, stride)
    groups = strong_groups(winner, loser, pairs.n_items)
    if len(groups) > 1 and stride > 1:
        winner, loser = arrows(pairs)
        groups = strong_groups(winner, loser, pairs.n_items)
    return groups


def reachable(start, source, target, n_items, passes=32):
    """Who can be reached from `start` along the arrows source -> target, or None after so many passes        (n,)"""
    reached = np.zeros(n_items, bool)
    reached[start] = True
    for _ in range(passes):
        found = target[reached[source]]
        if reached[found].all():
            return reached
        reached[found] = True
        if reached.all():
            return reached
    return None


def strong_groups(winner, loser, n_items):
    """The largest groups in which arrows lead from everyone to everyone, each an array of items, strongest first

    A group comes before those that it beats. Most tables have one large group and few other items: whole-array passes
    find the large group, and Tarjan's algorithm walks the rest arrow by arrow.
    """
    start = np.argmax(np.bincount(winner, minlength=n_items) + np.bincount(loser, minlength=n_items))
    down, up = reachable(start, winner, loser, n_items), reachable(start, loser, winner, n_items)
    large = np.zeros(n_items, bool)
    if down is not None and up is not None:
        large = down & up
        if large.all():
            return [np.arange(n_items)]
    node = np.where(large, 0, np.cumsum(~large))  # the large group becomes node 0
    arrows = node[winner] != node[loser]
    order = walk(node[winner[arrows]], node[loser[arrows]], int(node.max()) + 1)
    members = np.argsort(node, kind="stable")
    ends = np.searchsorted(node[members], np.arange(node.max() + 2))
    groups = [np.sort(np.concatenate([members[ends[k] : ends[k + 1]] for k in group])) for group in order]
    return [group for group in groups if len(group)]


def walk(source, target, n_nodes):
    """Tarjan's strongly connected components, without recursion, in the order of the arrows (Tarjan 1972)"""
    by_source = np.argsort(source, kind="stable")
    ends = np.searchsorted(source[by_source], np.arange(n_nodes + 1)).tolist()
    heads = target[by_source].tolist()
    number, low, on_stack = [-1] * n_nodes, [0] * n_nodes, [False] * n_nodes
    next_arrow, stack, groups, count = ends[:-1], [], [], 0
    for root in range(n_nodes):
        path = [root] if number[root] < 0 else []
        while path:
            node = path[-1]
            if number[node] < 0:
                number[node] = low[node] = count
                count += 1
                stack.append(node)
                on_stack[node] = True
            if next_arrow[node] < ends[node + 1]:
                head = heads[next_arrow[node]]
                next_arrow[node] += 1
                if number[head] < 0:
                    path.append(head)
                elif on_stack[head]:
                    low[node] = min(low[node], number[head])
                continue
            path.pop()
            if path:
                low[path[-1]] = min(low[path[-1]], low[node])
            if low[node] == number[node]:
                group = [stack.pop()]
                while group[-1] != node:
                    group.append(stack.pop())
                for member in group:
                    on_stack[member] = False
                groups.append(group)
    return groups[::-1]


def describe_groups(groups, pairs, items):
    """One sentence on each group of the items of a table of games"""
    winner, loser = arrows(pairs)
    return describe(groups, winner, loser, items)


def describe(groups, winner, loser, items):
    """One sentence on each group: which of the others it never lost to or never beat, or that it met none of them

    Of a long group that holds most items only the size is given, because the few other items are the cause.
    """
    group_of = np.empty(len(items), int)
    for k, group in enumerate(groups):
        group_of[group] = k
    across = group_of[winner] != group_of[loser]
    beaten = others_met(group_of[winner[across]], loser[across], len(groups))
    beaten_by = others_met(group_of[loser[across]], winner[across], len(groups))
    sentences = []
    for group, below, above in zip(groups, beaten, beaten_by, strict=True):
        verdicts = [
            f"{verb} {name_group(others, items)}"
            for verb, others in (("never lost to", below), ("never beat", above))
            if len(others)
        ]
        most = len(group) > 6 and 2 * len(group) > len(items)
        name = f"the {len(group)} other items" if most else name_group(group, items)
        sentences.append(f"{name} {' and '.join(verdicts) or 'never met the others'}")
    return sentences


def others_met(group, item, n_groups):
    """For each group the different items that are paired with it        (E,), (E,) -> n_groups arrays"""
    order = np.argsort(group, kind="stable")
    ends = np.searchsorted(group[order], np.arange(1, n_groups))
    return [np.unique(part) for part in np.split(item[order], ends)]


def name_group(group, items, at_most=6):
    """ "A, B and C"; a long list is cut to the first few and "n more", a long name to its beginning"""
    names = [str(items[i]) for i in group[:at_most]]
    names = [name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…" for name in names]
    if len(group) > at_most:
        return f"{', '.join(names)} and {len(group) - at_most} more"
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]
