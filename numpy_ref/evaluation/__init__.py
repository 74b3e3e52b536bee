"""Using a trained model, and measuring how good it is. In reading order:

agreement       kappa and alpha: do annotators agree beyond chance?
intervals       Wilson's, and bootstraps over prompts, responses and items
calibration     are the probabilities right? reliability, ECE, a temperature
pairs, measures, text, figure, command      `evaluate`
against         `evaluate --against`: is one model better than another?
score, score_files                          `score`
rewardbench                                 RewardBench 2: is a correct response the favourite?
best_of                                     the response chosen among n
normalize, normalize_command                `normalize`
model                                       a trained model in Python: `load`
"""
