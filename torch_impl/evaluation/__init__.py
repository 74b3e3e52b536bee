"""Using a model, by PyTorch. In reading order:

score   the rewards of any saved model
model   a trained model in Python
"""
