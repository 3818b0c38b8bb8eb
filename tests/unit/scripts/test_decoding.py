"""The supported encodings, and the names of other file formats."""

import gzip
import io
import zipfile

import pytest

from scripts.importers.decoding import NotReadable, decode

TEXT = "sku,title\nA,Café \u2013 5 €\n"


def zipped(*names: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (TEXT.encode(), "utf-8"),
        (TEXT.encode("utf-8-sig"), "utf-8"),
        (TEXT.encode("utf-16"), "utf-16"),
        (b"\xfe\xff" + TEXT.encode("utf-16-be"), "utf-16"),
        (TEXT.encode("utf-16-le"), "utf-16"),
        (TEXT.encode("utf-16-be"), "utf-16"),
        (TEXT.encode("utf-32"), "utf-32"),
        (TEXT.encode("cp1252"), "windows-1252"),
    ],
)
def test_supported_encodings_are_read(content: bytes, encoding: str) -> None:
    assert decode(content) == (TEXT, encoding)


def test_the_euro_sign_and_the_dash_of_windows_are_not_control_characters() -> None:
    # latin-1 reads the same bytes as U+0080 and U+0096
    assert decode(b"Caf\x80 \x96 \x93x\x94") == ("Caf€ \u2013 “x”", "windows-1252")


def test_two_bytes_of_windows_1252_that_happen_to_be_utf_8_are_outvoted() -> None:
    text = "NESCAFÉ®, Crème, Brûlée"

    assert decode(text.encode("cp1252")) == (text, "windows-1252")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (TEXT.encode()[: TEXT.encode().index("€".encode()) + 1], "it ends in the middle of a letter: it is cut off"),
        (TEXT.encode("utf-16")[:-1], "it begins as UTF-16 and cannot be read as that to its end"),
        ((TEXT + TEXT).encode() + b"\xe9\n", "its UTF-8 is broken (byte 0xe9 in line 5): save it as UTF-8 again"),
        (b"a,b\n\x81\n", "it is neither UTF-8 nor UTF-16 nor windows-1252 (byte 0x81 in line 2): save it as UTF-8"),
        (gzip.compress(b"x", mtime=0), "it is a gzip file: unpack it with gunzip, and import what comes out"),
        (zipped("a.csv"), "it is a ZIP archive: unpack it, and import the CSV file that is in it"),
        (zipped("xl/workbook.xml"), "it is an Excel workbook (xlsx): save its sheet as CSV UTF-8, and import that"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "it is an old Excel workbook (xls): save its sheet as CSV UTF-8, and import"),
        (b"%PDF-1.7", "it is a PDF document: ask for the table as CSV"),
    ],
)
def test_other_formats_are_refused_by_name(content: bytes, reason: str) -> None:
    with pytest.raises(NotReadable) as refused:
        decode(content)

    assert str(refused.value).startswith(reason)
