"""What a preference file would teach, and what in it would mislead: `report`. In reading order:

rows, relations     the rows of all files as arrays; pairs in both orders, cycles, what files share
findings, ceiling   what misleads, with its lines; what repeated labels allow at best
measures, text, figure, command     the numbers, the words, the picture, the command
"""
