"""The catalogue: mistakes that people really make, each as an executable wrong version with a hint written by hand.

A wrong version answers exactly as the mistake does, so that "you made this one" is decided by comparing values. Many
were bugs of public reward-model code. `CATALOGUE` has them by function. In reading order:

losses          of pairs and of ranked lists
comparisons     models of one comparison, strengths of a table, agreement
layers          layers and attention
policy          DPO, IPO, an advantage
training        which token is scored, the optimiser's step, the metrics
transfer        what the lessons leave to the reader
"""

from ..functions import FUNCTIONS
from . import comparisons, layers, losses, policy, training, transfer

__all__ = ["CATALOGUE"]
_ALL: dict = {}
for _room in (losses, comparisons, layers, policy, training, transfer):
    _ALL |= _room.MISTAKES
CATALOGUE = {name: _ALL[name] for name in FUNCTIONS}
