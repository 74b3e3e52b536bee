"""The submission's own process: nothing in this folder imports the rest of the project. In reading order:

run         the file that the process runs: requests in, answers out, one line of JSON each
isolation   limits and namespaces; a parent that only waits
ours        what a submission may import from this project, under today's names and those of version 0.1.0
statements  a cell or file cut into statements; which of them a function needs
loader      runs these statements
host        finds the published functions and calls them
adapt       the calling conventions: names, keywords, caches, tensors, layouts
wire        values to JSON and back
"""
