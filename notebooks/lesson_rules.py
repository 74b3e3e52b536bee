"""How to write a lesson, and what the builder checks: lessons/NN_name.py, in jupytext's percent format.

**Predict, show, assert.** Ask for a guess where it pays. Show the value that matters: a kappa, a gradient beside its
formula, a shape, the loss before and after, a small table. Assert the relation in the same cell or in the next code
cell, so that it stays true. A lesson shows at least ten values: an output of text that holds a number counts as one,
a table too. Show with `print`, or with `table(rows, headings)` of `numpy_ref.figures.notebook` as the last expression.
Round: six digits at most, so that every machine shows the same. No address, no time, no path, no progress bar.

- One idea a cell: a markdown cell of at most four sentences, then one code cell of at most twelve lines, blank lines
  and solution markers not counted.
- The first cell: the title `# N · Title`, what the reader will be able to do, what must be known, the minutes. The next
  one is code: imports.
- The end, in this order: "What you can now assert" and the last code cell, which asserts it; `## Three questions`, each
  the <summary> of the <details> that folds its answer; `## Where to read on`, with a link such as
  [numpy_ref/losses.py](../numpy_ref/losses.py) to each file that the lesson explains.
- No line of a paragraph begins with "- ", "+ ", "* " or "1. ": there Markdown begins a list, and cuts a formula in two.
- A derivation takes the cells it needs and skips no step: what is used, the line, and the assert that checks it. What
  is not derived is cited, and the text says so.
- Write for a student in the second year, in plain English, and read it aloud once. Name units (log-odds, nats) and
  sources (paper, equation). Quote others exactly and link the source, or hedge.
- Pictures: `numpy_ref.figures.lessons`, or `picture(draw, title, xlabel, ylabel, alt)` and
  `Explorable("figure.html", picture)` of `numpy_ref.figures.notebook`, as the last expression of the cell. The alt text
  says what is to be seen. An interactive figure is one HTML file in lessons/, with its own browser test.
  Line styles and names, never colour alone; legible at phone width. No pyplot.
- Random numbers come from one `rng = np.random.default_rng(seed)`. An experiment of one seed says so, or is the mean of
  five. No network, no file outside a temporary directory, nothing on stderr, under 90 s. Lesson n needs only lessons
  below n.
- Import torch and torch_impl only in the cells that show them: where torch is missing these cells alone fail, and no
  other cell may use their names.
- An exercise is four cells: markdown `### Exercise 4.1 ★☆☆ · 15 minutes · title` with the task (one to three stars);
  a code cell with one function, whose body alone stands between ### BEGIN SOLUTION and ### END SOLUTION; a check cell,
  exactly `check(its_name)` (`check(f_backward, f)` where a helper is needed); a markdown cell with three
  <details><summary>Hint 1: the idea</summary> ... </details>, then `Hint 2: the first line` and `Hint 3: the whole`.
  No function is asked for twice in the course, and no answer stands above its question. The function must be on the
  published list (`python -m numpy_ref check --list`) or a law of numpy_ref/check/laws.py. A snippet to be repaired is
  an ordinary cell before it, under another name (`margin_loss_backward_with_a_bug`); the stub stays empty: an
  untouched notebook scores zero.
- Never use what an exercise defines outside that exercise: the stripped notebook must run from top to bottom. Import
  modules (`from numpy_ref import losses`) so that the reader's own function may have the project's name.
- The builder adds nbgrader's metadata, points, cell ids, the badge and the installation cell; write none of them.
"""

import re

from numpy_ref.errors import InputError

