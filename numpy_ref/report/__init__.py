"""The command `report`: what preference files hold, and what in them would mislead training. In reading order:

rows        reads the rows of all files into arrays of hashes, lengths and flags
relations   finds repeated pairs, pairs in both orders, cycles, and what files share
ceiling     the best scores that repeated labels allow, and the longer-wins baseline
findings    what would mislead training, each finding as a sentence with its lines
measures    the numbers of one file, and the report as JSON
text        the report as text
figure      the report as a picture
command     the options of `report`, and how it runs
"""
