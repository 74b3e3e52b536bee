"""The reward model in plain NumPy, every gradient derived by hand. Reading order:

losses -> layers -> attention -> transformer -> reward_model      the heart, in one sitting
optim -> world -> tokenizer -> batches -> train                   training it
gradient_check                                                    how we know that it is right
"""