SOLUTION = re.compile(r"^([ \t]*)### BEGIN SOLUTION\n.*?^[ \t]*### END SOLUTION[ \t]*$", re.S | re.M)
MARKER = re.compile(r"### (BEGIN|END) SOLUTION")
CHECK = re.compile(r"check\((\w+)(, \w+)*\)")
EXERCISE = re.compile(r"### Exercise (\d+\.\d+) (★☆☆|★★☆|★★★) · (\d+) minutes · \S")
TORCH = re.compile(r"^\s*(import|from) torch", re.M)
ROOM = re.compile(r"\]\((\.\./[\w/.]+)\)")  # a link to a file of the project
MISREAD = re.compile(r"^(?![-+*#>|]|\d+\. |  ).+\n(?:[-+*]|1\.) .*", re.M)  # a list cuts its paragraph in two
HINTS = "the idea", "the first line", "the whole"
CELL_LINES, SENTENCES, VALUES, DIGITS = 12, 4, 10, 6


def defined(cell):
    """The name of the function that an exercise asks for"""
    return re.findall(r"^def (\w+)", cell.source, re.M)[-1]


def minutes(notebook):
    """(minutes to read, minutes for all exercises), as the lesson says them"""
    reading = re.search(r"Reading takes\s+about (\d+) minutes", notebook.cells[0].source)
    return int(reading[1]), sum(
        int(EXERCISE.match(cell.source)[3]) for cell in notebook.cells if EXERCISE.match(cell.source)
    )


def broken(name, cell, sentence):
    line = (cell.source.splitlines() or [""])[0]
    return InputError(f"{name}: the cell that begins {line!r} {sentence}")


# ---------------------------------------------------------------- the source


def assert_lesson(name, cells):
    """InputError, with the lesson and the cell, if one of the rules above is broken"""

    def require(holds, cell, sentence):
        if not holds:
            raise broken(name, cell, sentence)

    for cell in cells:
        (assert_code if cell.cell_type == "code" else assert_prose)(cell, require)
    assert_begin_and_end(cells, require)
    for place, cell in enumerate(cells):
        if cell.source.startswith("### Exercise"):
            assert_exercise(cells[place : place + 4], require)
    codes = [cell for cell in cells if cell.cell_type == "code"]
    names = [CHECK.fullmatch(cell.source)[1] for cell in codes if CHECK.fullmatch(cell.source)]
    require(len(set(names)) == len(names), cells[0], "opens a lesson that asks twice for a function of the same name")
    solutions = sum(bool(SOLUTION.search(cell.source)) for cell in codes)
    exercises = sum(cell.source.startswith("### Exercise") for cell in cells)
    require(solutions == exercises, cells[0], f"opens a lesson of {exercises} exercises but {solutions} solutions")


def assert_code(cell, require):
    lines = [line for line in cell.source.splitlines() if line.strip() and not MARKER.search(line)]
    require(len(lines) <= CELL_LINES, cell, f"has {len(lines)} lines; at most {CELL_LINES}: cut it in two")
    markers = MARKER.findall(cell.source)
    require(markers in ([], ["BEGIN", "END"]), cell, "needs one BEGIN SOLUTION and one END SOLUTION, in this order")
    require(bool(markers) == bool(SOLUTION.search(cell.source)), cell, "has a solution marker out of place")


def assert_prose(cell, require):
    """At most four sentences outside <details>, and in each of them; no line that Markdown takes for a list"""
    require(not MISREAD.search(cell.source), cell, "has a line that Markdown takes for a list: put a blank line above")
    for part in re.split(r"</?details>", cell.source):
        count = sentences(part)
        require(count <= SENTENCES, cell, f"has {count} sentences; at most {SENTENCES}: one idea a cell")


def assert_begin_and_end(cells, require):
    codes = [cell for cell in cells if cell.cell_type == "code"]
    require(cells[0].source.startswith("# ") and cells[1] is codes[0], cells[0], "must be the title, imports the next")
    require("assert " in codes[-1].source, codes[-1], "is the last code cell and must assert something")
    require("minutes" in cells[0].source, cells[0], "must say how many minutes the lesson takes")
    questions, onward = cells[-2:]
    asked = re.findall(r"<details><summary>[^<]*(?:<code>[^<]*</code>[^<]*)*[?.]</summary>", questions.source)
    three = questions.source.startswith("## Three questions") and len(asked) == 3
    require(three, questions, "must be '## Three questions', each the <summary> of the <details> that folds its answer")
    linked = onward.source.startswith("## Where to read on") and ROOM.search(onward.source)
    require(linked, onward, "must be '## Where to read on', with a link to a file: [x.py](../numpy_ref/x.py)")


