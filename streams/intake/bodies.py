"""What a client posts: a JSON array, one JSON object, or NDJSON, cut into records that keep their original bytes.

Whatever the bytes are, the work is bounded by the limits given: a small body can't unpack to a large one, and a few
megabytes can't become millions of objects.
"""

from __future__ import annotations

import re
import zlib

import msgspec

from infra.errors import ContractError, RequestRefused

_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])
_ONE = msgspec.json.Decoder(msgspec.Raw)
_BLANK = b" \t\r"
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_BRACKETS = bytes.maketrans(b"{}", b"[]")
_NO_BRACKET = bytes(set(range(256)) - set(b"{}[]"))
DENSE_BYTES = 8
"""A large body with fewer bytes than this a comma holds no events (those have about 20) but would make objects by the
million."""
ZSTD_WINDOW_BYTES = 2**23
"""What RFC 8878 asks every decoder to allow; a frame that wants more memory is refused."""
ENCODINGS = ("gzip", "zstd")


def split(body: bytes, max_records: int) -> list[bytes]:
    """The records of a body, byte for byte without the white space between them.

    Lines of NDJSON are not parsed here: a broken line is a broken record of its own. A JSON array, on the other hand,
    is whole or unreadable. Raises ContractError (not_json) when there is no record at all, RequestRefused (too_many).
    """
    text = body.strip(_BLANK + b"\n")
    if text.startswith(b"["):
        if _is_dense(text, max_records):
            raise _too_many(max_records, "an array of very short values")
        try:
            raws = _ARRAY.decode(text)
        except (msgspec.DecodeError, RecursionError) as error:
            msg = f"expected a JSON array of events, but it is not whole: {error}"
            raise ContractError(reason="not_json", detail=msg) from None
        if len(raws) > max_records:
            raise _too_many(max_records, str(len(raws)))
        return [bytes(raw).strip(_BLANK + b"\n") for raw in raws]
    if _is_json(text):
        return [text]
    lines = [stripped for line in text.split(b"\n", 2 * max_records) if (stripped := line.strip(_BLANK))]
    if len(lines) > max_records:
        raise _too_many(max_records, "more")
    if not any(_is_json(line) for line in lines) and not _begin_all_as_objects(lines):
        msg = f"expected a JSON array of events, one event, or NDJSON; got {text[:60]!r}"
        raise ContractError(reason="not_json", detail=msg)
    return lines


def unpack(body: bytes, encoding: str, limit: int) -> bytes:
    """Undo the Content-Encoding.

    Raises ContractError (bad_encoding), RequestRefused: unknown_encoding, or too_large as soon as `limit` is passed,
    so that a small bomb stays small.
    """
    match encoding:
        case "" | "identity":
            return body
        case "gzip" | "x-gzip":
            plain, is_whole = _gunzip(body, limit + 1)
        case "zstd":
            plain, is_whole = _unzstd(body, limit + 1)
        case _:
            msg = f"expected Content-Encoding {', '.join(ENCODINGS)} or none, got {encoding[:40]!r}"
            raise RequestRefused(reason="unknown_encoding", detail=msg)
    if len(plain) > limit:
        msg = f"expected at most {limit} bytes, the body unpacks to more"
        raise RequestRefused(reason="too_large", detail=msg)
    if not is_whole:
        msg = f"expected one whole {encoding} stream; it is cut or followed by other bytes"
        raise ContractError(reason="bad_encoding", detail=msg)
    return plain


def is_deeper(valid: bytes, limit: int) -> bool:
    """Whether objects and arrays of a valid JSON text are nested deeper than `limit`."""
    if valid.count(b"{") + valid.count(b"[") <= limit:
        return False
    brackets = _STRING.sub(b"", valid).translate(_BRACKETS, _NO_BRACKET)
    for _ in range(limit):
        brackets = brackets.replace(b"[]", b"")  # the innermost level
    return bool(brackets)


def _gunzip(body: bytes, at_most: int) -> tuple[bytes, bool]:
    stream = zlib.decompressobj(wbits=31)
    try:
        plain = stream.decompress(body, at_most)
    except zlib.error as error:
        raise _bad_encoding(error, name="gzip") from None
    return plain, stream.eof and not stream.unused_data


def _unzstd(body: bytes, at_most: int) -> tuple[bytes, bool]:
    import zstandard

    stream = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES).decompressobj()
    plain = bytearray()
    # It has no bound of its own on what one call gives: a piece of 64 bytes makes at most a few blocks of 128 kB.
    for begin in range(0, len(body), 64):
        try:
            plain += stream.decompress(body[begin : begin + 64])
        except zstandard.ZstdError as error:
            raise _bad_encoding(error, name="zstd") from None
        if len(plain) >= at_most or stream.eof:
            rest = stream.unused_data + body[begin + 64 :]
            return bytes(plain), stream.eof and not rest
    return bytes(plain), False


def _bad_encoding(error: Exception, name: str) -> ContractError:
    return ContractError(reason="bad_encoding", detail=f"expected a {name} body: {error}")


def _too_many(limit: int, got: str) -> RequestRefused:
    return RequestRefused(reason="too_many", detail=f"expected at most {limit} events, got {got}")


def _is_dense(array: bytes, limit: int) -> bool:
    commas = array.count(b",")
    return commas > limit and commas * DENSE_BYTES > len(array)


def _begin_all_as_objects(lines: list[bytes]) -> bool:
    """Whether these are broken records, a line each, rather than one that was written over several lines."""
    return len(lines) > 1 and all(line.startswith(b"{") for line in lines)


def _is_json(text: bytes) -> bool:
    try:
        _ONE.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True
