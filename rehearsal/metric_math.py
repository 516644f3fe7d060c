"""CloudWatch's metric math over one period.

Stands for: CloudWatch's metric math; of its language IF, FILL, arithmetic and comparisons.
Held by: nothing, no alarm of AWS's has been seen to act; the words are those of
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html.
"""

from __future__ import annotations

import ast
import functools
import operator
from collections.abc import Callable, Mapping

OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}
COMPARISONS = {ast.Gt: operator.gt, ast.Lt: operator.lt, ast.GtE: operator.ge, ast.LtE: operator.le}


class NoData(Exception):
    """A metric says nothing in this period, and the expression does not say what then."""


Period = Mapping[str, float]


def value(expression: str, period: Period) -> float | None:
    """What an expression is of the metrics of one period, by their ids; None where it has no value.

    Raises:
        LookupError: it is in words that are not played.
    """
    try:
        return _compiled(expression)(period)
    except (NoData, ZeroDivisionError):
        return None


@functools.cache
def _compiled(expression: str) -> Callable[[Period], float]:
    return _of(ast.parse(expression, mode="eval").body)


def _of(node: ast.expr) -> Callable[[Period], float]:
    match node:
        case ast.Constant(float() | int() as number):
            return lambda _period: number
        case ast.Name(id):
            return lambda period: _known(id, period)
        case ast.Call(ast.Name("FILL"), [ast.Name(id), default]):
            filled = _of(default)
            return lambda period: period[id] if id in period else filled(period)
        case ast.Call(ast.Name("IF"), [test, then, otherwise]):
            true, this, that = _of(test), _of(then), _of(otherwise)
            return lambda period: _or_0(this, period) if true(period) else that(period)
        case ast.BinOp(left, sign, right) if type(sign) in OPERATORS:
            return _both(OPERATORS[type(sign)], _of(left), _of(right))
        case ast.Compare(left, [sign], [right]) if type(sign) in COMPARISONS:
            return _both(COMPARISONS[type(sign)], _of(left), _of(right))
    raise LookupError(f"the rehearsal does not know this metric math: {ast.unparse(node)}")


def _known(id: str, period: Period) -> float:
    if id not in period:
        raise NoData(id)
    return period[id]


def _or_0(term: Callable[[Period], float], period: Period) -> float:
    """What is true and has no value is 0, AWS says, where what is false and has none has none."""
    try:
        return term(period)
    except (NoData, ZeroDivisionError):
        return 0


def _both(
    operation: Callable[[float, float], float], left: Callable[[Period], float], right: Callable[[Period], float]
) -> Callable[[Period], float]:
    return lambda period: float(operation(left(period), right(period)))
