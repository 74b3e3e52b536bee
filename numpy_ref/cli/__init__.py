"""What all commands share. In reading order:

main        parses the command line, turns errors that the user can fix into one sentence, and sets the exit status
options     a command's options as one frozen dataclass
memory      how much memory is free, checked before large arrays are made
text        tables, wide letters, lines of at most 80 columns, the progress bar, and an output pipe that is closed early
"""
