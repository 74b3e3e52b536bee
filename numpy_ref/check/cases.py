"""The inputs that properties are tried on: functions of `draw` that give small arrays of numbers a person can read.

`draw` (see search.py) has four methods: size(low, high), numbers(shape, low, high, step), integers(shape, low, high),
choice(options). Numbers lie on a grid of eighths, which float32 holds exactly.
"""

import numpy as np


def vector(low=-3.0, high=3.0, size=(1, 5)):
    """One axis; by default 1 to 5 numbers within ±3"""
    return lambda draw: (draw.numbers((draw.size(*size),), low, high),)


def extreme_vector(draw):
    """Numbers from one regime: beyond ±750, where e^|x| overflows; about -720, where eˣ is almost 0; or within ±40"""
    low, high = draw.choice([(-1000, -750), (750, 1000), (-730, -716), (-40, 40)])
    return (draw.numbers((draw.size(1, 3),), low, high),)


REGIMES = np.array([0.0, 40.0, -40.0, 750.0, -750.0])


def mixed_vector(draw):
    """Numbers about 0, ±40 and ±750, mixed in one array"""
    shape = (draw.size(2, 9),)
    return (REGIMES[draw.integers(shape, 0, 4)] + draw.numbers(shape, -1, 1),)


def tail_vector(low, high):
    """Numbers at which the answer is tiny, so that naive code loses its digits"""
    return lambda draw: (draw.numbers((draw.size(1, 3),), low, high),)


def pair(low=-3.0, high=3.0, size=(1, 1)):
    """Pairs of rewards, both from the same range"""

    def case(draw):
        shape = (draw.size(*size),)
        return draw.numbers(shape, low, high), draw.numbers(shape, low, high)

    return case


def apart(low, high, size=(1, 1)):
    """Pairs whose margin lies in a range; by default one pair, because batches are tried elsewhere"""

    def case(draw):
        shape = (draw.size(*size),)
        rejected = draw.numbers(shape, -3, 3)
        return rejected + draw.numbers(shape, low, high), rejected

    return case


def mixed(draw):
    """A batch of pairs with margins about 0, ±40 and ±750"""
    (margin,) = mixed_vector(draw)
    rejected = draw.numbers(margin.shape, -3, 3)
    return rejected + margin, rejected


def extreme(draw):
    """A margin from one of four ranges, in which different naive forms of the loss fail"""
    low, high = draw.choice([(-1000, -750), (750, 1000), (-730, -716), (-40, 40)])
    return apart(low, high)(draw)


def far_below(draw):
    """Margins at which e^-margin is inf, and σ(margin) is 0 or almost 0"""
    return apart(*draw.choice([(-1000, -750), (-730, -716)]))(draw)


def far_above(draw):
    """Margins at which e^-margin is tiny or exactly 0"""
    return apart(*draw.choice([(750, 1000), (30, 700)]))(draw)


def with_margins(case, low=-2.0, high=3.0):
    """The pairs of `case`, and a target margin for each of them"""

    def wider(draw):
        chosen, rejected = case(draw)
        return chosen, rejected, draw.numbers(chosen.shape, low, high)

    return wider


def with_number(case, options):
    """The arguments of `case`, and one of the numbers in `options`"""

    def wider(draw):
        return *case(draw), np.array(draw.choice(options))

    return wider


def log_probabilities(size=(1, 1), low=-12.0, high=0.0, betas=(0.125, 0.5, 2.0)):
    """log π and log π_ref of both responses, and β; `low` and `high` bound log π of the chosen response"""

    def case(draw):
        shape = (draw.size(*size),)
        rest = [draw.numbers(shape, -12, 0) for _ in range(3)]
        return draw.numbers(shape, low, high), *rest, np.array(draw.choice(list(betas)))

    return case


def log_probabilities_apart(draw):
    """A large margin β h, positive or negative"""
    low, high = draw.choice([(-1000, -900), (900, 1000)])
    return log_probabilities((1, 1), low, high, betas=(1.0, 0.5, 2.0))(draw)


def log_probabilities_ahead(draw):
    """Margins β h from 49 to 86: float32 has normal numbers down to e^-87"""
    return log_probabilities((1, 1), 61, 62, betas=(1.0,))(draw)


def ranked(prompts=(1, 3), responses=(2, 6), low=-3.0, high=3.0):
    """Rewards (prompts, responses). The loss takes them as ranked, best first; the numbers are in any order"""
    return lambda draw: (draw.numbers((draw.size(*prompts), draw.size(*responses)), low, high),)


def tail_list(draw):
    """A list of two rewards that lie 20 to 80 apart, best first: both gradients are tiny"""
    worse = draw.numbers((1, 1), -3, 3)
    return (np.concatenate([worse + draw.numbers(worse.shape, 20, 80), worse], 1),)


