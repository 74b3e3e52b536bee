"""What __init__ resolves when it is first used, for type checkers."""

from . import (
    attention as attention,
)
from . import (
    batches as batches,
)
from . import (
    bradley_terry as bradley_terry,
)
from . import (
    check as check,
)
from . import (
    cli as cli,
)
from . import (
    data as data,
)
from . import (
    dpo as dpo,
)
from . import (
    errors as errors,
)
from . import (
    evaluation as evaluation,
)
from . import (
    figures as figures,
)
from . import (
    gradient_check as gradient_check,
)
from . import (
    language_model as language_model,
)
from . import (
    layers as layers,
)
from . import (
    listwise as listwise,
)
from . import (
    losses as losses,
)
from . import (
    metrics as metrics,
)
from . import (
    objectives as objectives,
)
from . import (
    optim as optim,
)
from . import (
    policy as policy,
)
from . import (
    ranking as ranking,
)
from . import (
    report as report,
)
from . import (
    reward_model as reward_model,
)
from . import (
    storage as storage,
)
from . import (
    ties as ties,
)
from . import (
    train as train,
)
from . import (
    training as training,
)
from . import (
    transformer as transformer,
)
from . import (
    tree as tree,
)
from .attention import self_attention as self_attention
from .attention import self_attention_backward as self_attention_backward
from .check.backward import check_backward as check_backward
from .check.backward import check_second as check_second
from .dpo import (
    dpo_loss as dpo_loss,
)
from .dpo import (
    dpo_loss_backward as dpo_loss_backward,
)
from .dpo import (
    implicit_reward as implicit_reward,
)
from .dpo import (
    log_probability as log_probability,
)
from .dpo import (
    log_probability_backward as log_probability_backward,
)
from .errors import InputError as InputError
from .evaluation.model import TrainedModel as TrainedModel
from .evaluation.model import load as load
from .gradient_check import (
    central_difference as central_difference,
)
from .gradient_check import (
    complex_step as complex_step,
)
from .language_model import next_token_loss as next_token_loss
from .language_model import next_token_loss_backward as next_token_loss_backward
from .layers import (
    embedding as embedding,
)
from .layers import (
    embedding_backward as embedding_backward,
)
from .layers import (
    gelu as gelu,
)
from .layers import (
    gelu_backward as gelu_backward,
)
from .layers import (
    layer_norm as layer_norm,
)
from .layers import (
    layer_norm_backward as layer_norm_backward,
)
from .layers import (
    linear as linear,
)
from .layers import (
    linear_backward as linear_backward,
)
from .layers import (
    softmax as softmax,
)
from .layers import (
    softmax_backward as softmax_backward,
)
from .listwise import (
    plackett_luce_loss as plackett_luce_loss,
)
from .listwise import (
    plackett_luce_loss_backward as plackett_luce_loss_backward,
)
from .losses import (
    log_sigmoid as log_sigmoid,
)
from .losses import (
    pairwise_loss as pairwise_loss,
)
from .losses import (
    pairwise_loss_backward as pairwise_loss_backward,
)
from .losses import (
    sigmoid as sigmoid,
)
from .losses import (
    sigmoid_derivative as sigmoid_derivative,
)
from .ranking import kwise_loss as kwise_loss
from .ranking import kwise_loss_backward as kwise_loss_backward
from .reward_model import (
    init_params as init_params,
)
from .reward_model import (
    loss_and_grads as loss_and_grads,
)
from .reward_model import (
    rewards as rewards,
)
from .reward_model import (
    rewards_backward as rewards_backward,
)
from .ties import (
    davidson as davidson,
)
from .ties import (
    davidson_backward as davidson_backward,
)
from .ties import (
    rao_kupper as rao_kupper,
)
from .ties import (
    rao_kupper_backward as rao_kupper_backward,
)
from .training.python import train_reward_model as train_reward_model
from .transformer import (
    block as block,
)
from .transformer import (
    block_backward as block_backward,
)
from .transformer import (
    feed_forward as feed_forward,
)
from .transformer import (
    feed_forward_backward as feed_forward_backward,
)

__version__: str

__all__: list[str]
