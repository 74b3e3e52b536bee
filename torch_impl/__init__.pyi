"""What __init__ resolves when it is first used, for type checkers."""

from . import attention as attention
from . import backbone as backbone
from . import bradley_terry as bradley_terry
from . import check as check
from . import compare as compare
from . import dpo as dpo
from . import engine as engine
from . import evaluation as evaluation
from . import language_model as language_model
from . import layers as layers
from . import learners as learners
from . import listwise as listwise
from . import losses as losses
from . import objectives as objectives
from . import optim as optim
from . import policy as policy
from . import ranking as ranking
from . import reward_model as reward_model
from . import ties as ties
from . import train as train
from . import training as training
from . import transformer as transformer
from .dpo import dpo_loss as dpo_loss
from .evaluation.model import load as load
from .language_model import LanguageModel as LanguageModel
from .language_model import next_token_loss as next_token_loss
from .listwise import plackett_luce_loss as plackett_luce_loss
from .losses import pairwise_loss as pairwise_loss
from .ranking import kwise_loss as kwise_loss
from .reward_model import RewardModel as RewardModel
from .reward_model import loss_and_grads as loss_and_grads
from .ties import davidson as davidson
from .ties import rao_kupper as rao_kupper
from .training.python import train_reward_model as train_reward_model

__all__: list[str]