def extreme_list(draw):
    """A list of two whose margin is about 0, ±360, ±720 or 0, ±400, ±800"""
    return (draw.numbers((1, 2), -1, 1, 1.0) * draw.choice([400, 360]) + draw.numbers((1, 2), -3, 3),)


def far_apart_lists(draw):
    """Several prompts, K >= 3, rewards about 0, ±400 and ±800 in any order"""
    shape = draw.size(1, 3), draw.size(3, 5)
    return (draw.numbers(shape, -2, 2, 1.0) * 400 + draw.numbers(shape, -3, 3),)


def lists_at_heights(draw):
    """Several prompts, each with all its rewards about -800, 0 or 800"""
    shape = draw.size(2, 4), draw.size(2, 5)
    return (draw.numbers((shape[0], 1), -1, 1, 1.0) * 800 + draw.numbers(shape, -3, 3),)


def extreme_row(draw):
    """One row with entries about 0 and ±800"""
    shape = 1, draw.size(2, 4)
    return (draw.numbers(shape, -1, 1, 1.0) * 800 + draw.numbers(shape, -3, 3),)


def rows_apart(draw):
    """Rows of ordinary numbers, each shifted as a whole by -800, 0 or 800"""
    rows, columns = draw.size(2, 3), draw.size(2, 4)
    return (draw.numbers((rows, 1), -1, 1, 1.0) * 800 + draw.numbers((rows, columns), -3, 3),)


def saturated(draw):
    """Numbers from 20 to 100 or from -100 to -20"""
    low, high = draw.choice([(20, 100), (-100, -20)])
    return (draw.numbers((draw.size(1, 3),), low, high),)


def array(low=-3.0, high=3.0, leading=(1, 1), last=(1, 5), rows=(1, 3)):
    """(..., C): `leading` is the range of the number of axes in front of C, `rows` the range of their sizes"""

    def case(draw):
        shape = *(draw.size(*rows) for _ in range(draw.size(*leading))), draw.size(*last)
        return (draw.numbers(shape, low, high),)

    return case


def with_dout(case):
    """A random dout before the arguments of `case`, never ones: for ones, softmax and layer norm have dx = 0"""

    def wider(draw):
        arguments = case(draw)
        return draw.numbers(arguments[0].shape, -3, 3), *arguments

    return wider


def probabilities(draw_case):
    """A random dout, and the softmax of the array that `draw_case` draws"""

    def wider(draw):
        dout, x = with_dout(draw_case)(draw)
        e = np.exp(x - x.max(-1, keepdims=True))
        return dout, e / e.sum(-1, keepdims=True)

    return wider


def linear(leading=(1, 1), rows=(1, 4), dout=False):
    """x (..., I), weight (O, I) and bias (O,); if `dout`, a random dout (..., O) before them"""

    def case(draw):
        inputs, outputs = draw.size(1, 4), draw.size(1, 4)
        head = tuple(draw.size(*rows) for _ in range(draw.size(*leading)))
        x, weight = draw.numbers((*head, inputs), -3, 3), draw.numbers((outputs, inputs), -3, 3)
        arguments = x, weight, draw.numbers((outputs,), -3, 3)
        return (draw.numbers((*head, outputs), -3, 3), *arguments) if dout else arguments

    return case


def layer_norm(leading=(1, 1), rows=(1, 4), step=0.125, dout=False, channels=(2, 5)):
    """x (..., C), random weight and bias, not ones and zeros; C >= 2, because one channel alone always gives x̂ = 0"""

    def case(draw):
        size = draw.size(*channels)
        head = tuple(draw.size(*rows) for _ in range(draw.size(*leading)))
        x = draw.numbers((*head, size), -24 * step, 24 * step, step)
        arguments = x, draw.numbers((size,), -3, 3), draw.numbers((size,), -3, 3)
        return (draw.numbers((*head, size), -3, 3), *arguments) if dout else arguments

    return case


def far_rows(dout=False):
    """Rows of layer norm about ±10⁷, where mean(x²) - mean(x)² has no digits left"""

    def case(draw):
        rows, size = draw.size(1, 3), draw.size(2, 5)
        height = 1e7 * draw.choice([1, -1])
        x = height + 4 * np.arange(size) * draw.choice([1, -1]) + draw.integers((rows, size), 0, 3)
        arguments = x, draw.numbers((size,), -3, 3), draw.numbers((size,), -3, 3)
        return (draw.numbers((rows, size), -3, 3), *arguments) if dout else arguments

    return case


def attention(time=(1, 4), size=(1, 4), leading=(1, 1), dout=False, reach=2):
    """(B, H, T, D), B and H from `leading`; entries of q, k and v up to `reach`"""

    def case(draw):
        shape = draw.size(*leading), draw.size(*leading), draw.size(*time), draw.size(*size)
        arrays = [draw.numbers(shape, -reach, reach) for _ in range(3)]
        return (draw.numbers(shape, -3, 3), *arrays) if dout else tuple(arrays)

    return case


