"""The catalogue: mistakes that people really make, each as an executable wrong version with a hint written by hand.

A wrong version gives exactly the answers that the mistake gives, so comparing values decides whether a submission has
made it. Many were bugs of public reward-model code. `CATALOGUE` maps each published function to its mistakes.
In reading order:

losses          losses of pairs
lists           losses of ranked lists
comparisons     models of one comparison, strengths fitted to a table of wins, weighted kappa
layers          the layers of a transformer
attention       attention
policy          DPO, IPO, the leave-one-out advantage
training        which token is scored, the optimiser's step, the metrics
transfer        functions that the lessons leave to the reader, such as RMS norm and LoRA
"""

from ..functions import FUNCTIONS
from . import attention, comparisons, layers, lists, losses, policy, training, transfer

__all__ = ["CATALOGUE"]
_ALL: dict = {}
for _room in (losses, lists, comparisons, layers, attention, policy, training, transfer):
    _ALL |= _room.MISTAKES
CATALOGUE = {name: _ALL[name] for name in FUNCTIONS}
