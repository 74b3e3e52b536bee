"""Using a model, by PyTorch.

score   the rewards of any saved model
model   a trained model in Python
"""
