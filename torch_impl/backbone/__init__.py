"""Reward models on pretrained bodies."""

from .model import load_saved as load_saved
