"""The freeze commitment: one SHA-256 over weights and optimiser state, in a fixed byte form. Standard library only.

    digest = freeze({"model": model.state_dict(), "optimizer": optimizer.state_dict()})

*What it is.* A digest that anybody who is later given the checkpoint can compute again: it does not depend on file
formats, on the order of insertion, on devices or on strides. NumPy arrays and torch tensors of the same names, types,
shapes and values give the same digest. Neither library is imported here; what is passed in brings its own.

*The form* (docs/spec/freeze.md). SHA-256 over ``brakeline/freeze/v1`` and a line feed, then one record per value,
depth first. A record is a line of JSON (ASCII, no spaces) ``[path,kind,detail]``, a line feed, and the value's bytes:

=================  =====================  ==========================================================
value              kind, detail           bytes
=================  =====================  ==========================================================
dict               ``"dict"``, length     none; then its values, by key (JSON-encoded, in byte order)
list, tuple        ``"list"``, length     none; then its values
array, tensor      type name, shape       row-major, little-endian
str, bool, None    ``"str"`` and so on,   none
                   the value
int                ``"int"``, the value   none
float              ``"float"``, null      8, IEEE 754 binary64, little-endian
bytes              ``"bytes"``, length    as they are
=================  =====================  ==========================================================

``path`` is the list of keys (strings or integers) and positions that lead to the value.

*What it is not.* A checkpoint, nor a proof that these weights were the ones that were trained: it commits, and can be
compared.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import struct
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

from brakeline.node.hook import HookError

PREFIX: Final = b"brakeline/freeze/v1\n"
PREFIX_RANKS: Final = b"brakeline/freeze-ranks/v1\n"
PREFIX_FILES: Final = b"brakeline/freeze-files/v1\n"
CHUNK: Final = 64 * 1024 * 1024
"""How many bytes of a tensor are brought to the host at a time."""
_NAMES = (
    "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 bfloat16 float32 float64 complex64 complex128 "
    "float8_e4m3fn float8_e5m2 float8_e4m3fnuz float8_e5m2fnuz float8_e8m0fnu"
)
TYPES: Final = frozenset(_NAMES.split())
"""Names of element types, as NumPy and torch call them."""

Path_: TypeAlias = tuple[str | int, ...]
_Feed: TypeAlias = Callable[[Any], None]


def freeze(state: object) -> str:
    """Return the digest (lowercase hex) of *state*: dicts, lists, tuples, numbers, strings, arrays and tensors.

    Raises:
        HookError: ``freeze-type`` for a value that has no byte form here, with its path.
    """
    digest = hashlib.sha256(PREFIX)
    _feed(digest.update, (), state)
    return digest.hexdigest()


def freeze_ranks(digests: Sequence[str]) -> str:
    """Return the digest of a job whose ranks hold different shards: over ``<rank> <digest>`` lines, by rank.

    >>> freeze_ranks(["00" * 32, "11" * 32])[:16]
    'b41a3e2b9f68149e'
    """
    lines = "".join(f"{rank} {digest}\n" for rank, digest in enumerate(digests))
    return hashlib.sha256(PREFIX_RANKS + lines.encode("ascii")).hexdigest()


def freeze_files(paths: Sequence[Path]) -> str:
    """Return the digest of checkpoint files, for programs that say nothing about what they hold in memory.

    Each of *paths* is a file or a folder. Over ``brakeline/freeze-files/v1`` and, for every file, a line of JSON
    ``[number of the path, name relative to it, size]``, a line feed, and its bytes; by number, then name in byte order.

    Raises:
        HookError: ``freeze-files`` when there is nothing to read, or it changes while it is read.
    """
    digest = hashlib.sha256(PREFIX_FILES)
    for number, root in enumerate(paths):
        found = sorted(_files(root), key=lambda item: os.fsencode(item[0]))
        if not found:
            raise _no_file(str(root), "nothing there")
        for name, path in found:
            _feed_file(digest.update, number, name, path)
    return digest.hexdigest()


def _feed_file(feed: _Feed, number: int, name: str, path: Path) -> None:
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            feed(_line([number, name, size]))
            left = size
            while left and (data := file.read(min(left, CHUNK))):
                feed(data)
                left -= len(data)
            if left or file.read(1):
                raise _no_file(str(path), "it changes while it is read")
    except OSError as error:
        raise _no_file(str(path), str(error.strerror)) from None


def _files(root: Path) -> Iterator[tuple[str, Path]]:
    if root.is_file():
        yield "", root
        return
    for folder, _, names in os.walk(root):
        for name in names:
            path = Path(folder, name)
            yield path.relative_to(root).as_posix(), path


def _no_file(path: str, found: str) -> HookError:
    return HookError(
        code="freeze-files",
        message="a checkpoint cannot be committed to",
        expected="files that nobody writes to any more",
        found=f"{path}: {found}",
        fix="name the files that the program leaves behind when it stops",
    )


def _feed(feed: _Feed, path: Path_, value: Any) -> None:
    if isinstance(value, Mapping):
        _feed_mapping(feed, path, cast("Mapping[object, object]", value))
    elif isinstance(value, (list, tuple)):
        items = cast("Sequence[object]", value)
        feed(_line([path, "list", len(items)]))
        for number, item in enumerate(items):
            _feed(feed, (*path, number), item)
    elif value is None:
        feed(_line([path, "null", None]))
    elif type(value) in (bool, int, str):
        feed(_line([path, type(value).__name__, value]))
    elif type(value) is float:
        feed(_line([path, "float", None]) + struct.pack("<d", value))
    elif isinstance(value, (bytes, bytearray)):
        feed(_line([path, "bytes", len(value)]) + bytes(value))
    elif _is_tensor(value):
        _feed_tensor(feed, path, value)
    elif hasattr(value, "__array_interface__"):
        _feed_array(feed, path, value)
    else:
        raise _no_form(path, type(value).__name__)


def _feed_mapping(feed: _Feed, path: Path_, value: Mapping[object, object]) -> None:
    keys: list[tuple[bytes, str | int]] = []
    for key in value:
        if type(key) is not str and type(key) is not int:
            raise _no_form((*path, str(key)), f"a key of type {type(key).__name__}")
        keys.append((_line(key), key))
    feed(_line([path, "dict", len(keys)]))
    for _, key in sorted(keys, key=lambda item: item[0]):
        _feed(feed, (*path, key), value[key])


def _feed_array(feed: _Feed, path: Path_, value: Any) -> None:
    """Feed a NumPy array or scalar."""
    kind = str(value.dtype.name)
    if kind not in TYPES:
        raise _no_form(path, f"an array of {kind}")
    feed(_line([path, kind, [int(n) for n in value.shape]]))
    flat = value.astype(value.dtype.newbyteorder("<"), copy=False).ravel()
    step = max(1, CHUNK // value.dtype.itemsize)
    for begin in range(0, flat.size, step):
        feed(flat[begin : begin + step].view("u1"))


def _is_tensor(value: object) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, cast("Any", torch).Tensor)


def _feed_tensor(feed: _Feed, path: Path_, value: Any) -> None:
    """Feed a torch tensor from whatever device it is on; a distributed one by its local shard."""
    torch: Any = sys.modules["torch"]
    value = value.detach()
    if hasattr(value, "to_local"):
        value = value.to_local()
    kind = str(value.dtype).removeprefix("torch.")
    if kind not in TYPES or value.layout is not torch.strided or value.device.type == "meta":
        raise _no_form(path, f"a tensor of {kind}, {value.layout}, on {value.device}")
    if sys.byteorder != "little":
        raise _no_form(path, "a big-endian host")
    feed(_line([path, kind, list(value.shape)]))
    flat = value.resolve_conj().resolve_neg().contiguous().reshape(-1)
    step = max(1, CHUNK // value.element_size())
    for begin in range(0, flat.numel(), step):
        chunk = flat[begin : begin + step].cpu()
        size = chunk.numel() * chunk.element_size()
        feed((ctypes.c_char * size).from_address(chunk.data_ptr()))


def _line(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode("ascii") + b"\n"


def _no_form(path: Path_, found: str) -> HookError:
    return HookError(
        code="freeze-type",
        message="a value of the training's state has no byte form to commit to",
        expected="dicts with string or integer keys, lists, numbers, strings, bytes, dense arrays and tensors",
        found=f"{found}, at {'/'.join(str(part) for part in path) or 'the root'}",
        fix="leave it out, or turn it into an array or a string",
    )
