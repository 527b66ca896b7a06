"""A loop over steps as the text of a plain function: for printed programs, which run as they stand."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from autodiff.naming import free, identifier
from autodiff.program.lines import INDENT, Layout
from autodiff.program.passes import Program
from autodiff.record import Record

if TYPE_CHECKING:
    from autodiff.compiler.steps import Body
    from autodiff.program.embedding import Embedding

RESERVED = ("np", "i", "length", "reverse", "steps")


def step_text(body: Body, name: str, embedding: Embedding) -> str:
    """``def scan(h, xs, W, length, reverse=False): ...``, what the step needs defined within."""
    used = dict.fromkeys(RESERVED, 1)

    def named(r: Record, ending: str = "") -> str:
        return free(identifier((r.name or "c") + ending), used)

    stacks = [named(x, "s") for x in body.xs]
    leaves = {r: named(r) for r in body.leaves}
    outputs = {str(i): y for i, y in enumerate(body.outputs)}
    names = {r: r.name for r in Program(outputs).records if r.op is not None and not isinstance(r.value, tuple)}
    layout = Layout(Program(outputs, {r: label for r, label in names.items() if label}), leaves, used, exact=True)
    embedding.imports.update(layout.embedding.imports)
    k = len(body.carry)
    carry = [leaves[r] for r in body.carry]
    collected = [free(f"{'stack' if i < body.sums else 'terms'}", used) for i in range(k, len(body.outputs))]
    parameters = [*carry, *stacks, *[leaves[r] for r in body.constants], "length", "reverse=False"]
    lines = [f"def {name}({', '.join(parameters)}):"]
    for definition in (*(source for _, source in layout.functions.values()), *layout.embedding.definitions):
        lines += [textwrap.indent(definition, INDENT), ""]
    lines += [f"{INDENT}{', '.join(collected)} = {', '.join('[]' for _ in collected)}"] if collected else []
    lines.append(f"{INDENT}for i in reversed(range(length)) if reverse else range(length):")
    lines += [f"{2 * INDENT}{leaves[x]} = {stack}[i]" for x, stack in zip(body.xs, stacks)]
    lines += [2 * INDENT + line.text.replace("\n", "\n" + 2 * INDENT) for line in layout.lines]
    results = [result(y, layout) for y in body.outputs]
    lines += [f"{2 * INDENT}{place}.append({text})" for place, text in zip(collected, results[k:])]
    moved = [(old, new) for old, new in zip(carry, results) if old != new]
    lines += [2 * INDENT + " = ".join(map(", ".join, zip(*moved)))] if moved else []
    order = "[::-1]" if collected[:body.stacked] else ""
    given = [f"np.stack({stack}{order} if reverse else {stack})" for stack in collected[:body.stacked]]
    given += [f"sum({terms}[1:], start={terms}[0])" for terms in collected[body.stacked:]]
    lines.append(f"{INDENT}return {', '.join([*carry, *given])}{',' if len(body.outputs) == 1 else ''}")
    return "\n".join(lines)


def result(y: Any, layout: Layout) -> str:
    """The text of an output."""
    return layout.arg(y) if isinstance(y, Record) else layout.number(y, None).text


__all__ = ["step_text"]
