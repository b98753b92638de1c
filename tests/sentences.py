"""Finds in the source what the worker can say, as patterns: … stands for what is filled in."""

import ast
import re
from collections.abc import Iterator

WORD = re.compile(r"[a-z']{2,}[,.:;]?")
TOLD = re.compile(r"[A-Za-z…]")
FILLED_IN = re.compile(r"\{[a-z_]+(:[^}]*)?\}|%[sd]|%\.\d+f")
"""Of `str.format` and of logging."""
BELOW_WARNINGS = ("debug", "info", "log")


def patterns(source: str) -> set[str]:
    """Return each clause of a module that isn't a docstring, a regular expression or chatter."""
    tree = ast.parse(source)
    silent = set(_silent(tree))
    found = set()
    for node in _outermost(tree, silent):
        parts = _text(node).split()
        # A word, and something beside it: all else are names, paths and formats.
        if len(list(filter(TOLD.search, parts))) > 1 and any(map(WORD.fullmatch, parts)):
            found.add(" ".join(parts))
    return found


def _silent(tree: ast.AST) -> Iterator[ast.AST]:
    """Give what nobody reads: docstrings, lines of the log below warnings, patterns to match."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        for each in body if isinstance(body, list) else []:
            if isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant):
                yield each.value
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = getattr(node.func.value, "id", "")
            if owner == "re" or (owner == "log" and node.func.attr in BELOW_WARNINGS):
                yield from node.args


def _outermost(node: ast.AST, silent: set[ast.AST]) -> Iterator[ast.expr]:
    if node in silent:
        return
    if isinstance(node, ast.JoinedStr) or _is_text(node) or _is_sum(node):
        yield node
        # What is filled in may be a clause of its own.
        for each in ast.walk(node):
            if isinstance(each, ast.FormattedValue):
                yield from _outermost(each.value, silent)
        return
    for child in ast.iter_child_nodes(node):
        yield from _outermost(child, silent)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _is_sum(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.BinOp)
        and isinstance(node.op, ast.Add)
        and any(
            isinstance(side, ast.JoinedStr) or _is_text(side) for side in (node.left, node.right)
        )
    )


def _text(node: ast.AST) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return FILLED_IN.sub("…", node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(
            part.value if isinstance(part, ast.Constant) else "…" for part in node.values
        )
    if isinstance(node, ast.BinOp):
        return _text(node.left) + _text(node.right)
    return "…"
