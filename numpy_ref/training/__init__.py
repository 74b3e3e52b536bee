"""The commands `train`, `sft` and `dpo`, for both packages. In reading order:

options         the options of each command, as one frozen dataclass
stage           the parts in which the three commands differ
data            the training and held-out data of a reward model, and the report at the end
resume          checks that a resumed run goes on with the options it was started with
start           the weights that a training starts from
best            the best evaluation, and early stopping
log             averages over the steps between two lines of metrics.jsonl
loop            the steps: log lines, evaluations, saves
command         runs a command: options, data, learner, loop, the finished model
sft             `sft`: trains the language model that a reward model starts from
dpo             `dpo`: trains a language model on preferences, without a reward model
python          `train_reward_model`: the command `train` from Python
"""
