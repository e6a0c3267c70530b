"""What a client posts: a JSON array, one JSON object, or NDJSON, cut into records that keep their original bytes."""

from __future__ import annotations

import zlib

import msgspec

from infra.errors import ContractError

_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])
_ONE = msgspec.json.Decoder(msgspec.Raw)
_BLANK = b" \t\r"


def split(body: bytes) -> list[bytes]:
    """The records of a body, byte for byte without the white space between them.

    Lines of NDJSON are not parsed here: a broken line is a broken record among good ones. A JSON array, on the other
    hand, is whole or unreadable. Raises ContractError (not_json) when there is no record at all.
    """
    text = body.strip(_BLANK + b"\n")
    if text.startswith(b"["):
        try:
            return [bytes(raw).strip(_BLANK + b"\n") for raw in _ARRAY.decode(text)]
        except (msgspec.DecodeError, RecursionError) as error:
            msg = f"expected a JSON array of events, but it is not whole: {error}"
            raise ContractError(reason="not_json", detail=msg) from None
    if _is_json(text):
        return [text]
    lines = [stripped for line in text.split(b"\n") if (stripped := line.strip(_BLANK))]
    if not any(_is_json(line) for line in lines):
        msg = f"expected a JSON array of events, one event, or NDJSON; got {text[:60]!r}"
        raise ContractError(reason="not_json", detail=msg)
    return lines


def unpack(body: bytes, encoding: str, limit: int) -> bytes:
    """Undo the Content-Encoding.

    Raises ContractError: unknown_encoding, not_gzip, or too_large as soon as `limit` is passed, so that a small bomb
    stays small.
    """
    if encoding in ("", "identity"):
        return body
    if encoding != "gzip":
        msg = f"expected Content-Encoding gzip or none, got {encoding!r}"
        raise ContractError(reason="unknown_encoding", detail=msg)
    stream = zlib.decompressobj(wbits=31)
    try:
        plain = stream.decompress(body, limit + 1)
    except zlib.error as error:
        msg = f"expected a gzip body: {error}"
        raise ContractError(reason="not_gzip", detail=msg) from None
    if len(plain) > limit:
        msg = f"expected at most {limit} bytes, the body unpacks to more"
        raise ContractError(reason="too_large", detail=msg)
    if not stream.eof or stream.unused_data:
        msg = "expected one whole gzip stream; it is cut or followed by other bytes"
        raise ContractError(reason="not_gzip", detail=msg)
    return plain


def _is_json(text: bytes) -> bool:
    try:
        _ONE.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True
