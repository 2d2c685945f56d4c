"""The freeze commitment: as docs/spec/freeze.md says, alike for NumPy and torch, different for what differs."""

from __future__ import annotations

import hashlib
import json
import re
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from brakeline.node import freeze as module
from brakeline.node.freeze import freeze, freeze_files, freeze_ranks
from brakeline.node.hook import HookError
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tests.node.house import ROOT

TYPES = ("bool", "int8", "uint8", "int32", "int64", "float16", "float32", "float64", "complex64", "complex128")
ARRAYS = st.sampled_from(TYPES).flatmap(
    lambda kind: arrays.arrays(np.dtype(kind), arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.binary(max_size=4)
TREES = st.recursive(
    SCALARS | ARRAYS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3),
    max_leaves=8,
)


def by_the_page(path: list[object], value: object) -> bytes:
    """Encode as docs/spec/freeze.md says, without a thought for memory: an implementation of its own."""

    def line(kind: str, detail: object) -> bytes:
        return json.dumps([path, kind, detail], separators=(",", ":")).encode() + b"\n"

    if isinstance(value, dict):
        ordered = sorted(value.items(), key=lambda item: json.dumps(item[0]).encode() + b"\n")
        return line("dict", len(value)) + b"".join(by_the_page([*path, k], v) for k, v in ordered)
    if isinstance(value, list):
        return line("list", len(value)) + b"".join(by_the_page([*path, i], v) for i, v in enumerate(value))
    if isinstance(value, np.ndarray):
        return line(value.dtype.name, list(value.shape)) + value.astype(value.dtype.newbyteorder("<")).tobytes()
    if isinstance(value, bytes):
        return line("bytes", len(value)) + value
    if isinstance(value, float):
        return line("float", None) + struct.pack("<d", value)
    return line("null" if value is None else type(value).__name__, value)


@given(TREES)
def test_the_digest_is_the_one_of_the_specification(tree: object) -> None:
    assert freeze(tree) == hashlib.sha256(b"brakeline/freeze/v1\n" + by_the_page([], tree)).hexdigest()


def test_the_example_of_the_page_is_right() -> None:
    page = (ROOT / "docs" / "spec" / "freeze.md").read_text()
    (stated,) = re.findall(r"its digest is `([0-9a-f]{64})`", page)
    assert freeze({"b": [1.5, None], "a": np.array([[1, 2]], np.float32)}) == stated


@given(ARRAYS)
def test_strides_order_and_byte_order_do_not_matter_and_every_bit_does(array: np.ndarray) -> None:
    state = {"x": array, "y": 1}
    assert freeze({"y": 1, "x": array.copy(order="F")}) == freeze(state)
    assert freeze({"x": array.astype(array.dtype.newbyteorder(">")), "y": 1}) == freeze(state)
    assert freeze({"x": array[None], "y": 1}) != freeze(state)
    if array.size:
        changed = array.copy()
        raw = changed.reshape(-1).view("u1")
        raw[-1] ^= 1
        assert freeze({"x": changed, "y": 1}) != freeze(state)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1}, {"a": True}),
        ({"a": 1}, {"a": 1.0}),
        ({1: 1}, {"1": 1}),
        ({"a": {}}, {"a": []}),
        ({"a": None}, {}),
        ([[1], 2], [[1, 2]]),
        ("1", 1),
        (b"1", "1"),
        (np.float64(1), 1.0),
        (0.0, -0.0),
    ],
)
def test_what_differs_has_another_digest(one: object, other: object) -> None:
    assert freeze(one) != freeze(other)


def test_large_arrays_are_fed_in_pieces_and_give_the_same_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    tree = {"x": np.arange(1000, dtype=np.float32).reshape(10, 100)}
    whole = freeze(tree)
    monkeypatch.setattr(module, "CHUNK", 12)
    assert freeze(tree) == whole


@pytest.mark.parametrize("value", [{1.5: 1}, {"a": {2, 3}}, {"a": [object()]}, np.array(["text"]), {True: 1}])
def test_what_has_no_form_is_an_error_that_says_where(value: object) -> None:
    with pytest.raises(HookError) as error:
        freeze(value)
    assert error.value.code == "freeze-type"
    assert "at " in str(error.value)


def test_torch_and_numpy_agree_for_every_type_both_have() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed (the extra `torch`)")
    for kind in TYPES:
        array = np.arange(12).reshape(3, 4).astype(kind)
        tensor = torch.from_numpy(array.copy())
        assert freeze([tensor]) == freeze([array])
        assert freeze([tensor.t()]) == freeze([np.ascontiguousarray(array.T)])
        assert freeze([tensor[1:, ::2]]) == freeze([array[1:, ::2]])
    assert freeze(torch.tensor(3.0)) == freeze(np.array(3.0, np.float32))
    lazily = torch.tensor([1 + 2j]).conj()
    assert freeze(lazily) == freeze(np.array([1 - 2j], np.complex64))
    bfloat = torch.tensor([1.0, -2.0], dtype=torch.bfloat16)
    expected = b'brakeline/freeze/v1\n[[],"bfloat16",[2]]\n' + bytes.fromhex("803f00c0")
    assert freeze(bfloat) == hashlib.sha256(expected).hexdigest()
    for refused in (torch.empty(1, device="meta"), torch.eye(2).to_sparse()):
        with pytest.raises(HookError, match="freeze-type"):
            freeze(refused)


def test_ranks_and_files_have_forms_of_their_own(tmp_path: Path) -> None:
    lines = b"0 " + b"a" * 64 + b"\n1 " + b"b" * 64 + b"\n"
    assert freeze_ranks(["a" * 64, "b" * 64]) == hashlib.sha256(b"brakeline/freeze-ranks/v1\n" + lines).hexdigest()
    (tmp_path / "c" / "sub").mkdir(parents=True)
    (tmp_path / "c" / "sub" / "b.bin").write_bytes(b"22")
    (tmp_path / "c" / "a.bin").write_bytes(b"1")
    (tmp_path / "single").write_bytes(b"")
    said = b'[0,"a.bin",1]\n1[0,"sub/b.bin",2]\n22[1,"",0]\n'
    expected = hashlib.sha256(b"brakeline/freeze-files/v1\n" + said).hexdigest()
    assert freeze_files([tmp_path / "c", tmp_path / "single"]) == expected
    for missing in (tmp_path / "nothing", tmp_path / "empty"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(HookError, match="freeze-files"):
            freeze_files([missing])


def test_what_the_training_imports_needs_nothing_but_the_standard_library() -> None:
    script = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'node')!r}); before = set(sys.modules)\n"
        "import brakeline.node.hook, brakeline.node.freeze\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(new - set(sys.stdlib_module_names)))"
    )
    command = [sys.executable, "-S", "-I", "-c", script]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.strip() == "['brakeline']"
    listing = [sys.executable, "-S", "-I", "-c", script.replace("new - set", "{n for n in sys.modules} - set")]
    names = subprocess.run(listing, capture_output=True, text=True, check=True).stdout
    found = {n for n in re.findall(r"'([\w.]+)'", names) if n.partition(".")[0] == "brakeline"}
    assert found == {"brakeline", *(f"brakeline.node{m}" for m in ("", ".freeze", ".hook", ".pace"))}
