"""The catalogue: mistakes that people really make, each as an executable wrong version with a hint written by hand.

A wrong version answers exactly as the mistake does, so that "you made this one" is decided by comparing values. Many
were bugs of public reward-model code.
"""

from . import check_layers_mistakes, check_losses_mistakes, check_training_mistakes
from .check_functions import FUNCTIONS

_ALL = check_losses_mistakes.MISTAKES | check_layers_mistakes.MISTAKES | check_training_mistakes.MISTAKES
CATALOGUE = {name: _ALL[name] for name in FUNCTIONS}
