"""The commands `train`, `sft` and `dpo`, for both packages. In reading order:

options         what can be asked for, as one frozen dataclass a command
stage           what differs between the commands that train
data            what a reward model is trained on and measured on, and the last report
resume          a run goes on with its own options
start           the weights that a training starts from
best            the best evaluation, and early stopping
log             the lines of metrics.jsonl: what was measured every few steps
loop            the steps: log lines, evaluations, saves
command         the command: options, data, learner, loop, the finished model
sft             the language model that a reward model starts from
dpo             a language model trained on preferences, with itself as the reward model
python          `train_reward_model`: the command from Python
"""
