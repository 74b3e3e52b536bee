"""The commands `train`, `sft` and `dpo`, for both packages.

options         what can be asked for
data            what a reward model is trained on and held to, and the last report
resume          a run goes on with its own options
command         the command: begin, loop, save
sft             the language model that a reward model starts from
dpo             a language model trained on preferences, with itself as the reward model
"""
