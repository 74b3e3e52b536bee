"""The commands `train`, `sft` and `dpo` of torch_impl: numpy_ref/training's, with PyTorch's learners. In reading order:

options     numpy_ref's options, and those of device, engine and pretrained models
command     the three commands, on a device, in one process or several
python      `train_reward_model`: the command from Python
"""