def embedding(repeats, leading=(1, 1)):
    """dout (..., C), tokens and the size of the vocabulary; with `repeats` tokens may occur several times"""

    def case(draw):
        vocab, channels = draw.size(2, 5), draw.size(1, 3)
        shape = (draw.size(1, 2), draw.size(2, 4)) if leading == (2, 2) else (draw.size(2, 2 if not repeats else 5),)
        if repeats:
            tokens = draw.integers(shape, 0, min(vocab - 1, 2))
        else:
            tokens = np.arange(vocab)[: shape[0]][:: draw.choice([1, -1])].copy()
        return draw.numbers((*tokens.shape, channels), -3, 3), tokens, np.array(vocab)

    return case


PAD, END = 0, 7


def padded(pad=PAD, full=False, inside=False):
    """Right-padded rows whose last real token is the end token; `inside`: the pad id also occurs before it"""

    def case(draw):
        B, T = draw.size(1, 3), draw.size(2, 5)
        length = np.full(B, T) if full else draw.integers((B,), 1, T)
        tokens = draw.integers((B, T), 1, 4)
        for row, n in zip(tokens, length, strict=True):
            row[n - 1], row[n:] = END, pad
            if inside and n > 1:
                row[draw.size(0, int(n) - 2)] = pad
        return tokens, length, np.array(pad)

    return case


def hidden(full=False):
    """(B, T, C) and the length of each row; `full`: no padding"""

    def case(draw):
        B, T, C = draw.size(1, 3), draw.size(2, 4), draw.size(1, 3)
        length = np.full(B, T) if full else draw.integers((B,), 1, T)
        return draw.numbers((B, T, C), -3, 3), length

    return case


def adamw(first=False, decay=True, eps=1e-8):
    """The arguments of an AdamW step; `first`: the moments are still zero; `decay`: weight decay is on"""

    def case(draw):
        shape = (draw.size(1, 3),)
        param, grad = draw.numbers(shape, -3, 3), draw.numbers(shape, -3, 3)
        t = 1 if first else draw.size(2, 20)
        m, v = (
            (np.zeros(shape), np.zeros(shape)) if first else (draw.numbers(shape, -2, 2), draw.numbers(shape, 0.125, 3))
        )
        numbers = [draw.choice([0.1, 0.01]), draw.choice([0.9, 0.8]), draw.choice([0.99, 0.95]), eps]
        return param, grad, m, v, *map(np.array, (t, *numbers, draw.choice([0.1, 0.5]) if decay else 0.0))

    return case


def two_raters(labels=2):
    """The labels of two raters; the first rater gives two different labels, so chance agreement is below 1"""

    def case(draw):
        n = draw.size(2, 8)
        a, b = draw.integers((n,), 0, labels - 1), draw.integers((n,), 0, labels - 1)
        a[0], a[1], b[1] = 0, 1, 1
        return a, b

    return case


def forecasts(draw):
    """Probabilities and outcomes, 0 or 1"""
    n = draw.size(1, 6)
    return draw.numbers((n,), 0, 1), draw.numbers((n,), 0, 1, 1.0)


def untied(draw):
    """Pairs of different rewards"""
    rejected, gap = pair(size=(1, 6))(draw)
    gap[gap == 0] = 0.125
    return rejected + gap, rejected


def tied(draw):
    """Pairs of equal rewards"""
    rewards = draw.numbers((draw.size(1, 4),), -3, 3)
    return rewards, rewards.copy()


def some_tied(draw):
    """Pairs from a coarse grid, so that some are equal"""
    n = draw.size(2, 6)
    return draw.numbers((n,), -1, 1, 0.5), draw.numbers((n,), -1, 1, 0.5)


def extreme_margins(draw):
    """A scale c of 1 or 2, and margins m up to ±1000; below -750, e^-cm overflows"""
    low, high = draw.choice([(-1000, -750), (750, 1000), (-40, 40)])
    return np.array(draw.choice([1.0, 2.0])), draw.numbers((draw.size(1, 3),), low, high)


def scaled(size):
    """A scale other than 1, and margins"""
    return lambda draw: (np.array(draw.choice([0.5, 2.0, 3.0])), draw.numbers((draw.size(*size),), -3, 3))


def lora(leading=(1, 1)):
    """dout, x, down, up and weight; the rank is smaller than I and O, so that a swapped axis shows"""

    def case(draw):
        head = tuple(draw.size(1, 3) for _ in range(draw.size(*leading)))
        inputs, outputs, rank = draw.size(3, 4), draw.size(4, 5), draw.size(1, 2)
        shapes = (*head, outputs), (*head, inputs), (rank, inputs), (outputs, rank), (outputs, inputs)
        return tuple(draw.numbers(shape, -3, 3) for shape in shapes)

    return case


