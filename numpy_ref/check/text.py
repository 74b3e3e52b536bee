"""The verdict as text for people, as Gradescope's results.json, and as JUnit XML."""

import json
import re
import xml.etree.ElementTree as ET
from itertools import groupby
from textwrap import wrap
from typing import Any

from ..files import write_text
from .functions import FUNCTIONS
from .laws import LAWS
from .mistakes import CATALOGUE
from .properties import PROPERTIES
from .search import EXAMPLES


def details(result, said=()):
    """The lines below a property that did not pass; of a mistake in `said`, only the name"""
    lines = [result.sentence] if result.status == "failed" else []
    if result.counterexample:
        lines.append(f"smallest counterexample found: {result.counterexample['call']}")
        if result.counterexample["expected"]:
            lines += [f"expected: {result.counterexample['expected']}", f"got:      {result.counterexample['got']}"]
    name, hint = result.mistake
    again = (
        f"known mistake: the same ({name})"
        if result.mistake in said
        else f"known mistake: {name}{_evidence(result)}. {hint}"
    )
    return lines + ([again] if name else [])


def _evidence(result):
    count = f" (as on {result.explained} of {result.explained} inputs)"
    return count if result.explained > 1 else ""


def score(results):
    """The points: one for each property that holds"""
    return sum(result.status == "passed" for result in results)


def wrapped(sentence):
    """A sentence below its property, within 80 columns"""
    return wrap(sentence, 80, initial_indent=14 * " ", subsequent_indent=16 * " ", break_on_hyphens=False)


def text(results, notes):
    """The report for people: one line for each property, and below it what went wrong"""
    lines = [f"note: {note}" for note in notes]
    for name, group in groupby(results, key=lambda result: result.function):
        of_function = list(group)
        lines.append(f"{name}: {score(of_function)} of {len(of_function)} points")
        said, hints = "", set[Any]()
        for result in of_function:
            lines.append(f"  {result.status:<11} {result.statement}{_aside(result, said)}")
            said = result.sentence
            for line in details(result, hints):
                values = line.startswith(("smallest counterexample", "expected:", "got:"))  # unwrapped, to be copied
                lines += [f"{14 * ' '}{line}"] if values else wrapped(line)
            hints.add(result.mistake)
    return "\n".join([*lines, f"score: {score(results)} of {len(results)} points"])


def _aside(result, said):
    """In brackets: why a property was not reached, or how many inputs were tried if the code is slow; else "" """
    if result.status == "not reached":
        return f" ({result.sentence})" if result.sentence != said else ""
    if result.status == "passed" and result.tried < EXAMPLES:
        return f" ({result.tried} of {EXAMPLES} inputs were tried: the code is slow)"
    return ""


def gradescope(results, notes):
    """The results as Gradescope's JSON: https://gradescope-autograders.readthedocs.io/en/latest/specs/"""
    tests = [
        {
            "name": f"{result.function}: {result.statement}",
            "number": str(number),
            "score": float(result.status == "passed"),
            "max_score": 1.0,
            "status": "passed" if result.status == "passed" else "failed",
            "output": "\n".join(
                details(result) or [result.status + (f": {result.sentence}" if result.sentence else "")]
            ),
            "tags": [result.function, result.status, *([result.mistake[0]] if result.mistake[0] else [])],
            "visibility": "visible",
        }
        for number, result in enumerate(results, 1)
    ]
    return json.dumps(
        {
            "score": float(score(results)),
            "execution_time": round(sum(result.seconds for result in results), 3),
            "output": "\n".join(notes),
            "visibility": "visible",
            "stdout_visibility": "hidden",
            "tests": tests,
        },
        indent=2,
        ensure_ascii=False,
    )


def junit(results, notes):
    """The results as JUnit XML: a test case for each property"""
    counts: dict[str, str] = {
        "tests": str(len(results)),
        "failures": str(sum(result.status == "failed" for result in results)),
        "errors": "0",
        "time": f"{sum(result.seconds for result in results):.3f}",
    }
    root = ET.Element("testsuites", {"name": "check"} | counts)
    skipped = str(sum(result.status == "not reached" for result in results))  # the schema allows it in the suite only
    suite = ET.SubElement(root, "testsuite", {"name": "check", "skipped": skipped} | counts)
    for result in results:
        case = ET.SubElement(
            suite, "testcase", classname=result.function, name=result.statement, time=f"{result.seconds:.3f}"
        )
        if result.status == "failed":
            message = printable(result.sentence)
            ET.SubElement(case, "failure", message=message).text = printable("\n".join(details(result)))
        elif result.status == "not reached":
            ET.SubElement(case, "skipped", message=printable(result.sentence))
    if notes:
        ET.SubElement(suite, "system-out").text = printable("\n".join(notes))
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True)


def printable(words):
    """The words with ? for the characters that XML 1.0 does not allow"""
    return re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "?", words)


def write(path, content):
    """Writes a report as a whole file; "-" is the standard output"""
    write_text(path, content + "\n")


def index(names):
    """The text of --list: one line for each function"""
    width = max(map(len, names))
    lines = [f"{name:<{width}}  {FUNCTIONS[name].statement.split(',  ')[0]}" for name in names]
    return "\n".join(line if len(line) <= 80 else line[:77] + "..." for line in lines)


def published(names):
    """The text of --list NAME: everything about these functions and laws, within 80 columns"""
    blocks = []
    for name in names:
        head, said = about_law(name) if name in LAWS else about_function(FUNCTIONS[name])
        blocks.append("\n".join([*indented("", head), *(line for fact in said for line in indented(*fact))]))
    return "\n\n".join(blocks)


def indented(title, sentence):
    """Lines of at most 80 columns; a formula, the part between two separators, stays on one line if it fits"""
    parts = re.split(r"(; |,  )", sentence)
    parts[::2] = [part.replace(" ", "\0") if len(part) <= 66 else part for part in parts[::2]]
    start = f"    {title:<8}" if title else ""
    lines = wrap("".join(parts), 80, initial_indent=start, subsequent_indent=12 * " ", break_on_hyphens=False)
    return [line.replace("\0", " ") for line in lines]


def about_function(function):
    """(its signature, (title, sentence) of each fact)"""
    facts = [("shapes", function.shapes), ("says", function.statement)]
    if function.option:
        facts.append(("or", f"pairwise_loss with the keyword {' or '.join(function.option)}"))
    if function.forward:
        facts.append(("or", f"{function.name}(dout, cache), the cache from {function.forward} -> (out, cache)"))
    facts += [("checks", prop.statement) for prop in PROPERTIES[function.name]]
    known = dict.fromkeys(mistake.name for mistake in CATALOGUE[function.name])
    return function.signature, [*facts, ("knows", f"{len(known)} mistakes: {'; '.join(known)}")]


def about_law(name):
    """(its signature, (title, sentence) of each fact)"""
    judged = FUNCTIONS[LAWS[name].of]
    signature = f"{name}({', '.join([*judged.arguments, *judged.results])}) -> True or False"
    says = f"whether {', '.join(judged.results)} may be what {judged.name} gives"
    return signature, [("says", says), *(("checks", statement) for statement in LAWS[name].statements)]
