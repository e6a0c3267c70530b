"""Derives the pages' types from the server's: `payload.py` and its like → `warehouse/pages/src/data/protocol.ts`.

`python -m warehouse.dashboard.protocol` writes the file; a test fails when it is out of date.
"""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect as shapes

from warehouse.dashboard import cohort_shapes, payload, session_shapes, title_shapes

TARGET = Path(__file__).resolve().parent.parent / "pages" / "src" / "data" / "protocol.ts"
MODULES = (payload, cohort_shapes, session_shapes, title_shapes)
HEADER = """// Derived by `python -m warehouse.dashboard.protocol` from payload.py and its like; not edited by hand.
// Stamps (`*_at`) are ms of epoch, minutes are seconds of epoch, shares lie in 0..1, null means "not known".
"""


def structs() -> list[type[msgspec.Struct]]:
    """The shapes in the order in which they are defined."""
    found = (value for module in MODULES for value in vars(module).values())
    return list(dict.fromkeys(v for v in found if inspect.isclass(v) and issubclass(v, msgspec.Struct)))


def typescript() -> str:
    """The whole file."""
    return HEADER + "".join(_interface(cls) for cls in structs())


def _interface(cls: type[msgspec.Struct]) -> str:
    docs = _field_docs(cls)
    lines = [f"\n/** {inspect.getdoc(cls)} */", f"export interface {cls.__name__} {{"]
    info = shapes.type_info(cls)
    assert isinstance(info, shapes.StructType)
    for field in info.fields:
        if field.name in docs:
            lines.append(f"  /** {docs[field.name]} */")
        lines.append(f"  readonly {field.encode_name}: {_type(field.type)};")
    return "\n".join([*lines, "}", ""])


def _type(kind: shapes.Type) -> str:
    match kind:
        case shapes.IntType() | shapes.FloatType():
            return "number"
        case shapes.StrType():
            return "string"
        case shapes.BoolType():
            return "boolean"
        case shapes.NoneType():
            return "null"
        case shapes.LiteralType(values=values):
            return " | ".join(f'"{v}"' for v in values)
        case shapes.ListType(item_type=item):
            inner = _type(item)
            return f"readonly ({inner})[]" if "|" in inner else f"readonly {inner}[]"
        case shapes.UnionType(types=types):
            return " | ".join(_type(t) for t in types)
        case shapes.StructType(cls=cls):
            return cls.__name__
        case _:
            msg = f"payload.py may use numbers, strings, bools, literals, null, lists and structs; it has {kind}"
            raise TypeError(msg)


def _field_docs(cls: type[msgspec.Struct]) -> dict[str, str]:
    """The strings below the fields."""
    body = ast.parse(inspect.getsource(cls)).body[0]
    assert isinstance(body, ast.ClassDef)
    found: dict[str, str] = {}
    for above, node in zip(body.body, body.body[1:], strict=False):
        text: Any = node.value.value if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) else None
        if isinstance(above, ast.AnnAssign) and isinstance(above.target, ast.Name) and isinstance(text, str):
            found[above.target.id] = " ".join(text.split())
    return found


if __name__ == "__main__":
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(typescript(), encoding="utf-8")