def assert_exercise(cells, require):
    title, stub, check, hint = cells
    require(EXERCISE.match(title.source), title, "must read: ### Exercise 4.1 ★☆☆ · 15 minutes · title")
    require(SOLUTION.search(stub.source), stub, "must hold the solution of the exercise above it")
    graded = CHECK.fullmatch(check.source)
    require(graded and graded[1] == defined(stub), check, f"must be check({defined(stub)})")
    require("<details>" in hint.source and "</details>" in hint.source, hint, "must be a hint in <details>")
    found = re.findall(r"<details>\s*<summary>(.*?)</summary>", hint.source)
    wanted = [f"Hint {number}: {words}" for number, words in enumerate(HINTS, 1)]
    require(found == wanted, hint, f"must hold three hints in <details>: {', '.join(wanted)}")


def sentences(words):
    """How many sentences the prose has; lines of a list, headings, formulas and tags do not count"""
    prose = re.sub(r"\$\$.*?\$\$|\$[^$]*\$|`[^`]*`|<[^>]*>", "x", words, flags=re.S)
    lines = [line for line in prose.splitlines() if not re.match(r"\s*(#|[-*|]|\d+\.) ?", line)]
    return len(re.findall(r"[.?!](?=\s|$)", "\n".join(lines)))


# ---------------------------------------------------------------- what the cells show

LONG = re.compile(r"(?<![\w.])-?\d+\.\d+(?:e[+-]?\d+)?")
FORBIDDEN = {r"0x[0-9a-f]{6}": "an address", r"\d\d:\d\d": "a time", r"it/s|s/it": "a progress bar"}


def shown(cell):
    """The texts that a code cell shows, pictures and the report of a check left out"""
    if cell.cell_type != "code" or CHECK.fullmatch(cell.source):
        return []
    texts = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.outputs
             if "image/png" not in output.get("data", {})]  # fmt: skip
    return [text for text in texts if text.strip()]


def values(notebook):
    """How many values the executed notebook shows: texts with a number; a table counts once"""
    return sum(bool(re.search(r"\d", text)) for cell in notebook.cells for text in shown(cell))


def assert_shown(name, cells):
    """InputError if a value is not rounded, if no assert keeps it true, or if there are fewer than ten values"""
    codes = [cell for cell in cells if cell.cell_type == "code" and not CHECK.fullmatch(cell.source)]
    for cell, following in zip(codes, [*codes[1:], None], strict=True):
        for text in shown(cell):
            assert_text(name, cell, text)
            if re.search(r"\d", text) and not any("assert " in c.source for c in (cell, following) if c):
                raise broken(name, cell, "shows a value that no assert keeps true, here or in the next code cell")
    count = sum(bool(re.search(r"\d", text)) for cell in codes for text in shown(cell))
    if count < VALUES:
        raise InputError(f"{name}: shows {count} values; at least {VALUES}: predict, show, assert")


def assert_text(name, cell, text):
    for pattern, words in FORBIDDEN.items():
        if found := re.search(pattern, text):
            raise broken(name, cell, f"shows {words}: {found[0]}")
    for number in LONG.findall(text):
        if digits(number) > DIGITS:
            raise broken(name, cell, f"shows {number}; round it to {DIGITS} digits at most, the same on every machine")


def digits(number):
    """Significant digits of a decimal number, as written"""
    return len(re.sub(r"e.*|[-.]", "", number).lstrip("0"))
