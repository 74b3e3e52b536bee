"""Is anybody's gradient, loss or metric right? `python -m numpy_ref check FILE`, and `check` in a notebook.

functions       what can be checked, and what each function must do
properties, cases, oracles    the properties, the inputs they are tried on, the right answers
search, values, judge   inputs from a seed, smaller ones; is an answer right; the verdict on one function
diagnosis, mistakes, mutants    the name of the mistake: a catalogue, and slips of the pen
laws            laws that a reader writes, tried on right and wrong code
source, sandbox, submission    a submission is read, and runs in a process of its own
cell, command, text    the face in a notebook, the command, its report

To add a function: its line in `functions`, its answer in `oracles` (float64, published signature), its `Property` rows
in `properties` (the formula on ordinary values first: nothing else counts before it holds; inputs from `cases`), and
its known mistakes in `mistakes`. A law: a row in `laws`. tests/check holds the tables together.

Nothing is imported here: the process that runs a submission must not hold the right answers.
"""