def gated(leading=(1, 1)):
    """dout, gate and up, all of one shape"""
    return with_dout(lambda draw: (x := array(leading=leading)(draw)[0], draw.numbers(x.shape, -3, 3)))


def residual(rows):
    """dout and x (N, C), weight (C, C) and bias (C,)"""

    def case(draw):
        N, C = draw.size(*rows), draw.size(1, 4)
        return tuple(draw.numbers(shape, -1, 1) for shape in ((N, C), (N, C), (C, C), (C,)))

    return case


def rms_norm(leading=(1, 1), rows=(1, 4), step=0.125):
    """dout and x (..., C) and weight (C,): as layer_norm, without the bias"""
    norm = layer_norm(leading, rows, step, dout=True)
    return lambda draw: norm(draw)[:3]


def next_tokens(prompt=False, batch=(1, 3)):
    """Logits, targets and weights. At least one target of each text counts; `prompt`: at least one does not"""

    def case(draw):
        B, T, V = draw.size(*batch), draw.size(2, 4), draw.size(2, 4)
        weight = np.ones((B, T))
        if prompt:
            weight[:, 0] = 0
            weight[:, 1:-1] = draw.integers((B, T - 2), 0, 1)
        return draw.numbers((B, T, V), -3, 3), draw.integers((B, T), 0, V - 1), weight

    return case


def left_padded(full=False):
    """Masks of 0 and 1, every row with 1 on the right; `full`: no padding"""

    def case(draw):
        B, T = draw.size(1, 3), draw.size(2, 6)
        length = np.full(B, T) if full else draw.integers((B,), 1, T - 1)
        return ((np.arange(T) >= T - length[:, None]).astype(np.int64),)

    return case


def joined(room):
    """Prompt, response, and a limit that leaves `room(draw, P)` places for the P tokens of the prompt"""

    def case(draw):
        P, R = draw.size(2, 5), draw.size(1, 4)
        prompt, response = draw.integers((P,), 1, 9), draw.integers((R,), 10, 19)
        return prompt, response, np.array(R + room(draw, P))

    return case


def labelled(batch=(2, 4), square=False):
    """Two responses to each prompt, and which is preferred: 1 or 2, both occur; `square`: T = B"""

    def case(draw):
        B = draw.size(*batch)
        T = B if square else B + draw.size(1, 2)
        preferred = draw.integers((B,), 1, 2)
        preferred[:2] = draw.choice([[1, 2], [2, 1]])
        return draw.integers((B, T), 1, 9), draw.integers((B, T), 10, 19), preferred

    return case


def parts(equal=False):
    """A gradient for each part of a batch, and how many pairs the part has; `equal`: all the same number"""

    def case(draw):
        M = draw.size(2, 4)
        counts = np.full(M, draw.size(1, 4)) if equal else draw.integers((M,), 1, 8)
        if not equal:
            counts[0] = counts[1:].max() + 1
        return draw.numbers((M, draw.size(1, 3)), -3, 3), counts

    return case


def binned(options=(2, 4, 5), low=0.0):
    """Probabilities from `low` on, outcomes, and a number of bins"""

    def case(draw):
        n = draw.size(1, 6)
        return draw.numbers((n,), low, 1), draw.numbers((n,), 0, 1, 1.0), np.array(draw.choice(options))

    return case


def lengths(draw):
    """Score, quality and length; quality and length are never collinear"""
    shape = draw.size(1, 3), draw.size(3, 5)
    score, quality, length = draw.numbers(shape, -3, 3), draw.numbers(shape, -3, 3, 1.0), draw.numbers(shape, 1, 8, 1.0)
    quality[0], length[0] = np.arange(shape[1]) % 3, np.arange(shape[1]) ** 2
    return score, quality, length


def soft_labels(margins):
    """Margins, and the share of people who prefer the first response of each pair"""

    def case(draw):
        margin = margins(draw)[0]
        return margin, draw.numbers(margin.shape, 0, 1)

    return case


def featured(size, stretch=1.0):
    """Weights, and the features of the chosen and the rejected responses"""

    def case(draw):
        B, F = draw.size(*size), draw.size(1, 3)
        return draw.numbers((F,), -2, 2) * stretch, draw.numbers((B, F), -2, 2), draw.numbers((B, F), -2, 2)

    return case


def table(size, low, high):
    """Wins of each item over each other one, at least 1, and a number for each item between low and high"""

    def case(draw):
        K = draw.size(*size)
        wins = draw.integers((K, K), 1, 6)
        np.fill_diagonal(wins, 0)
        return wins, draw.numbers((K,), low, high)

    return case
