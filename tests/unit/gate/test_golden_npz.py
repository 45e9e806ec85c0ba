"""Arrays as numpy itself writes them, and files that nobody should read."""

import io
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from savedmodel_operator.gate.golden_npz import MAX_BYTES, Array, MalformedNpz, read_npz

DTYPES = ("?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")


def pack(compress=False, **arrays):
    buffer = io.BytesIO()
    (np.savez_compressed if compress else np.savez)(buffer, **arrays)
    return buffer.getvalue()


def same(array, wanted):
    assert isinstance(array, Array)
    assert array.shape == wanted.shape
    np.testing.assert_array_equal(
        np.array(array.nested, wanted.dtype).reshape(wanted.shape), wanted
    )


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("code", DTYPES)
def test_every_plain_dtype(code, order):
    wanted = np.array([[0, 1, 1], [1, 0, 1]], np.dtype(code).newbyteorder(order))
    array = read_npz(pack(**{"in:x": wanted}))["in:x"]
    same(array, wanted)
    assert array.dtype == np.dtype(code).name


@settings(max_examples=150, deadline=None)
@given(
    npst.arrays(
        dtype=st.sampled_from([np.dtype(code) for code in DTYPES]),
        shape=npst.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4),
    ),
    st.booleans(),
    st.booleans(),
)
def test_what_numpy_writes_is_what_is_read(wanted, fortran, compress):
    stored = np.asarray(wanted, order="F") if fortran else wanted
    same(read_npz(pack(compress, x=stored))["x"], wanted)


def test_nan_and_infinities_survive():
    nested = read_npz(pack(x=np.array([np.nan, np.inf, -np.inf])))["x"].nested
    assert repr(nested) == "[nan, inf, -inf]"


def test_strings_are_bytes_in_any_spelling():
    given_bytes = np.array([[b"ab\xff", b""], [b"c", b"d\x00e"]])
    given_text = np.array(["größe", "", "x"])
    found = read_npz(pack(a=given_bytes, b=given_text, c=given_text.astype(">U5")))
    assert found["a"].nested == [[b"ab\xff", b""], [b"c", b"d\x00e"]]
    assert found["b"].nested == ["größe".encode(), b"", b"x"]
    assert found["c"].nested == found["b"].nested
    assert found["a"].dtype == "string"


def test_all_versions_of_the_format():
    for version in ((1, 0), (2, 0), (3, 0)):
        buffer, file = io.BytesIO(), io.BytesIO()
        np.lib.format.write_array(file, np.arange(6.0).reshape(2, 3), version=version)
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("x.npy", file.getvalue())
        assert read_npz(buffer.getvalue())["x"].nested == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]


def member(content, name="x.npy", compression=zipfile.ZIP_DEFLATED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


def npy(header, body=b""):
    text = header.encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + body


def header(descr="<f4", shape="(1,)"):
    return f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n"


REFUSED = {
    "objects": (pack(x=np.array([{}, None], object)), "would have to be unpickled"),
    "complex numbers": (pack(x=np.array([1j])), "dtype <c16, which REST requests cannot carry"),
    "a structured dtype": (pack(x=np.zeros(2, [("a", "f4")])), "structured or unreadable dtype"),
    "times": (pack(x=np.array(["2026-01-01"], "datetime64[D]")), "cannot carry"),
    "no zip": (b"PK not a zip", "it is no .npz file"),
    "a cut zip": (pack(x=np.arange(100.0))[:-30], "it is no .npz file"),
    "something else in a zip": (member(b"hello, world"), "no .npy file"),
    "another compression": (member(npy(header()), compression=zipfile.ZIP_LZMA), "compressed by"),
    "more data than the shape": (member(npy(header(), b"12345678")), "its shape says another size"),
    "less data than the shape": (member(npy(header(shape="(9,)"), b"1234")), "another size"),
    "a header that lies on its length": (member(b"\x93NUMPY\x01\x00\xff\xff{}"), "damaged"),
    "code in the header": (member(npy("__import__('os').getpid()")), "unreadable dtype"),
    "a huge empty array": (member(npy(header(shape="(999999999999, 0)"))), "at most 524288 values"),
    "a huge array": (member(npy(header(shape="(999999999999,)"))), "at most 524288 values"),
    "a size of many digits": (member(npy(header(shape=f"({'9' * 3000},)"))), "at most 524288"),
    "many dimensions": (member(npy(header(shape=f"({'1, ' * 40})"), b"1234")), "16 dimensions"),
    "a wide string": (member(npy(header("|S999999999", "(2,)"), b"ab")), "another size"),
    "many arrays": (pack(**{f"a{i}": np.zeros(1) for i in range(65)}), "65 arrays, at most 64"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_says_why(name):
    data, text = REFUSED[name]
    with pytest.raises(MalformedNpz) as caught:
        read_npz(data)
    assert text in str(caught.value)


@pytest.mark.parametrize("lie", [None, 10])
def test_a_bomb_takes_no_memory(lie):
    """200 MB of zeros in 200 KB, honest or not about its size in the zip's directory."""
    data = member(npy(header("|u1", "(200000000,)"), bytes(200_000_000)))
    if lie is not None:
        at = data.rindex(b"PK\x01\x02") + 24
        data = data[:at] + struct.pack("<I", lie) + data[at + 4 :]
    tracemalloc.start()
    with pytest.raises(MalformedNpz):
        read_npz(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * MAX_BYTES


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_files_are_refused_or_read_and_nothing_else(data):
    whole = bytearray(pack(x=np.arange(12.0).reshape(3, 4), s=np.array([b"a", b"bc"])))
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        read_npz(bytes(whole))
    except MalformedNpz:
        return


@given(st.binary(max_size=300))
def test_any_bytes_in_a_member_are_refused_or_read(content):
    for data in (member(content), member(b"\x93NUMPY\x01\x00" + content)):
        try:
            read_npz(data)
        except MalformedNpz:
            continue
