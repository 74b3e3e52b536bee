"""The training step on a pretrained body: the engine's, with its pieces, processes and sharded weights.

It trains all weights, or low-rank additions to some of them (LoRA, by peft). The additions are merged into the weights
when the model is saved, so it loads without peft. Decay, clipping and schedule are those of train.py.
"""

from numpy_ref.errors import InputError

from ..engine import last_token, shared_prompt
from ..engine.learner import Engine
from .reading import blocks_of
from .saved import save_model

FULL_RATE, LORA_RATE = 1e-5, 2e-4  # pretrained weights move little; additions start at 0 and move further


class BackboneLearner(Engine):
    """A BackboneReward and its optimiser, with the methods of torch_impl.train.Learner"""

    def __init__(self, model, *schedule, **options):
        self.pretrained = model
        model.lean &= not (options.get("fsdp") or options.get("gradient_checkpointing"))  # they call whole blocks
        super().__init__({}, 0, *schedule, **options)

    def _made(self, weights, n_head):  # noqa: ARG002  the model comes with its weights
        return self.pretrained

    def _blocks(self, model):
        owner, name = blocks_of(model.body)
        return getattr(owner, name)

    def rewards_of(self, tokens, length):
        """Rewards in groups of similar length; the prompt is computed once for all responses if the body allows it"""
        model = self.model
        if self.fsdp:
            return model(tokens, length)
        if model.packs():
            return shared_prompt.rewards(model, tokens, length, model.packed_features, model.features)
        return last_token.rewards(model, tokens, length, model.features)

    def weights(self):
        """The trained weights only: LoRA's additions without the weights they are added to"""
        return {name: self._array(p) for name, p in self._trained()}

    def state(self):
        return super().state() | {f"weight.{name}": array for name, array in self.weights().items()}

    def restore(self, weights, state, step):  # noqa: ARG002
        """Continues from `state` alone; the model must be as it was at the start"""
        super().restore({name: state[f"weight.{name}"] for name, _ in self._trained()}, state, step)


def write_model(directory, learner, weights, tokenizer):
    """Saves a learner's model in the Hugging Face format; weights: those of `weights()`, gathered from all processes"""
    save_model(directory, learner.model, tokenizer, learner.learned_ties(), weights)


def add_lora(model, r, alpha, target_modules=None):
    """Freezes the body and adds α/r B A, with B = 0 at first, to the weights of its target modules (default: peft's)

    Source: Hu et al. 2021, arXiv:2106.09685. No dropout, as everywhere here.
    """
    try:
        import peft
    except ImportError:
        raise InputError('--use-peft needs the extra hf: pip install -c constraints.txt -e ".[hf]"') from None
    transposed = any(type(module).__name__ == "Conv1D" for module in model.body.modules())  # GPT-2 stores (in, out)
    options = {"r": r, "lora_alpha": alpha, "target_modules": target_modules, "fan_in_fan_out": transposed}
    try:
        peft.inject_adapter_in_model(peft.LoraConfig(**options), model.body)
    except ValueError as error:
        raise InputError(
            f"--lora-target-modules: {' '.join(str(error).split())[:200]}; name modules to add to"
        ) from None
    model.train(False)


def trained_share(model):
    """(weights that are trained, all weights)"""
    sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
    return sum(n for n, on in sizes if on), sum(n for n, _ in sizes)


def learning_rate(options):
    """The given learning rate, or a default for pretrained weights; the default of `train` is for random weights"""
    if "learning_rate" in options.given:
        return options.learning_rate
    return LORA_RATE if options.use_peft else FULL_RATE
