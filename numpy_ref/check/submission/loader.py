"""Runs a submission: only the statements that the wanted functions need, all statements, or only definitions."""

import ast
import linecache
import sys
import traceback
import types

from .statements import after_the_check, borrowed, described, future_flags, is_check, is_definition, needed, parse

STAGES = "needed", "all", "definitions"


RUN = "time", "timeit", "capture", "prun"  # magics that run their line or body as Python


class Stub:
    """IPython's `get_ipython()`: every magic is inert"""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *_, **__: None


class Loader:
    """Runs a submission's statements in its module and keeps notes of what failed"""

    def __init__(self, module, forbid=lambda _: None):
        self.module, self.labels, self.flags, self.forbid = module, set(), 0, forbid
        self.notes: list[str] = []
        self.broken: dict[str, str] = {}
        self.module.__dict__.setdefault("get_ipython", Stub)

    def load(self, blocks, stage, published, wanted=()):
        """{defined, lent, broken, notes, failed}; `failed` says why the needed statements alone do not suffice"""
        sys.modules[self.module.__name__] = self.module
        statements = self.read(blocks)
        late = after_the_check(statements, wanted or published)
        statements = [statement for place, statement in enumerate(statements) if place not in late]
        lent = borrowed(statements)
        found = {name for s in statements for name in s.binds} - set(lent)
        wanted = [name for name in wanted or published if name in found | set(self.broken)] or list(wanted)
        self.forbid(wanted)
        chosen, failed = self.choose(statements, stage, wanted or list(published)), ""
        for statement in chosen:
            problem = self.execute(statement.node, statement.label)
            if problem and not (stage == "needed" and is_check(statement.node)):
                failed = failed or problem
                self.notes.append(f"at the top level a statement {problem}; it was left out")
        if stage == "needed":
            failed = failed or self.absent(chosen, statements)
        lent = {name: f"is imported from {home}: write it yourself" for name, home in lent.items()}
        return {
            "defined": sorted(found),
            "lent": lent,
            "broken": self.broken,
            "notes": self.notes[:10],
            "failed": failed,
        }

    def read(self, blocks):
        """The statements of all blocks; a part that does not parse becomes a note"""
        statements = []
        for label, source in blocks:
            self.labels.add(label)
            linecache.cache[label] = len(source), None, source.splitlines(True), label  # for torch.jit.script
            nodes, errors = parse(label, source)
            for names, sentence in errors:
                self.broken |= dict.fromkeys(names, sentence)
                self.notes.append(sentence)
            self.flags |= future_flags(nodes)
            statements += [described(node, label) for node in unwrapped(nodes, label)]
        return statements

    def choose(self, statements, stage, wanted):
        """The statements that are run at this stage"""
        if stage == "definitions":
            return [s for s in statements if is_definition(s.node)]
        return [statements[i] for i in needed(statements, wanted)] if stage == "needed" else statements

    def absent(self, chosen, statements):
        """Why the needed statements do not suffice: they use a name that only others make; "" if they suffice"""
        uses = set().union(*(s.uses for s in chosen)) if chosen else set()
        made = set().union(*(s.binds | s.global_in for s in statements))
        lost = [n for n in sorted(uses & made) if n not in self.module.__dict__ and n not in _typing_only(statements)]
        return f"needs {lost[0]}, which they do not make" if lost else ""

    def execute(self, node, label):
        """Runs one statement; None, or a description of what went wrong"""
        try:
            tree = ast.Module([node], [])
            exec(compile(tree, label, "exec", self.flags, dont_inherit=True), self.module.__dict__)
        except BaseException as error:
            return describe(error, self.labels)[1]
        return None


def unwrapped(nodes, label):
    """Replaces get_ipython().run_cell_magic('time', '', body) and run_line_magic('time', line) by body and line"""
    for node in nodes:
        call = node.value if isinstance(node, ast.Expr) else None
        if isinstance(call, ast.Call) and ast.unparse(call.func).startswith("get_ipython().run_"):
            name, *_, body = (getattr(argument, "value", "") for argument in call.args)
            yield from (unwrapped(parse(label, body)[0], label) if name in RUN else [])
        else:
            yield node


def _typing_only(statements):
    """Names that `if TYPE_CHECKING:` binds, for type checkers alone"""
    tests = [s for s in statements if isinstance(s.node, ast.If) and "TYPE_CHECKING" in ast.unparse(s.node.test)]
    return set().union(*(s.binds for s in tests)) if tests else set()


def describe(error, labels):
    """(the exception's name, what happened in a few words with the submission's own line)"""
    kind, text = type(error).__name__, " ".join(str(error).split())[:300]
    frames = traceback.extract_tb(error.__traceback__)
    lines = [f"{f.filename}, line {f.lineno}" for f in frames if f.filename in labels]
    where = f" ({lines[-1]})" if lines else ""
    if isinstance(error, MemoryError):
        return "MemoryError", f"asked for more memory than a submission may have{where}"
    if isinstance(error, SystemExit):
        return kind, f"called exit({text}){where}: a function must return instead"
    if isinstance(error, NotImplementedError):
        return kind, f"is not written yet: it raises NotImplementedError{where}"
    return kind, f"raised {kind}{': ' + text if text else ''}{where}"


def fresh():
    """An empty module for a submission, with the `display` of a notebook, which does nothing here"""
    module = types.ModuleType("submission")
    module.__dict__["display"] = lambda *_, **__: None
    return module
