"""What all commands share. In reading order:

main        parsing, one sentence and exit status 2 for what the user can put right; status 130 after Ctrl-C, and 141
            where the reader of the screen has left, as with `| head`
options     a command's options as one frozen dataclass
memory      how much is free, asked before arrays are made that may not fit
text        tables, the width of wide letters, wrapping at 80 columns, the progress bar, a reader who leaves
"""
