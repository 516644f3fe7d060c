"""CloudWatch's metric math over one period.

Stands for: CloudWatch's metric math; of its language IF, FILL, arithmetic and comparisons.
Held by: nothing, no alarm of AWS's has been seen to act; the words are those of
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html.
"""

from __future__ import annotations

import ast
import functools
import operator
from collections.abc import Mapping

OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}
COMPARISONS = {ast.Gt: operator.gt, ast.Lt: operator.lt, ast.GtE: operator.ge, ast.LtE: operator.le}


class NoData(Exception):
    """A metric says nothing in this period, and the expression does not say what then."""


def value(expression: str, period: Mapping[str, float]) -> float | None:
    """What an expression is of the metrics of one period, by their ids; None where it has no value.

    Raises:
        LookupError: it is in words that are not played.
    """
    try:
        return _value(_parsed(expression), period)
    except (NoData, ZeroDivisionError):
        return None


@functools.cache
def _parsed(expression: str) -> ast.expr:
    return ast.parse(expression, mode="eval").body


def _or_0(node: ast.expr, period: Mapping[str, float]) -> float:
    """What is true and has no value is 0, AWS says, where what is false and has none has none."""
    try:
        return _value(node, period)
    except (NoData, ZeroDivisionError):
        return 0


def _value(node: ast.expr, period: Mapping[str, float]) -> float:
    match node:
        case ast.Constant(float() | int() as number):
            return number
        case ast.Name(id):
            if id not in period:
                raise NoData(id)
            return period[id]
        case ast.Call(ast.Name("FILL"), [ast.Name(id), default]):
            return period[id] if id in period else _value(default, period)
        case ast.Call(ast.Name("IF"), [test, then, otherwise]):
            return _value(otherwise, period) if not _value(test, period) else _or_0(then, period)
        case ast.BinOp(left, sign, right) if type(sign) in OPERATORS:
            return OPERATORS[type(sign)](_value(left, period), _value(right, period))
        case ast.Compare(left, [sign], [right]) if type(sign) in COMPARISONS:
            return float(COMPARISONS[type(sign)](_value(left, period), _value(right, period)))
    raise LookupError(f"the rehearsal does not know this metric math: {ast.unparse(node)}")
