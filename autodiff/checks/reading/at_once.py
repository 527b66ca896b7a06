"""What two expressions say at once, without being taken apart: one is the other turned, one minus it, its root."""

from __future__ import annotations

import ast

from autodiff.checks.reading.expressions import bare, function_of, operand, same, terms, zero
from autodiff.checks.reading.looks import complement, is_scatter, multiplied, padded


def of_wholes(a: ast.expr, b: ast.expr, within: str) -> str:
    """What was changed from b, the right one, to a; "" if they must be looked into. As in `line_changes.changes`."""
    match a, b:
        case ast.Attribute(attr=mine), ast.Attribute(attr=good) if mine == good in ("shape", "size"):
            return "number"                                            # d, n = x.shape for x.T.shape
        case _ if is_scatter(a) and is_scatter(b):
            return "place"
        case _ if function_of(a) == "diag" and {"diag", "outer"} <= set(map(function_of, (t for _, t in terms(b)))) \
                and not any(same(a, t) for _, t in terms(b)):
            return "diagonal"                                          # diag(p (1 - p)) for diag(p) - outer(p, p)
        case _ if padded(b) and not padded(a):
            return "extra term"                                        # theta for np.append(w, 0)
        case ast.BinOp(left=x, op=ast.Pow()), _ if same(x, b) and not operand(b):
            return "extra derivative"
        case _ if same(bare(a), bare(b)):
            return "transpose" if within == "@" else "layout"
        case _ if complement(a, b) or complement(b, a):
            return "complement" if operand(a) or operand(b) else "complement of a function"
        case _ if type(a) is not type(b) and multiplied(a) and multiplied(a) == multiplied(b):
            return "transpose"                                         # d @ Q for np.einsum("bqk,bqd->bkd", d, Q)
    return ""


def of_functions(a: ast.expr, b: ast.expr, within: str) -> str:
    """The same of a function of what the other is, and of functions that arrange elements."""
    match a, b:
        case ast.Call(args=[inner]), _ if same(inner, b) and function_of(a) in ("sign", "sqrt"):
            return "power"                                             # sign(w) for w, √d for d
        case _, ast.Call(args=[inner]) if same(inner, a) and function_of(b) in ("sign", "sqrt"):
            return "power"
        case ast.Call(args=[inner]), _ if same(inner, b):
            return "function too many" if within == "*" else "operand"
        case _, ast.Call(args=[_, inner, other]) if function_of(b) == "where" and same(a, inner) and zero(other):
            return "derivative"                                        # g for np.where(z > 0, g, 0)
        case ast.Call(args=[_, inner, other]), _ if function_of(a) == "where" and same(b, inner) and zero(other):
            return "path"
        case ast.Call(), ast.Call() if {function_of(a), function_of(b)} == {"repeat", "tile"}:
            return "layout of blocks"
        case ast.Subscript(value=inner), _ if same(inner, b) and "::-1" in ast.unparse(a.slice):
            return "turned round"
        case _, ast.Call(args=[inner]) if same(inner, a):
            return "function missing" if within in ("*", "f") else "transpose" if within == "@" else "derivative"
        case ast.Attribute(), ast.Call() if function_of(bare(a)) == function_of(b) == "reshape":
            return "layout of blocks"
        case ast.Call(), ast.Call() if within != "*" and {"reshape", "transpose"} & {function_of(a), function_of(b)}:
            return "layout of blocks"
    return ""
