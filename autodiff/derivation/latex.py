"""Formulas as LaTeX that needs nothing but amsmath."""

from __future__ import annotations

import unicodedata
from typing import Any

import numpy as np

from autodiff.derivation.notation import (
    Call,
    Expr,
    Symbol,
)
from autodiff.derivation.symbols import GREEK
from autodiff.derivation.writer import Block, Grid, Inline, Lines, Paragraph, Title, Writer, few, short

COMMANDS = {letter: "\\" + name for name, letter in GREEK.items() if name not in ("lam", "eps")} | {"ο": "o"}
OPERATORS = {"⊙": r"\odot", "·": r"\cdot", "−": "-", "≥": r"\ge", "≤": r"\le", "≠": r"\ne", "<": "<", ">": ">",
             "=": "=", "+": "+"}
KNOWN = {"log", "exp", "max", "min", "sin", "cos", "tan", "tanh", "sinh", "cosh", "det"}
SPECIAL = {"\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "_": r"\_",
           "%": r"\%", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": "$<$", ">": "$>$", "|": "$|$"}
SIGNS = {"∂": r"$\partial$", "Σ": r"$\Sigma$", "σ": r"$\sigma$", "δ": r"$\delta$", "×": r"$\times$", "−": "$-$",
         "≥": r"$\ge$", "′": "$'$", "·": r"$\cdot$", "ᵀ": r"$^\top$", "⊙": r"$\odot$", "→": r"$\to$", "‖": r"$\|$"}
ACCENTS = {"\u0302": "hat", "\u0304": "bar", "\u0303": "tilde"}


class Latex(Writer):
    r"""LaTeX: z_{1} = x W_{1}^{\top} + b_{1}."""

    flat_fractions = False

    def symbol(self, x: Symbol) -> str:
        """A letter with its subscripts."""
        base = r"\mathbf{1}" if x.base == "𝟏" else COMMANDS.get(x.base) or accented(x.base) or \
            (x.base if len(x.base) == 1 and x.base.isascii() and x.base.isalnum() else words(x.base))
        if x.accent:
            base = f"\\{x.accent}{{{base}}}"
        subs = [self.symbol(s) if isinstance(s, Symbol) else s if s.isdigit() or (len(s) == 1 and s.isascii() and
                s.isalpha()) else words(s) for s in x.sub]
        return f"{base}_{{{','.join(subs)}}}" if subs else base

    def symbol_transposed(self, x: Symbol) -> str:
        """W_1^T."""
        return self.symbol(x) + r"^{\top}"

    def number(self, x: Any) -> str:
        """A number; its exponent as a power of ten."""
        text = short(x).replace("−", "-")
        mantissa, e, exponent = text.partition("e")
        if not e or not exponent.lstrip("-+").isdigit():
            return rf"\text{{{text}}}" if text.lstrip("-") in ("inf", "nan") else text
        return rf"{mantissa} \cdot 10^{{{int(exponent)}}}"

    def matrix(self, x: Any) -> str:
        """A pmatrix."""
        rows = x if x.ndim > 1 else x[None]
        return r"\begin{pmatrix} " + r" \\ ".join(" & ".join(few(v).replace("−", "-") for v in np.ravel(row))
                                                   for row in rows) + r" \end{pmatrix}"

    def words(self, text: str) -> str:
        """Upright."""
        return words(text)

    def sign(self, sign: str, unary: bool = False) -> str:
        """The command of a sign."""
        return OPERATORS[sign] if unary else f" {OPERATORS[sign]} "

    def row(self, parts: list[str]) -> str:
        """Nothing between."""
        return "".join(parts)

    def beside(self, parts: list[str]) -> str:
        """A thin space between."""
        return r" \, ".join(parts)

    def parentheses(self, text: str) -> str:
        """Of the size of what they hold."""
        return rf"\left({text}\right)"

    def brackets(self, text: str) -> str:
        """Of the size of what they hold."""
        return rf"\left[{text}\right]"

    def fraction(self, top: str, bottom: str) -> str:
        """A fraction."""
        return rf"\frac{{{top}}}{{{bottom}}}"

    def power(self, base: str, exponent: Expr) -> str:
        """A power; a base that has an exponent itself is grouped."""
        return f"{{{base}}}^{{{self.formula(exponent)}}}"

    def transpose(self, text: str) -> str:
        """Xᵀ."""
        return rf"{{{text}}}^{{\top}}"

    def call(self, x: Call, name: str, args: list[str]) -> str:
        """f(x)."""
        base = x.name.base if isinstance(x.name, Symbol) else ""
        name = f"\\{base}" if base in KNOWN else rf"\operatorname{{{base}}}" if base.isascii() and base.isalpha() \
            and len(base) > 1 else name
        note = rf"_{{\text{{{escaped(x.note)}}}}}" if x.note else ""
        return rf"{name}{'^{' + chr(92) + 'prime}' if x.primes else ''}{note}\left({', '.join(args)}\right)"

    def indicator(self, text: str) -> str:
        """A bold 1."""
        return r"\mathbf{1}" + self.brackets(text)

    def fenced(self, role: str, text: str) -> str:
        """Root, absolute value, norm."""
        return {"root": rf"\sqrt{{{text}}}", "abs": rf"\left|{text}\right|", "norm": rf"\left\|{text}\right\|"}[role]

    def big_sum(self, sign: str, index: str, body: str) -> str:
        """A sum."""
        return rf"\sum{f'_{{{index}}}' if index else ''} {body}"

    def part(self, body: str, index: str) -> str:
        """x[index]."""
        return rf"{body}\left[\text{{{escaped(index)}}}\right]"

    def subscript(self, body: str, letters: str) -> str:
        """With indices."""
        return f"{{{body}}}_{{{letters}}}"

    def partial(self, top: str, bottom: str) -> str:
        """A fraction of ∂."""
        return rf"\frac{{\partial {top}}}{{\partial {bottom}}}"

    def inline(self, parts: tuple[Inline, ...]) -> str:
        """Words, and formulas between dollars."""
        return "".join(escaped(part) if isinstance(part, str) else f"${self.formula(part)}$" for part in parts)

    def document(self, blocks: list[Block]) -> str:
        """Bold headings, paragraphs, aligned equations."""
        out: list[str] = []
        for block in blocks:
            match block:
                case Title(text):
                    out.append(rf"\medskip\noindent\textbf{{{escaped(text)}}}\par")
                case Paragraph(parts):
                    out.append(self.inline(parts) + r"\par")
                case Lines(lines):
                    rows = []
                    for line in lines:
                        right = " = ".join(self.formula(x) for x in (line.right, *line.more))
                        remark = rf" && \text{{{self.inline(line.remarks)}}}" if line.remarks else ""
                        rows.append(f"  {self.formula(line.left)} &{OPERATORS[line.sign]} {right}{remark}")
                    out.append("\\begin{align*}\n" + " \\\\\n".join(rows) + "\n\\end{align*}")
                case Grid(head, rows_):
                    body = " \\\\\n".join("  " + " & ".join(map(escaped, row)) for row in (head, *rows_))
                    out.append(rf"\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}" + f"\n{body}\n\\end{{tabular}}\\par")
        return "\n".join(out)


def escaped(text: str) -> str:
    """Text for LaTeX's text mode."""
    return "".join(SPECIAL.get(c) or SIGNS.get(c) or (c if c.isprintable() else "?") for c in text)


def words(text: str) -> str:
    """Upright text within a formula."""
    return rf"\text{{{escaped(text)}}}"


def accented(letter: str) -> str:
    """A letter that Unicode has with its accent, such as ŷ; "" for others."""
    plain = unicodedata.normalize("NFD", letter)
    if len(plain) != 2 or plain[1] not in ACCENTS or not (plain[0].isascii() or plain[0] in COMMANDS):
        return ""
    return f"\\{ACCENTS[plain[1]]}{{{COMMANDS.get(plain[0], plain[0])}}}"
