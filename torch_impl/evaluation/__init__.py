"""Using a model, by PyTorch. In reading order:

score   the rewards of any saved model
model   `load`: a trained model in Python
"""
