"""JSON as graphdl reads and writes it: more is refused than by Python's json."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, NoReturn

from graphdl.errors import FileFormatError, listing


def parse(content: bytes, where: object) -> Any:
    """The data of a JSON text in UTF-8; `where` names it in errors.

    Raises FileFormatError for invalid JSON, and for what JSON does not have or no file of graphdl needs: NaN and
    infinity, also as a number too large for a float; a name twice in an object; half a surrogate pair; deep nesting.
    """
    try:
        text = content.decode("utf-8")
        data = json.loads(text, object_pairs_hook=_object, parse_constant=_refuse, parse_float=_finite)
        if "\\ud" in text.lower():
            json.dumps(data, ensure_ascii=False).encode()
    except RecursionError:
        raise FileFormatError(f"{where} is nested too deeply: this is not a stored network.") from None
    except UnicodeEncodeError:
        raise FileFormatError(f"{where} has a string with half of a surrogate pair: write whole characters.") from None
    except ValueError as error:
        raise FileFormatError(f"{where} is not a JSON file: {error}.") from None
    return data


def plain(value: Any, as_text: Callable[[Any], str] = str) -> Any:
    """A value as JSON holds it: NaN and infinity as null, other objects as text."""
    if isinstance(value, Mapping):
        return {str(name): plain(held, as_text) for name, held in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(held, as_text) for held in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int, str)) else as_text(value)


def repeated(names: Iterable[Hashable]) -> str:
    """Those that stand more than once, for a sentence."""
    return listing(repr(name) for name, count in Counter(names).items() if count > 1)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise FileFormatError(
            f"An object in the file has {repeated(n for n, _ in pairs)} more than once: keep one entry."
        )
    return found


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number in JSON")


def _finite(number: str) -> float:
    found = float(number)
    if math.isinf(found):
        raise ValueError(f"{number[:20]} is larger than any floating-point number")
    return found
