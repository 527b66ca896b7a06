"""Formulas as Unicode text."""

from __future__ import annotations

import unicodedata
from typing import Any

import numpy as np

from autodiff.derivation.notation import (
    Call,
    Expr,
    Number,
    Symbol,
)
from autodiff.derivation.writer import Block, Grid, Inline, Line, Lines, Paragraph, Title, Writer, few, short

SUBSCRIPTS = dict(zip("0123456789aehijklmnoprstuvxβγρφχ+-", "₀₁₂₃₄₅₆₇₈₉ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓᵦᵧᵨᵩᵪ₊₋", strict=True))
SUPERSCRIPTS = dict(zip("0123456789-−in", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁻ⁱⁿ", strict=True))
COMBINING = {"hat": "\u0302", "bar": "\u0304", "tilde": "\u0303"}
WIDTH = 100


class Text(Writer):
    """Unicode: z₁ = x W₁ᵀ + b₁."""

    def symbol(self, x: Symbol) -> str:
        """A letter with raised and lowered signs, as far as Unicode has them."""
        base = printable(x.base)
        if x.accent:
            base = unicodedata.normalize("NFC", base + COMBINING[x.accent])
        sub = ",".join(self.symbol(s) if isinstance(s, Symbol) else printable(s) for s in x.sub)
        return base + lowered(sub)

    def number(self, x: Any) -> str:
        """A number; a power of ten as such."""
        text = short(x)
        mantissa, e, exponent = text.partition("e")
        if not e:
            return text
        power = "10" + "".join(SUPERSCRIPTS[c] for c in exponent)
        return power if mantissa == "1" else f"{mantissa}·{power}"

    def matrix(self, x: Any) -> str:
        """Rows between brackets, with semicolons between them."""
        rows = x if x.ndim > 1 else x[None]
        return "[" + "; ".join(" ".join(map(few, np.ravel(row))) for row in rows) + "]"

    def words(self, text: str) -> str:
        """As they are."""
        return text

    def sign(self, sign: str, unary: bool = False) -> str:
        """With spaces around."""
        return sign if unary else f" {sign} "

    def row(self, parts: list[str]) -> str:
        """Nothing between."""
        return "".join(parts)

    def beside(self, parts: list[str]) -> str:
        """A space between."""
        return " ".join(parts)

    def parentheses(self, text: str) -> str:
        """(text)."""
        return f"({text})"

    def brackets(self, text: str) -> str:
        """[text]."""
        return f"[{text}]"

    def fraction(self, top: str, bottom: str) -> str:
        """top/bottom."""
        return f"{top}/{bottom}"

    def power(self, base: str, exponent: Expr) -> str:
        """xⁿ, or x^(...)."""
        text = self.formula(exponent)
        if isinstance(exponent, Number) and all(c in SUPERSCRIPTS for c in text):
            return base + "".join(SUPERSCRIPTS[c] for c in text)
        return f"{base}^{text}" if len(text) == 1 else f"{base}^({text})"

    def transpose(self, text: str) -> str:
        """Xᵀ."""
        return f"{text}ᵀ"

    def call(self, x: Call, name: str, args: list[str]) -> str:
        """f(x), f′(x), f[note](x)."""
        note = f"[{x.note}]" if x.note else ""
        return f"{name}{'′' * x.primes}{note}({', '.join(args)})"

    def fenced(self, role: str, text: str) -> str:
        """√(x), |x|, ‖x‖."""
        return {"root": f"√{text}" if text.isalnum() else f"√({text})", "abs": f"|{text}|", "norm": f"‖{text}‖"}[role]

    def big_sum(self, sign: str, index: str, body: str) -> str:
        """Σₛ body."""
        return f"{sign}{lowered(index, '_')} {body}"

    def part(self, body: str, index: str) -> str:
        """x[index]."""
        return f"{body}[{printable(index)}]"

    def subscript(self, body: str, letters: str) -> str:
        """xᵢⱼ."""
        return body + lowered(letters)

    def partial(self, top: str, bottom: str) -> str:
        """∂y/∂x."""
        return f"∂{top}/∂{bottom}"

    def inline(self, parts: tuple[Inline, ...]) -> str:
        """Words and formulas."""
        return "".join(part if isinstance(part, str) else self.formula(part) for part in parts)

    def document(self, blocks: list[Block]) -> str:
        """Headings, and equations aligned at their signs."""
        out: list[str] = []
        for block in blocks:
            match block:
                case Title(title):
                    text = printable(title)
                    out += ["", text] if out else [text]
                case Paragraph(parts):
                    out += wrapped(self.inline(parts))
                case Lines(lines):
                    out += self.aligned(lines)
                case Grid(head, rows):
                    out += columns([head, *rows])
        return "\n".join(out)

    def aligned(self, lines: tuple[Line, ...]) -> list[str]:
        """Equations under each other, remarks in a column where they fit."""
        rows = [(self.formula(line.left), line.sign, " = ".join(map(self.formula, (line.right, *line.more))),
                 self.inline(line.remarks)) for line in lines]
        left = max(shown(row[0]) for row in rows)
        right = max((shown(row[2]) for row in rows if row[3] and shown(row[2]) < 52), default=0)
        return [f"  {padded(a, left, before=True)} {sign} {padded(b, right) if remark else b}"
                f"{'   ' + remark if remark else ''}".rstrip() for a, sign, b, remark in rows]


def printable(text: str) -> str:
    """A name in one line: control characters are shown as such."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def lowered(text: str, otherwise: str = "_") -> str:
    """As subscripts, where Unicode has them all; else after an underscore."""
    if not text:
        return ""
    plain = "".join(next((c for c, low in SUBSCRIPTS.items() if low == sign), sign) for sign in text)
    compact = plain.replace(", ", "").replace(",", "")
    if all(c in SUBSCRIPTS for c in compact) and "," not in text and not (compact.isalpha() and len(compact) > 2):
        return "".join(SUBSCRIPTS[c] for c in compact)
    return otherwise + (plain if len(compact) == len(plain) else f"({plain})")


def shown(text: str) -> int:
    """How wide a text is."""
    return sum(not unicodedata.combining(c) for c in text)


def padded(text: str, width: int, before: bool = False) -> str:
    """A text filled up with spaces."""
    fill = " " * max(0, width - shown(text))
    return fill + text if before else text + fill


def wrapped(text: str) -> list[str]:
    """A paragraph in lines, indented."""
    lines, line = [], ""
    for word in text.split(" "):
        if line and shown(line) + shown(word) >= WIDTH:
            lines.append(f"  {line}")
            line = word
        else:
            line = f"{line} {word}" if line else word
    return [*lines, f"  {line}"]


def columns(rows: list[tuple[str, ...]]) -> list[str]:
    """A table: the first column to the left, numbers to the right."""
    widths = [max(shown(row[k]) for row in rows) for k in range(len(rows[0]))]
    return ["  " + "  ".join(padded(cell, width, before=k > 0) for k, (cell, width) in
                             enumerate(zip(row, widths, strict=True))).rstrip() for row in rows]
