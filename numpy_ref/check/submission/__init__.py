"""The submission's own process: nothing in this folder imports the rest of the project. In reading order:

run         the file that the process runs: one line of JSON for each request and each answer
isolation   limits the process's memory, and its access to the network and to files
ours        what a submission may import from this project, under today's names and those of version 0.1.0
statements  cuts a cell or file into statements and finds those that a function needs
loader      runs these statements
host        finds the published functions and calls them
adapt       adapts a call to how a function was written: names, keywords, caches, tensors, layouts
wire        values to JSON and back
"""
