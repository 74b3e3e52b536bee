"""Is anybody's gradient, loss or metric right? `python -m numpy_ref check FILE`, and `check` in a notebook.

functions       what can be checked, and what each function must do
properties, cases, oracles    the properties, the inputs they are tried on, the right answers
search, judge   the search for a counterexample; the verdict on one function
diagnosis, mistakes, mutants    the name of the mistake: a catalogue, and slips of the pen
laws            laws that a reader writes, tried on right and wrong code
source, sandbox, host, wire, values    a submission is read, and run in a process of its own
cell, command, text    the face in a notebook, the command, its report

Nothing is imported here: the process that runs a submission must not hold the right answers.
"""
