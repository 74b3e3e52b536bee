"""From preference files to arrays of token ids. In reading order:

preference      one prompt with its responses, ranks and margin
reader          reads the preferences of a file or a dataset one by one, with the help of the next five modules
row             checks one row and names its format
ranked          checks a ranked list in one row
conversation    finds where the prompt ends and the responses begin
parquet         rows of Parquet files and of Hugging Face datasets
whole_files     rows of JSON arrays and CSV tables, which are read as a whole
tokenizer       words, bytes or token ids; the text layout bos, prompt, sep, response, eos
tokens          many preferences as flat arrays of ids, filtered and paired
cache           a large file's tokens, kept on disk and mapped into memory
source          reads the files or datasets that the options of a training name, through the cache
world           the built-in preference world, whose true rewards are known
responses       all responses to one prompt of that world, with their exact probabilities
held_out        held-out data, and the data of the built-in world as token ids
summary         reports how many rows were kept, and why others were left out
rows            accepts Python dicts in place of a file
"""
