"""The API reference, made from the docstrings, which show as they are written."""

import importlib
import pkgutil

PACKAGES = "numpy_ref", "torch_impl"


def modules():
    """{name: module} of both packages, the packages themselves first"""
    found = {}
    for package in PACKAGES:
        found[package] = importlib.import_module(package)
        for part in pkgutil.walk_packages(found[package].__path__, f"{package}."):
            if not part.name.endswith("__main__"):
                found[part.name] = importlib.import_module(part.name)
    return found


def page_of(name):
    """The page of a module: its own at the top level, its folder's elsewhere"""
    return ".".join(name.split(".")[:2])


def write_reference(folder, found, lessons_of):
    """api/index.md and the pages        lessons_of: {file of a module: [(title, page) of a lesson]}"""
    folder.mkdir()
    sections: dict[str, list] = {}
    for name, module in found.items():
        lessons = [f":doc:`{title} </{page}>`" for title, page in lessons_of.get(file_of(name, module), [])]
        sections.setdefault(page_of(name), []).append(section(name, lessons, "=" if name == page_of(name) else "-"))
    for name, parts in sections.items():
        (folder / f"{name}.rst").write_text("\n".join(parts), encoding="utf-8")
    lines = [
        "# API reference",
        "",
        "Made from the docstrings: the top level is the book, a folder is one capability.",
        "",
    ]
    for package in PACKAGES:
        names = [name for name in sections if name.split(".")[0] == package]
        lines += [f"## {package}", "", "| module | |", "|---|---|", *(row(name, found[name]) for name in names), ""]
    lines += ["```{toctree}", ":hidden:", ":titlesonly:", "", *sections, "```", ""]
    (folder / "index.md").write_text("\n".join(lines), encoding="utf-8")


def file_of(name, module):
    """numpy_ref/losses.py, numpy_ref/data/__init__.py"""
    return name.replace(".", "/") + ("/__init__.py" if hasattr(module, "__path__") else ".py")


def row(name, module):
    first = module.__doc__.strip().splitlines()[0].replace("|", r"\|").replace("<", r"\<").replace("*", r"\*")
    return f"| [{name}]({name}.rst) | {first} |"


def section(name, lessons, underline):
    explained = ["Explained in " + ", ".join(lessons) + ".", ""] if lessons else []
    return "\n".join([name, underline * len(name), "", *explained, f".. automodule:: {name}", ""])


def as_written(_app, _what, _name, _object, _options, lines):
    """autodoc-process-docstring: formulas stand in columns, so every docstring is shown as it is written"""
    if any(lines):
        lines[:] = [".. code-block:: text", "   :class: docstring", "", *(f"   {line}" for line in lines), ""]


def is_noise(_app, _what, _name, member, skip, _options):
    """autodoc-skip-member: skips a docstring that Python itself writes for a field of a NamedTuple"""
    return skip or str(getattr(member, "__doc__", "")).startswith("Alias for field number")
