"""The verdict as text for people, as Gradescope's results.json, and as JUnit XML."""

import json
import re
import xml.etree.ElementTree as ET
from itertools import groupby
from textwrap import wrap

from ..files import write_text
from .functions import FUNCTIONS
from .mistakes import CATALOGUE
from .properties import PROPERTIES


def details(result):
    """The lines below a property that did not pass"""
    lines = [result.sentence] if result.status == "failed" else []
    if result.counterexample:
        lines.append(f"smallest counterexample found: {result.counterexample['call']}")
        if result.counterexample["expected"]:
            lines += [f"expected: {result.counterexample['expected']}", f"got:      {result.counterexample['got']}"]
    name, hint = result.mistake
    return lines + ([f"known mistake: {name}. {hint}"] if name else [])


def score(results):
    return sum(result.status == "passed" for result in results)


def wrapped(sentence):
    """A sentence below its property, within 80 columns"""
    return wrap(sentence, 80, initial_indent=14 * " ", subsequent_indent=16 * " ", break_on_hyphens=False)


def text(results, notes):
    lines = [f"note: {note}" for note in notes]
    for name, group in groupby(results, key=lambda result: result.function):
        of_function = list(group)
        lines.append(f"{name}: {score(of_function)} of {len(of_function)} points")
        said = ""
        for result in of_function:
            why = f" ({result.sentence})" if result.status == "not reached" and result.sentence != said else ""
            said = result.sentence
            lines.append(f"  {result.status:<11} {result.statement}{why}")
            for line in details(result):
                values = line.startswith(("smallest counterexample", "expected:", "got:"))  # whole, to be copied
                lines += [f"{14 * ' '}{line}"] if values else wrapped(line)
    return "\n".join([*lines, f"score: {score(results)} of {len(results)} points"])


def gradescope(results, notes):
    """https://gradescope-autograders.readthedocs.io/en/latest/specs/"""
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
    counts: dict[str, str] = {
        "tests": str(len(results)),
        "failures": str(sum(result.status == "failed" for result in results)),
        "errors": "0",
        "skipped": str(sum(result.status == "not reached" for result in results)),
        "time": f"{sum(result.seconds for result in results):.3f}",
    }
    root = ET.Element("testsuites", {"name": "check"} | counts)
    suite = ET.SubElement(root, "testsuite", {"name": "check"} | counts)
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
    """XML 1.0 knows no control characters"""
    return re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "?", words)


def write(path, content):
    """A report as a whole file"""
    write_text(path, content + "\n")


def published(names):
    """What --list prints"""
    lines = []
    for name in names:
        function = FUNCTIONS[name]
        lines += [function.signature, f"    shapes  {function.shapes}", f"    says    {function.statement}"]
        if function.option:
            lines.append(f"    or      pairwise_loss with the keyword {' or '.join(function.option)}")
        if function.forward:
            lines.append(f"    or      {name}(dout, cache), the cache from {function.forward} -> (out, cache)")
        lines += [f"    checks  {prop.statement}" for prop in PROPERTIES[name]]
        names = dict.fromkeys(mistake.name for mistake in CATALOGUE[name])
        lines += [f"    knows   {len(names)} mistakes: {'; '.join(names)}", ""]
    return "\n".join(lines).rstrip()
