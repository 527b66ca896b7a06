"""A long program as several functions: Python takes more than linear time to compile one with many views.

Each part makes the views that it needs and is a function in them, as the whole is. What later parts read of a part it
returns, and they are given.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from autodiff.naming import free

INDENT = "    "
GAP = "\n\n\n"                   # between functions
LONG = 1_000                     # lines of one function
WORD = re.compile(r"[^\W\d]\w*")
GIVES = re.compile(r" *(\w+) = ")
OWN = re.compile(r"\w+ = (?:empty|scratch|array)\(")       # memory of its own, which all parts must share


@dataclass
class Part:
    """Some lines, and the names in them.

    Attributes
    ----------
    lines : list of str
        What it runs.
    reads : dict of str to None
        The words in them, in order.
    gives : list of str
        The names that they define and something later reads.
    """

    lines: list[str]
    reads: dict[str, None] = field(default_factory=dict)
    gives: list[str] = field(default_factory=list)


def parted(lines: list[str]) -> list[Part]:
    """Lines in parts of about one length; what is indented stays with what it belongs to."""
    parts: list[Part] = [Part([])]
    for line in lines:
        if len(parts[-1].lines) >= LONG and not line.startswith(" "):
            parts.append(Part([]))
        parts[-1].lines.append(line)
    for part in parts:
        part.reads = words(part.lines)
    return parts


def words(lines: Iterable[str]) -> dict[str, None]:
    """The words in some lines, in order; comments left out."""
    return dict.fromkeys(word for line in lines for word in WORD.findall(line.partition("  #")[0]))


def in_parts(captured: list[str], arguments: list[str], bound: list[str], lines: list[str], results: list[str],
             used: dict[str, int]) -> str:
    """The text of ``bind`` for a long program.

    Parameters
    ----------
    captured, arguments : list of str
        What `bind` takes beside the memory, and what `step` takes.
    bound, lines : list of str
        What they run.
    results : list of str
        What `step` returns.
    used : dict of str to int
        Names that are taken.
    """
    own = [line for line in bound if OWN.match(line)]
    views = {name_of(line): line for line in bound if not OWN.match(line)}
    outside = ["memory", *captured, *map(name_of, own)]
    shows = {name: words([line.partition(" = ")[2]]) for name, line in views.items()}
    parts = parted(lines)
    last = words(results)
    found = handed_on(parts, last)
    kept = [free(f"kept_{k + 1}", used) for k in range(len(parts))]
    unpacked = {name: f"{name} = {kept[k]}[{i}]" for name, (k, i) in found.items()}
    text: list[str] = []
    binds: list[str] = []
    calls: list[str] = []
    for k, part in enumerate(parts):
        needed = behind(part.reads, shows)
        taken = ", ".join(name for name in outside if name in needed)
        before = [name for name in part.reads if name in found and found[name][0] < k]
        given = ", ".join([*[name for name in arguments if name in part.reads],
                           *dict.fromkeys(kept[found[name][0]] for name in before)])
        bind, run = free(f"bind_{k + 1}", used), free(f"part_{k + 1}", used)
        ran = [*[unpacked[name] for name in before], *part.lines]
        if part.gives:
            ran.append(f"return {', '.join(part.gives)},")
        text += [f"def {bind}({taken}):", *(INDENT + views[name] for name in views if name in needed), "",
                 f"{INDENT}def part({given}):", *(2 * INDENT + line for line in ran), "",
                 f"{INDENT}return part", "", ""]
        binds.append(f"{run} = {bind}({taken})")
        calls.append(f"{f'{kept[k]} = ' if part.gives else ''}{run}({given})")
    calls += [unpacked[name] for name in last if name in found]
    needed = behind(last, shows)
    seen = [views[name] for name in views if name in needed]
    calls.append(f"return {', '.join(results)}{',' if len(results) == 1 else ''}" if results else "return ()")
    text += [f"def bind({', '.join(['memory', *captured])}):", *(INDENT + line for line in (*own, *seen, *binds)), "",
             f"{INDENT}def step({', '.join(arguments)}):", *(2 * INDENT + line for line in calls), "",
             f"{INDENT}return step, None"]
    return "\n".join(text) + "\n"


def handed_on(parts: list[Part], last: Iterable[str]) -> dict[str, tuple[int, int]]:
    """Where to find what is read after the part that defines it: the number of that part, and of what it returns."""
    made_by: dict[str, int] = {}
    found: dict[str, tuple[int, int]] = {}
    for k, reads in enumerate([*[part.reads for part in parts], last]):
        for name in reads:
            of = made_by.get(name, k)
            if of < k and name not in found:
                found[name] = of, len(parts[of].gives)
                parts[of].gives.append(name)
        for line in parts[k].lines if k < len(parts) else ():
            if given := GIVES.match(line):
                made_by.setdefault(given[1], k)
    return found


def defined(text: str, namespace: dict[str, Any]) -> None:
    """Define the functions of a text, one after the other: together they take Python longer."""
    line = 0
    for piece in text.split(GAP):
        exec(compile("\n" * line + piece, "<compiled>", "exec"), namespace)
        line += piece.count("\n") + len(GAP)


def name_of(line: str) -> str:
    """The name that a line defines."""
    return line.partition(" = ")[0]


def behind(reads: Iterable[str], shows: dict[str, dict[str, None]]) -> set[str]:
    """Some words, and all that the views among them show."""
    found: set[str] = set()
    pending = list(reads)
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            pending += shows.get(name, ())
    return found
