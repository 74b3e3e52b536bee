"""Using a trained model, and measuring how good it is. In reading order:

agreement           kappa and alpha: do annotators agree beyond chance?
intervals           Wilson's interval, and bootstraps over prompts, responses and items
calibration         are the probabilities right? reliability, ECE, a temperature
pairs               the comparisons that `evaluate` measures, as arrays
measures            the scores of `evaluate` with their intervals
text                the tables that `evaluate` prints
figure              the picture of `evaluate --figure`
command             the command `evaluate`
against             `evaluate --against`: is one model better than another?
score               the command `score`: rewards of responses
score_files         reads and writes the files of `score --data`
rewardbench         RewardBench 2: does a correct response have the highest reward?
best_of             `evaluate --best-of`: how good is the response that the model chooses among n?
normalize           shifts and scales the rewards of a model
normalize_command   the command `normalize`
model               a trained model in Python: `load`
"""
