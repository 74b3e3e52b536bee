"""The training step in PyTorch; the loop is that of numpy_ref/train.py, which takes the Learner of either side."""

import torch
from torch.nn.utils import clip_grad_norm_

from numpy_ref.objectives import LEARNED_TIES
from numpy_ref.train import BETA2, MAX_NORM, TIE_RATE

from .language_model import LanguageModel
from .objectives import OBJECTIVES, log_tie_parameter
from .optim import SCHEDULES, adamw
from .reward_model import RewardModel, loss_and_grads, pairs


class Learner:
    """The reward model and its optimiser by autograd and torch.optim; the methods of numpy_ref.train.Learner"""

    side = "torch_impl"
    writes = True

    def __init__(
        self,
        weights,
        n_head,
        total_steps,
        learning_rate,
        warmup_steps,
        *,
        device="cpu",
        weight_decay=0.01,
        lr_scheduler_type="cosine",
        loss="pairwise",
        **loss_options,
    ):
        self.n_head, self.device, self.loss, self.loss_options = n_head, torch.device(device), loss, loss_options
        self.model = self._placed(self._made(weights, n_head))
        trained, schedule = [p for _, p in self._trained()], SCHEDULES[lr_scheduler_type]
        self.optimiser = adamw(trained, learning_rate, beta2=BETA2, weight_decay=weight_decay)
        self.schedule = schedule(self.optimiser, total_steps, learning_rate, warmup_steps)
        self.tie, self.stepping = {}, [self.optimiser, self.schedule]
        if loss_options.get("ties") in LEARNED_TIES:
            raw_tie = torch.zeros((), dtype=self.dtype, device=self.device, requires_grad=True)
            self.tie = {"raw_tie": raw_tie}
            rate = TIE_RATE * learning_rate
            self.tie_optimiser = adamw([raw_tie], rate, beta2=BETA2, weight_decay=0.0)
            self.stepping += [self.tie_optimiser, schedule(self.tie_optimiser, total_steps, rate, warmup_steps)]

    def _made(self, weights, n_head):
        """The model that is trained"""
        return model_of(weights, n_head)

    def _placed(self, model):
        """The model on its device"""
        return model.to(self.device)

    def _trained(self):
        """(name, parameter) of everything that the optimiser updates"""
        return [(name, p) for name, p in self.model.named_parameters() if p.requires_grad]

    @property
    def dtype(self):
        return next(self.model.parameters()).dtype

    def step(self, tokens, length, margin, ranks=None):
        """One update; returns loss, rewards (B, K), gradient norm before clipping, learning rate"""
        for raw_tie in self.tie.values():
            raw_tie.grad = None
        options = self._objective(margin, ranks)
        loss, reward = loss_and_grads(self.model, self._tensor(tokens), self._tensor(length), **options)
        norm, lr = self.update()
        return loss.item(), reward.cpu().numpy(), norm, lr

    def _objective(self, margin, ranks):
        """The loss function and its keyword arguments besides the rewards"""
        if self.loss == "pairwise":
            labels = {"objective": pairs, "target_margin": self._tensor(margin).to(self.dtype)}
        else:
            labels = {"objective": OBJECTIVES[self.loss], "ranks": self._tensor(ranks), **self.tie}
        return labels | self.loss_options

    def update(self):
        """One step of AdamW along the clipped gradient; returns its norm before clipping and the learning rate"""
        norm = clip_grad_norm_(self.model.parameters(), MAX_NORM)
        lr = self.optimiser.param_groups[0]["lr"]
        for part in self.stepping:
            part.step()
        return float(self._array(norm)), lr

    @torch.no_grad()
    def rewards(self, tokens, length):
        return self.model(self._tensor(tokens), self._tensor(length)).cpu().numpy()

    def weights(self):
        return {name: self._array(p) for name, p in self.model.named_parameters()}

    def state(self):
        """The optimiser's arrays under the names of numpy_ref.train.Learner"""
        moments: dict = {}
        for name, p in self._trained():
            moments |= self._moments(self.optimiser, p, f"first.{name}", f"second.{name}")
        for name, p in self.tie.items():
            moments[f"tie.{name}"] = self._array(p)
            moments |= self._moments(self.tie_optimiser, p, f"tie_first.{name}", f"tie_second.{name}")
        return moments

    def restore(self, weights, state, step):
        for _ in range(step):  # without gradients the optimisers do nothing; the schedules advance
            for part in self.stepping:
                part.step()
        self.load(weights | state)
        for name, p in self._trained():
            self.optimiser.state[p] = self._slot(p, step, state[f"first.{name}"], state[f"second.{name}"])
        for name, p in self.tie.items():
            slot = self._slot(p, step, state[f"tie_first.{name}"], state[f"tie_second.{name}"])
            self.tie_optimiser.state[p] = slot

    def load(self, weights):
        """Replaces the weights, and "tie.raw_tie" if a tie model's parameter is trained"""
        for name, p in [*self._trained(), *((f"tie.{name}", p) for name, p in self.tie.items())]:
            p.data.copy_(self._placed_as(p, weights[name]))

    def agree(self, flag):
        return flag

    def learned_ties(self):
        """{"ties": the model of ties, "log_theta" or "log_nu": its parameter}; {} if none was learned"""
        if not self.tie:
            return {}
        ties = self.loss_options["ties"]
        return {"ties": ties, LEARNED_TIES[ties]: log_tie_parameter(ties, **self.tie).item()}

    def versions(self):
        return {"torch": torch.__version__, "threads": torch.get_num_threads(), "device": str(self.device)}

    def _tensor(self, array):
        return torch.from_numpy(array).to(self.device)

    def _array(self, tensor):
        """The tensor as the NumPy array that is saved"""
        return tensor.detach().cpu().numpy().copy()

    def _placed_as(self, _parameter, array):
        """The array as a new tensor on the parameter's device"""
        return self._tensor(array).clone()

    def _slot(self, parameter, step, first, second):
        """AdamW's state of one parameter"""
        first, second = (self._placed_as(parameter, moment) for moment in (first, second))
        return {"step": torch.tensor(float(step)), "exp_avg": first, "exp_avg_sq": second}

    def _moments(self, optimiser, parameter, first, second):
        slot = optimiser.state[parameter]
        return {first: self._array(slot["exp_avg"]), second: self._array(slot["exp_avg_sq"])}


def model_of(weights, n_head):
    """The RewardModel with these flattened weights, or the LanguageModel if they have an unembedding"""
    vocab_size, n_embd = weights["body.tok.weight"].shape
    n_layer = 1 + max(int(name.split(".")[2]) for name in weights if name.startswith("body.blocks."))
    kind = RewardModel if "head.weight" in weights else LanguageModel
    model = kind(vocab_size, len(weights["body.pos.weight"]), n_embd, n_layer, n_head)
    model = model.to(torch.from_numpy(weights["body.tok.weight"]).dtype)
    model.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    return model
