"""Packs many records with the same keys into few characters, so that a page of ten thousand variables stays small.

Names share their scopes, and most other texts occur many times. `page.js` unpacks what `pack` makes.
"""

from __future__ import annotations

import json
from itertools import takewhile
from typing import Any, Dict, List, Mapping, Sequence


def pack(records: Sequence[Mapping[str, Any]]) -> Dict[str, Any]:
    """Packs records of plain data that have the same keys.

    Returns:
      `columns` has for each key the list of its values. Anything but a number or `null` is JSON text in `texts`, and the column
      has its place there; `keys` names these columns. The texts are sorted, and each is a pair: how many characters it shares
      with the text before it, and the rest.

    Example:
      >>> packed = pack([{"name": "fm/v", "bytes": 24}, {"name": "fm/w", "bytes": 12}])
      >>> packed["keys"], packed["columns"]
      (['name'], {'name': [0, 1], 'bytes': [24, 12]})
      >>> packed["texts"]
      [0, '"fm/v"', 4, 'w"']
    """
    columns: Dict[str, List[Any]] = {key: [record[key] for record in records] for key in (records[0] if records else ())}
    keys = [key for key, values in columns.items() if not all(_is_number(value) for value in values)]
    for key in keys:
        columns[key] = [None if value is None else _as_text(value) for value in columns[key]]
    texts = sorted({text for key in keys for text in columns[key] if text is not None})
    places = {text: place for place, text in enumerate(texts)}
    for key in keys:
        columns[key] = [None if text is None else places[text] for text in columns[key]]
    return {"keys": keys, "columns": columns, "texts": _front_coded(texts)}


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))


def _as_text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _front_coded(texts: Sequence[str]) -> List[Any]:
    coded: List[Any] = []
    before = ""
    for text in texts:
        shared = sum(1 for _ in takewhile(lambda both: both[0] == both[1], zip(before, text)))
        # JavaScript counts UTF-16 units, of which a character outside of the basic plane has two.
        units = len(text[:shared].encode("utf-16-le")) // 2
        coded += [units, text[shared:]]
        before = text
    return coded
