"""Turns the content of a file into text, and recognises files that are no tables.

It reads UTF-8 with or without a byte order mark, UTF-16, UTF-32 with a mark, and windows-1252, and guesses no further:
a file that is cut off in the middle of a character, or whose UTF-8 is broken, is refused as a whole, since its letters
would be wrong.
"""

import codecs
from typing import Final

__all__ = ["NotReadable", "decode"]

#: Byte order marks, the longer ones first: a mark of UTF-32 begins with one of UTF-16.
MARKS: Final = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)
#: The first bytes of other file formats, and what the user must do with such a file.
FORMS: Final = (
    (b"\x1f\x8b", "it is a gzip file: unpack it with gunzip, and import what comes out"),
    (b"BZh91AY&SY", "it is a bzip2 file: unpack it with bunzip2, and import what comes out"),
    (b"\xfd7zXZ\x00", "it is an xz file: unpack it with unxz, and import what comes out"),
    (b"\x28\xb5\x2f\xfd", "it is a zstd file: unpack it with unzstd, and import what comes out"),
    (b"7z\xbc\xaf\x27\x1c", "it is a 7-Zip archive: unpack it, and import the file that is in it"),
    (b"\xd0\xcf\x11\xe0", "it is an old Excel workbook (xls): save its sheet as CSV UTF-8, and import that"),
    (b"%PDF", "it is a PDF document: ask for the table as CSV"),
    (b"SQLite format 3\x00", "it is a SQLite database: export its table as CSV"),
)
ZIP: Final = b"PK\x03\x04"
#: Names inside spreadsheet files, which are ZIP archives.
WORKBOOKS: Final = ((b"xl/", "an Excel workbook (xlsx)"), (b"vnd.oasis.opendocument", "an OpenDocument sheet (ods)"))
#: The part of a file that is checked for UTF-16 without a mark: in Latin text every other byte is zero.
HEAD_BYTES: Final = 200


class NotReadable(ValueError):
    """The file as a whole cannot be used."""


def decode(content: bytes) -> tuple[str, str]:
    """Return the text and its encoding: `utf-8`, `utf-16`, `utf-32` or `windows-1252`; raise NotReadable for others.

    Windows-1252 is used when the others do not fit, and may give wrong letters: the caller must warn about it.
    """
    _refuse_other_forms(content)
    for mark, codec in MARKS:
        if content.startswith(mark):
            return _decode_strictly(content, codec), codec.removesuffix("-sig")
    head = content[:HEAD_BYTES]
    if len(head) > 1 and (head.count(0) > len(head) // 3):
        return _decode_strictly(content, "utf-16-le" if head[1:2] == b"\x00" else "utf-16-be"), "utf-16"
    try:
        return content.decode("utf-8"), "utf-8"
    except UnicodeDecodeError as error:
        _refuse_broken_utf_8(content, error)
    try:
        return content.decode("cp1252"), "windows-1252"
    except UnicodeDecodeError as error:
        raise NotReadable(
            f"it is neither UTF-8 nor UTF-16 nor windows-1252 (byte {content[error.start]:#04x} in line"
            f" {_line_of(content, error.start)}): save it as UTF-8"
        ) from error


def _refuse_other_forms(content: bytes) -> None:
    for mark, sentence in FORMS:
        if content.startswith(mark):
            raise NotReadable(sentence)
    if content.startswith(ZIP):
        for name, form in WORKBOOKS:
            if name in content:
                raise NotReadable(f"it is {form}: save its sheet as CSV UTF-8, and import that")
        raise NotReadable("it is a ZIP archive: unpack it, and import the CSV file that is in it")


def _decode_strictly(content: bytes, codec: str) -> str:
    try:
        return content.decode(codec)
    except UnicodeDecodeError as error:
        raise NotReadable(
            f"it begins as {codec.removesuffix('-sig').upper()} and cannot be read as that to its end ({error.reason}"
            f" in line {_line_of(content, error.start)}): it is cut off or damaged, so get it again"
        ) from error


def _refuse_broken_utf_8(content: bytes, error: UnicodeDecodeError) -> None:
    """Raise NotReadable when most non-ASCII letters are UTF-8: windows-1252 would turn each into two."""
    shown = content.decode("utf-8", errors="replace")
    broken = shown.count("\ufffd")
    whole = len(shown) - len(shown.encode("ascii", errors="ignore")) - broken
    if whole < broken:
        return
    if error.end == len(content) and error.reason == "unexpected end of data":
        raise NotReadable("it ends in the middle of a letter: it is cut off, so get it again")
    raise NotReadable(
        f"its UTF-8 is broken (byte {content[error.start]:#04x} in line {_line_of(content, error.start)}): save it as"
        " UTF-8 again"
    )


def _line_of(content: bytes, position: int) -> int:
    return content.count(b"\n", 0, position) + 1
