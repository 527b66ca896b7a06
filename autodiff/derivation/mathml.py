"""Formulas as presentation MathML (the Core part, which every browser draws), in well-formed XML."""

from __future__ import annotations

import unicodedata
from typing import Any
from xml.sax.saxutils import escape

import numpy as np

from autodiff.derivation.notation import (
    Call,
    Expr,
    Symbol,
)
from autodiff.derivation.writer import Block, Grid, Inline, Lines, Paragraph, Title, Writer, few, short
from autodiff.display.pieces import framed

MARKS = {"hat": "^", "bar": "¯", "tilde": "~"}
ALONE = {"\u0302": "hat", "\u0304": "bar", "\u0303": "tilde"}
SPACE = "http://www.w3.org/1998/Math/MathML"
STYLE = (".derivation{line-height:1.7}.derivation h4{margin:1em 0 .3em!important;font-size:1.08em!important}"
         ".derivation h4:first-child{margin-top:0!important}.derivation p{margin:.2em 0 .2em 1em}"
         ".derivation table{margin-left:1em;border-collapse:collapse;background:none}"
         ".derivation td,.derivation th{padding:.15em .3em;text-align:left;vertical-align:baseline;border:none;"
         "background:none}"
         ".derivation td.left,.derivation td.count,.derivation th.count{text-align:right}"
         ".derivation td.count,.derivation th.count{padding-left:1.5em}"
         ".derivation td.remark{padding-left:2em;opacity:.75}.derivation math{font-size:1.08em}")


