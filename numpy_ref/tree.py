"""Parameters and gradients are trees: nested dicts and lists of arrays."""


def tree_map(f, *trees):
    """f applied to the corresponding leaves of one or more trees of the same shape; a new tree of that shape"""
    first = trees[0]
    if isinstance(first, dict):
        return {key: tree_map(f, *(tree[key] for tree in trees)) for key in first}
    if isinstance(first, list):
        return [tree_map(f, *branches) for branches in zip(*trees, strict=True)]
    return f(*trees)


def flatten(tree, prefix=""):
    """{"a": {"b": x}, "c": [y]} -> {"a.b": x, "c.0": y}: the names of PyTorch's state_dict"""
    flat: dict = {}
    for key, branch in tree.items() if isinstance(tree, dict) else enumerate(tree):
        if isinstance(branch, dict | list):
            flat |= flatten(branch, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = branch
    return flat


def unflatten(flat):
    """The inverse of flatten: {"a.b": x, "c.0": y} -> {"a": {"b": x}, "c": [y]}"""
    if "" in flat:
        return flat[""]
    branches: dict = {}
    for name, leaf in flat.items():
        key, _, rest = name.partition(".")
        branches.setdefault(key, {})[rest] = leaf
    if all(key.isdecimal() for key in branches):
        return [unflatten(branches[str(i)]) for i in range(len(branches))]
    return {key: unflatten(branch) for key, branch in branches.items()}
