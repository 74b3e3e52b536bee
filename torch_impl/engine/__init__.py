"""The step of `train` in less time and memory, and on more processors. In reading order:

options         device, processes and memory
learner         the learner that the command uses
last_token      a forward pass that computes only what the last token's reward needs
shared_prompt   the prompt of several responses computed once
processes       several processes under torchrun, and one sentence if one of them is lost
sharding        weights spread over processes (FSDP)
"""