class MathML(Writer):
    """MathML."""

    flat_fractions = False

    def symbol(self, x: Symbol) -> str:
        """A letter with its subscripts."""
        base = tag("mi", clean(x.base))
        mark = x.accent
        if len(x.base) == 1:
            plain = unicodedata.normalize("NFD", x.base)
            if len(plain) == 2 and plain[1] in ALONE:
                base, mark = tag("mi", plain[0]), ALONE[plain[1]]
        if mark:
            base = f'<mover accent="true">{base}{tag("mo", MARKS[mark])}</mover>'
        if not x.sub:
            return base
        subs = [self.symbol(s) if isinstance(s, Symbol) else tag("mn" if s.isdigit() else "mi", clean(s))
                for s in x.sub]
        return f"<msub>{base}{group(tag('mo', ',').join(subs))}</msub>"

    def symbol_transposed(self, x: Symbol) -> str:
        """Sub- and superscript above each other."""
        text = self.symbol(x)
        if not x.sub:
            return self.transpose(text)
        return f"<msubsup>{text.removeprefix('<msub>').removesuffix('</msub>')}<mo>⊤</mo></msubsup>"

    def number(self, x: Any) -> str:
        """A number."""
        text = short(x)
        mantissa, e, exponent = text.partition("e")
        if e:
            power = f"<msup>{tag('mn', '10')}{tag('mn', exponent)}</msup>"
            return power if mantissa == "1" else group(tag("mn", mantissa) + tag("mo", "·") + power)
        return group(tag("mo", "−") + tag("mn", text[1:])) if text.startswith("−") else tag("mn", text)

    def matrix(self, x: Any) -> str:
        """A table between parentheses."""
        rows = x if x.ndim > 1 else x[None]
        cells = "".join("<mtr>" + "".join(f"<mtd>{tag('mn', few(v))}</mtd>" for v in np.ravel(row)) + "</mtr>"
                        for row in rows)
        return self.parentheses(f"<mtable>{cells}</mtable>")

    def words(self, text: str) -> str:
        """Upright words."""
        return tag("mtext", clean(text))

    def sign(self, sign: str, unary: bool = False) -> str:
        """An operator."""
        return f'<mo form="prefix">{escape(sign)}</mo>' if unary else tag("mo", sign)

    def row(self, parts: list[str]) -> str:
        """One after the other."""
        return group("".join(parts))

    def beside(self, parts: list[str]) -> str:
        """A thin space between."""
        return group('<mspace width="0.17em"/>'.join(parts))

    def parentheses(self, text: str) -> str:
        """(text)."""
        return group(f"{tag('mo', '(')}{text}{tag('mo', ')')}")

    def brackets(self, text: str) -> str:
        """[text]."""
        return group(f"{tag('mo', '[')}{text}{tag('mo', ']')}")

    def fraction(self, top: str, bottom: str) -> str:
        """A fraction."""
        return f"<mfrac>{group(top)}{group(bottom)}</mfrac>"

    def power(self, base: str, exponent: Expr) -> str:
        """A power."""
        return f"<msup>{group(base)}{group(self.formula(exponent))}</msup>"

    def transpose(self, text: str) -> str:
        """Xᵀ."""
        return f"<msup>{group(text)}<mo>⊤</mo></msup>"

    def call(self, x: Call, name: str, args: list[str]) -> str:
        """f(x)."""
        if x.primes:
            name = f'<msup>{name}<mo lspace="0em" rspace="0em">{"′" * x.primes}</mo></msup>'
        if x.note:
            name = f"<msub>{name}{tag('mtext', clean(x.note))}</msub>"
        return group(name + self.parentheses(tag("mo", ",").join(args)))

    def fenced(self, role: str, text: str) -> str:
        """Root, absolute value, norm."""
        if role == "root":
            return f"<msqrt>{text}</msqrt>"
        bar = f'<mo stretchy="true">{"|" if role == "abs" else "‖"}</mo>'
        return group(bar + text + bar)

    def big_sum(self, sign: str, index: str, body: str) -> str:
        """A sum."""
        sum_ = f"<mo>{'∑' if sign == 'Σ' else escape(sign)}</mo>"
        return group((f"<munder>{sum_}{tag('mi', index)}</munder>" if index else sum_) + body)

    def part(self, body: str, index: str) -> str:
        """x[index]."""
        return group(body + self.brackets(tag("mtext", clean(index))))

    def subscript(self, body: str, letters: str) -> str:
        """With indices."""
        return f"<msub>{group(body)}{group(''.join(tag('mi', c) for c in letters))}</msub>"

    def partial(self, top: str, bottom: str) -> str:
        """A fraction of ∂."""
        return f"<mfrac><mrow><mi>∂</mi>{top}</mrow><mrow><mi>∂</mi>{bottom}</mrow></mfrac>"

    def math(self, x: Expr, block: bool = False) -> str:
        """A formula as an element of its own."""
        style = ' displaystyle="true"' if block else ""
        return f'<math xmlns="{SPACE}"{style}>{self.formula(x)}</math>'

    def inline(self, parts: tuple[Inline, ...]) -> str:
        """Words and formulas."""
        return "".join(escape(clean(part)) if isinstance(part, str) else self.math(part) for part in parts)

    def document(self, blocks: list[Block]) -> str:
        """One element that holds headings, paragraphs and tables of equations."""
        out: list[str] = []
        for block in blocks:
            match block:
                case Title(text):
                    out.append(f"<h4>{escape(clean(text))}</h4>")
                case Paragraph(parts):
                    out.append(f"<p>{self.inline(parts)}</p>")
                case Lines(lines):
                    rows = []
                    for line in lines:
                        right = "<mo>=</mo>".join(self.formula(x) for x in (line.right, *line.more))
                        right = (f'<math xmlns="{SPACE}" displaystyle="true"><mo form="infix">{line.sign}</mo>'
                                 f"{right}</math>")
                        rows.append(f'<tr><td class="left">{self.math(line.left, True)}</td><td>{right}</td>'
                                    f'<td class="remark">{self.inline(line.remarks)}</td></tr>')
                    out.append(f"<table>{''.join(rows)}</table>")
                case Grid(head, body):
                    rows = [cells(head, "th"), *(cells(row, "td") for row in body)]
                    out.append(f"<table>{''.join(rows)}</table>")
        return f'<div xmlns="http://www.w3.org/1999/xhtml" class="derivation">{"".join(out)}</div>'

    def page(self, blocks: list[Block]) -> str:
        """The document with its style: what a notebook shows."""
        return framed(self.document(blocks), style=STYLE)


def cells(row: tuple[str, ...], kind: str) -> str:
    """A row of a table of words and numbers."""
    return "<tr>" + "".join(f"<{kind}{'' if k == 0 else ' class=' + chr(34) + 'count' + chr(34)}>{escape(clean(cell))}"
                            f"</{kind}>" for k, cell in enumerate(row)) + "</tr>"


def tag(name: str, text: str) -> str:
    """An element with text in it."""
    return f"<{name}>{escape(text)}</{name}>"


def group(text: str) -> str:
    """Several elements as one."""
    return f"<mrow>{text}</mrow>"


def clean(text: str) -> str:
    """Without what XML does not allow, and without backslashes."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text).replace("\\", "∖")
