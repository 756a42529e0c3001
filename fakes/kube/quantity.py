"""Kubernetes quantities ("500m", "1.5Gi", "1e3"): their value, and the canonical text a server stores."""

import re
from decimal import Decimal, InvalidOperation

_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_FORM = re.compile(r"^([+-]?(?:\d+\.?\d*|\.\d+))(?:([KMGTPE]i)|([numkMGTPE])|[eE]([+-]?\d+))?$")


def parse(text: object) -> Decimal:
    """The exact value. Raises ValueError for what is no quantity."""
    found = _FORM.match(str(text))
    if isinstance(text, bool) or not found:
        raise ValueError(text)
    try:
        number = Decimal(found[1])
    except InvalidOperation as bad:
        raise ValueError(text) from bad
    if found[2]:
        return number * Decimal(1024 ** _BINARY[found[2]])
    return number.scaleb(int(found[4]) if found[4] else _DECIMAL[found[3] or ""])


def canonical(text: object) -> str:
    """The shortest text of the same value in the same family of suffixes. Raises ValueError."""
    value = parse(text)
    if value == 0:
        return "0"
    whole = str(text)
    if whole[-1] == "i":
        return _binary(value)
    if re.search(r"[eE][+-]?\d", whole):
        return _exponent(value)
    return _decimal(value)


def _binary(value: Decimal) -> str:
    if abs(value) < 1024:  # the binary family is not used for small numbers
        return _decimal(value)
    for suffix, power in reversed(_BINARY.items()):
        scaled = value / 1024**power
        if scaled == scaled.to_integral_value():
            return f"{int(scaled)}{suffix}"
    return str(int(value)) if value == value.to_integral_value() else _decimal(value)


def _decimal(value: Decimal) -> str:
    for suffix, power in sorted(_DECIMAL.items(), key=lambda item: -item[1]):
        scaled = value.scaleb(-power)
        if scaled == scaled.to_integral_value():
            return f"{int(scaled)}{suffix}"
    return f"{int(value.scaleb(9).to_integral_value('ROUND_CEILING'))}n"


def _exponent(value: Decimal) -> str:
    for power in range(18, -10, -3):
        scaled = value.scaleb(-power)
        if scaled == scaled.to_integral_value():
            return f"{int(scaled)}e{power}" if power else str(int(scaled))
    return _decimal(value)
