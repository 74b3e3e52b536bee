"""From preference files to arrays of token ids. In reading order:

preference      one prompt with its responses, ranks and margin
reader          a file's preferences, one after the other; its helpers by the shape of a row:
                row, ranked, conversation, parquet, whole_files
tokenizer       words, bytes or token ids; the text layout bos, prompt, sep, response, eos
tokens          many preferences as flat arrays of ids, filtered and paired
cache           a large file's tokens, kept on disk and mapped into memory
source          what the options of a training name: files, datasets or the built-in world
world           the built-in preference world, whose true rewards are known
responses       all responses to one prompt of that world, with their exact probabilities
held_out        what is held out of training
summary         what was kept and left out, in words
rows            Python dicts in place of a file
"""
