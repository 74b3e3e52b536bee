"""The published list: the functions that a submission may define, each with its signature, shapes and formula.

`check --list` prints it. Signatures are the shortest that a class would write. A backward may also be written as in
this project: `f_backward(dout, cache)` beside an `f` that returns `(out, cache)`; `forward` names that `f`. `option`
lists the keywords with which pairwise_loss does the same: margin_loss(c, r, m) is pairwise_loss(c, r, target_margin=m).
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple


class Function(NamedTuple):
    signature: str
    shapes: str
    statement: str
    forward: str = ""
    option: tuple[str, ...] = ()

    @property
    def name(self):
        return self.signature.split("(")[0]

    @property
    def arguments(self):
        """The arguments that the checker passes; those with a default, such as `eps=1e-5`, are left out"""
        inside = re.search(r"\((.*?)\) ->", self.signature)[1]  # type: ignore[index]
        return tuple(part.strip() for part in inside.split(",") if "=" not in part)

    @property
    def optional(self):
        """{name: value} of the arguments with a default, for a submission that requires them"""
        return {name: float(value) for name, value in re.findall(r"(\w+)=([^,)]+)", self.signature)}

    @property
    def results(self):
        return tuple(part.strip() for part in self.signature.split("->")[1].strip(" ()").split(","))


class Mistake(NamedTuple):
    """A known wrong version of a published function: its name, a hint in a sentence, and the code itself"""

    name: str
    hint: str
    wrong: Callable[..., Any]


_MARGIN = ("target_margin", "margin")
_SMOOTHING = ("label_smoothing", "smoothing", "epsilon")
_CENTER = ("center_coefficient", "center_rewards_coefficient", "coefficient")

FUNCTIONS = {
    function.name: function
    for function in (
        Function("sigmoid(x) -> y", "(...) -> (...)", "y = 1 / (1 + e⁻ˣ)"),
        Function("log_sigmoid(x) -> y", "(...) -> (...)", "y = log σ(x) = -log(1 + e⁻ˣ), finite wherever x is"),
        Function(
            "pairwise_loss(chosen, rejected) -> loss",
            "(B,), (B,) -> ()",
            "loss = mean over the pairs of -log σ(chosen - rejected)",
        ),
        Function(
            "pairwise_loss_backward(chosen, rejected) -> (dchosen, drejected)",
            "(B,), (B,) -> (B,), (B,)",
            "dchosen = (σ(margin) - 1) / B,  drejected = -dchosen,  margin = chosen - rejected",
            "pairwise_loss",
        ),
        Function(
            "margin_loss(chosen, rejected, margin) -> loss",
            "(B,), (B,), (B,) -> ()",
            "loss = mean of -log σ(chosen - rejected - margin): the chosen reward should lead by the margin",
            "",
            _MARGIN,
        ),
        Function(
            "margin_loss_backward(chosen, rejected, margin) -> (dchosen, drejected)",
            "(B,), (B,), (B,) -> (B,), (B,)",
            "dchosen = (σ(Δ) - 1) / B,  drejected = -dchosen,  Δ = chosen - rejected - margin",
            "margin_loss",
            _MARGIN,
        ),
        Function(
            "smoothed_loss(chosen, rejected, label_smoothing) -> loss",
            "(B,), (B,), () -> ()",
            "loss = mean of -(1 - ε) log σ(Δ) - ε log σ(-Δ),  Δ = chosen - rejected, ε the share of flipped labels",
            "",
            _SMOOTHING,
        ),
        Function(
            "smoothed_loss_backward(chosen, rejected, label_smoothing) -> (dchosen, drejected)",
            "(B,), (B,), () -> (B,), (B,)",
            "dchosen = (ε σ(Δ) - (1 - ε) σ(-Δ)) / B,  drejected = -dchosen",
            "smoothed_loss",
            _SMOOTHING,
        ),
        Function(
            "centered_loss(chosen, rejected, coefficient) -> loss",
            "(B,), (B,), () -> ()",
            "loss = mean of -log σ(chosen - rejected) + c (chosen + rejected)²",
            "",
            _CENTER,
        ),
        Function(
            "centered_loss_backward(chosen, rejected, coefficient) -> (dchosen, drejected)",
            "(B,), (B,), () -> (B,), (B,)",
            "dchosen = (σ(Δ) - 1 + 2c s) / B,  drejected = (1 - σ(Δ) + 2c s) / B,  s = chosen + rejected",
            "centered_loss",
            _CENTER,
        ),
        Function(
            "dpo_loss_backward(chosen, rejected, ref_chosen, ref_rejected, beta) -> (dchosen, drejected)",
            "(B,) four times, () -> (B,), (B,)",
            "of mean(-log σ(β h)), h = (chosen - ref_chosen) - (rejected - ref_rejected), log-probabilities: "
            "dchosen = β (σ(β h) - 1) / B,  drejected = -dchosen",
            "dpo_loss",
        ),
        Function(
            "ipo_loss(chosen, rejected, ref_chosen, ref_rejected, beta) -> loss",
            "(B,) four times, () -> ()",
            "loss = mean of (h - 1 / (2β))²,  h = (chosen - ref_chosen) - (rejected - ref_rejected), log-probabilities",
        ),
        Function(
            "ipo_loss_backward(chosen, rejected, ref_chosen, ref_rejected, beta) -> (dchosen, drejected)",
            "(B,) four times, () -> (B,), (B,)",
            "dchosen = 2 (h - 1 / (2β)) / B,  drejected = -dchosen",
            "ipo_loss",
        ),
        Function(
            "leave_one_out_advantage(rewards) -> advantages",
            "(N, G) -> (N, G)",
            "of G responses to each of N prompts: each reward minus the mean of its prompt's other G - 1 rewards",
        ),
        Function(
            "kwise_loss(rewards) -> loss",
            "(B, K) -> ()",
            "rewards best first: loss = mean over prompts of 1/C(K,2) Σ over i < j of -log σ(r_i - r_j)",
        ),
        Function(
            "kwise_loss_backward(rewards) -> drewards",
            "(B, K) -> (B, K)",
            "dr_i = 1/(B C(K,2)) [ Σ over j after i of (σ(r_i - r_j) - 1) + Σ over j before i of (1 - σ(r_j - r_i)) ]",
            "kwise_loss",
        ),
        Function(
            "plackett_luce_loss(rewards) -> loss",
            "(B, K) -> ()",
            "rewards best first: loss = mean over prompts of Σ over k < K of log Σ over j >= k of e^(r_j - r_k)",
        ),
        Function(
            "plackett_luce_loss_backward(rewards) -> drewards",
            "(B, K) -> (B, K)",
            "dr_i = 1/B [ Σ over k <= min(i, K-1) of e^(r_i) / Σ over j >= k of e^(r_j)  -  1 if i < K ]",
            "plackett_luce_loss",
        ),
        Function(
            "kwise_margin_loss(rewards, per_rank) -> loss",
            "(B, K), () -> ()",
            "rewards best first: loss = mean over prompts, pairs i < j of -log σ(r_i - r_j - c (j - i)), c = per_rank",
        ),
        Function(
            "unbiased_loss(chosen, rejected, flip_rate) -> loss",
            "(B,), (B,), () -> ()",
            "loss = mean of [(1 - ε) ℓ(Δ) - ε ℓ(-Δ)] / (1 - 2ε),  ℓ(Δ) = -log σ(Δ),  Δ = chosen - rejected, ε < 1/2",
        ),
        Function(
            "scaled_loss_backward(scale, margin) -> dscale",
            "(), (B,) -> ()",
            "the derivative of mean(-log σ(c m)) over the scale c: dc = mean of -m σ(-c m)",
        ),
        Function(
            "soft_label_loss(margin, label) -> loss",
            "(B,), (B,) in [0, 1] -> ()",
            "loss = mean of -p log σ(m) - (1 - p) log σ(-m), p = label: the share of people who prefer the first",
        ),
        Function(
            "probit_loss_backward(chosen, rejected) -> (dchosen, drejected)",
            "(B,), (B,) -> (B,), (B,)",
            "of mean -log Φ(m), m = chosen - rejected: dchosen = -φ(m) / (B Φ(m)), drejected = -dchosen, Φ' = φ normal",
            "probit_loss",
        ),
        Function(
            "linear_reward_gradient(weight, chosen, rejected) -> dweight",
            "(F,), (B, F), (B, F) -> (F,)",
            "of mean -log σ(m), m = (chosen - rejected) w: dw = mean of -σ(-m) (chosen - rejected)",
        ),
        Function(
            "thurstone(first, second) -> probability",
            "(B,), (B,) -> (B,)",
            "P(first beats second) = Φ((first - second) / √2): normal noise of variance 1 on either impression",
        ),
        Function(
            "rao_kupper(first, second, threshold) -> (win, tie, loss)",
            "(B,), (B,), () -> (B,), (B,), (B,)",
            "win = σ(Δ - η), loss = σ(-Δ - η), tie = the rest; Δ = first - second, η = threshold >= 0",
        ),
        Function(
            "strengths_gradient(wins, strength) -> dstrength",
            "(K, K) ints, (K,) -> (K,)",
            "of Σ w_ij log σ(λ_i - λ_j), w_ij the wins of i over j: dλ_i = Σ_j w_ij - (w_ij + w_ji) σ(λ_i - λ_j)",
        ),
        Function(
            "mm_step(wins, worth) -> worth",
            "(K, K) ints, (K,) -> (K,)",
            "new worth_i = Σ_j w_ij / Σ_j (w_ij + w_ji) / (worth_i + worth_j): one step of minorise-maximise",
        ),
        Function(
            "weighted_kappa(a, b) -> kappa",
            "(N,) ints, (N,) ints -> ()",
            "κ = 1 - mean of (a_i - b_i)² / mean over all i and j of (a_i - b_j)²: quadratic weights",
        ),
        Function("linear(x, weight, bias) -> y", "(..., I), (O, I), (O,) -> (..., O)", "y = x Wᵀ + b"),
        Function(
            "linear_backward(dout, x, weight, bias) -> (dx, dweight, dbias)",
            "(..., O), (..., I), (O, I), (O,) -> (..., I), (O, I), (O,)",
            "dx = dy W,  dW = Σ dyᵀ x,  db = Σ dy,  Σ over every leading axis",
            "linear",
        ),
        Function(
            "lora_backward(dout, x, down, up, weight) -> (dx, ddown, dup)",
            "(..., O), (..., I), (R, I), (O, R), (O, I) -> (..., I), (R, I), (O, R)",
            "of y = x Wᵀ + x Aᵀ Bᵀ, A = down, B = up, W frozen: dx = dy W + dy B A, dA = Σ (dy B)ᵀ x, dB = Σ dyᵀ x Aᵀ",
            "lora",
        ),
        Function("softmax(x) -> p", "(..., C) -> (..., C)", "p = eˣ / Σ eˣ over the last axis"),
        Function(
            "softmax_backward(dout, p) -> dx",
            "(..., C), (..., C) -> (..., C)",
            "dx = p (dp - Σ p dp),  p = softmax(x), Σ over the last axis",
        ),
        Function(
            "log_softmax_backward(dout, x) -> dx",
            "(..., C), (..., C) -> (..., C)",
            "of y = x - log Σ eˣ over the last axis: dx = dy - p Σ dy,  p = softmax(x)",
            "log_softmax",
        ),
        Function(
            "gelu(x) -> y",
            "(...) -> (...)",
            "y = x/2 (1 + tanh(√(2/π) (x + 0.044715 x³))): GPT-2's tanh form",
        ),
        Function("gelu_backward(dout, x) -> dx", "(...), (...) -> (...)", "dx = dy · dy/dx of the tanh form", "gelu"),
        Function(
            "swiglu_backward(dout, gate, up) -> (dgate, dup)",
            "(...), (...), (...) -> (...), (...)",
            "of y = g σ(g) u: dg = dy u σ(g) (1 + g σ(-g)),  du = dy g σ(g)",
            "swiglu",
        ),
        Function(
            "residual_backward(dout, x, weight, bias) -> (dx, dweight, dbias)",
            "(N, C), (N, C), (C, C), (C,) -> (N, C), (C, C), (C,)",
            "of y = x + tanh(x Wᵀ + b): dx = dy + dh W,  dW = dhᵀ x,  db = Σ dh,  dh = dy (1 - tanh²)",
            "residual",
        ),
        Function(
            "layer_norm(x, weight, bias, eps=1e-5) -> y",
            "(..., C), (C,), (C,) -> (..., C)",
            "y = w x̂ + b,  x̂ = (x - μ) / √(σ² + ε),  μ and σ² = mean (x - μ)² over the last axis",
        ),
        Function(
            "layer_norm_backward(dout, x, weight, bias, eps=1e-5) -> (dx, dweight, dbias)",
            "(..., C), (..., C), (C,), (C,) -> (..., C), (C,), (C,)",
            "dx = (dx̂ - mean(dx̂) - x̂ mean(dx̂ x̂)) / √(σ² + ε),  dx̂ = w dy;  dw = Σ dy x̂,  db = Σ dy",
            "layer_norm",
        ),
        Function(
            "rms_norm_backward(dout, x, weight, eps=1e-5) -> (dx, dweight)",
            "(..., C), (..., C), (C,) -> (..., C), (C,)",
            "of y = w x̂,  x̂ = x / s,  s = √(mean x² + ε): dx = (dx̂ - x̂ mean(dx̂ x̂)) / s,  dx̂ = w dy;  dw = Σ dy x̂",
            "rms_norm",
        ),
        Function(
            "embedding_backward(dout, tokens, vocab_size) -> dweight",
            "(..., C), (...) ints, V -> (V, C)",
            "dW[v] = Σ dy over the places where token v stands",
        ),
        Function(
            "attention(q, k, v) -> y",
            "(B, H, T, D) each -> (B, H, T, D)",
            "y = softmax(q kᵀ / √D) v, where no position sees a later one",
        ),
        Function(
            "attention_backward(dout, q, k, v) -> (dq, dk, dv)",
            "(B, H, T, D) each -> (B, H, T, D) each",
            "dV = Pᵀ dY,  dS = P (dP - Σ P dP) / √D with dP = dY Vᵀ,  dQ = dS K,  dK = dSᵀ Q",
            "attention",
        ),
        Function(
            "next_token_loss_backward(logits, targets, weight) -> dlogits",
            "(B, T, V), (B, T) ints, (B, T) of 0 and 1 -> (B, T, V)",
            "of -Σ w log p[target] / Σ w,  p = softmax(logits): dlogits = w (p - one_hot(target)) / Σ w",
            "next_token_loss",
        ),
        Function(
            "last_token(tokens, length, pad) -> index",
            "(B, T) ints, (B,) ints, int -> (B,) ints",
            "the place of each row's last real token; pad fills the rest and may be the end token itself",
        ),
        Function(
            "last_hidden(hidden, length) -> rows",
            "(B, T, C), (B,) ints -> (B, C)",
            "rows[b] = hidden[b, length[b] - 1]",
        ),
        Function(
            "position_ids(mask) -> ids",
            "(B, T) of 0 and 1 -> (B, T) ints",
            "rows padded on the left: 0, 1, 2, ... from the first real token (mask 1) on, 0 in the padding",
        ),
        Function(
            "join_within(prompt, response, limit) -> tokens",
            "(P,) ints, (R,) ints, int at least R -> (min(P + R, limit),) ints",
            "prompt and response in at most `limit` tokens: the response whole, the prompt without its first tokens",
        ),
        Function(
            "chosen_first(first, second, preferred) -> pair",
            "(B, T) ints, (B, T) ints, (B,) of 1 and 2 -> (B, 2, T) ints",
            "pair[b, 0] is the preferred response's row, pair[b, 1] the other's",
        ),
        Function(
            "accumulated_gradient(gradients, counts) -> gradient",
            "(M, N), (M,) ints -> (N,)",
            "gradient of the mean over all pairs; gradients[m] is that of the mean over the counts[m] pairs of part m",
        ),
        Function(
            "adamw_step(param, grad, m, v, t, lr, beta1, beta2, eps, weight_decay) -> (param, m, v)",
            "(N,) four times, then numbers; t = 1 at the first step -> (N,) three times",
            "m = β₁m + (1-β₁)g,  v = β₂v + (1-β₂)g²,  p = p - lr λ p - lr m̂ / (√v̂ + ε),  m̂ = m / (1-β₁ᵗ), v̂ alike",
        ),
        Function(
            "accuracy(chosen, rejected) -> share",
            "(B,), (B,) -> ()",
            "the share of pairs with chosen > rejected, a tie counting one half",
        ),
        Function(
            "cohen_kappa(a, b) -> kappa",
            "(N,) ints, (N,) ints -> ()",
            "κ = (p_o - p_e) / (1 - p_e): agreement beyond what the two raters' own rates give by chance",
        ),
        Function(
            "brier_score(probability, outcome) -> score",
            "(N,), (N,) of 0 and 1 -> ()",
            "the mean of (probability - outcome)²",
        ),
        Function(
            "expected_calibration_error(probability, outcome, bins) -> error",
            "(N,), (N,) of 0 and 1, int -> ()",
            "Σ_b n_b/N |mean probability - mean outcome| over bins b/bins <= p < (b+1)/bins; the last holds 1 too",
        ),
        Function(
            "length_slope(score, quality, length) -> slope",
            "(P, K) each -> ()",
            "the b of least squares score = a quality + b length, all three less their prompt's mean",
        ),
    )
}
