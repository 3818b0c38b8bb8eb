"""Files of reference rates in the layouts of the European Central Bank, with made-up rates."""

from collections.abc import Sequence
from typing import Final

_HEAD: Final = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<gesmes:Envelope xmlns:gesmes="http://www.gesmes.org/xml/2002-08-01"'
    ' xmlns="http://www.ecb.int/vocabulary/2002-08-01/eurofxref">'
)

#: eurofxref-daily.xml: one element a line, single quotes.
DAILY_XML: Final = (
    f"{_HEAD}\n"
    "\t<gesmes:subject>Reference rates</gesmes:subject>\n"
    "\t<gesmes:Sender>\n"
    "\t\t<gesmes:name>European Central Bank</gesmes:name>\n"
    "\t</gesmes:Sender>\n"
    "\t<Cube>\n"
    "\t\t<Cube time='2026-11-23'>\n"
    "\t\t\t<Cube currency='USD' rate='1.0512'/>\n"
    "\t\t\t<Cube currency='JPY' rate='161.85'/>\n"
    "\t\t\t<Cube currency='IDR' rate='17487.21'/>\n"
    "\t\t\t<Cube currency='ISK' rate='148.90'/>\n"
    "\t\t</Cube>\n"
    "\t</Cube>\n"
    "</gesmes:Envelope>"
).encode()

#: eurofxref.csv, from eurofxref.zip: a blank after each comma, and a comma after the last cell.
DAILY_CSV: Final = b"Date, USD, JPY, ISK, \n23 November 2026, 1.0512, 161.85, 148.90, \n"

#: eurofxref-hist.csv, from eurofxref-hist.zip: the latest day first, also former currencies.
HISTORY_CSV: Final = (
    b"Date,USD,JPY,LTL,ISK,\n"
    b"2026-11-23,1.0512,161.85,N/A,N/A,\n"
    b"2026-11-20,1.0498,N/A,3.4528,N/A,\n"
    b"2008-05-24,1.2939,131.25,3.4528,N/A,\n"
)


def write_xml(*days: tuple[str, Sequence[tuple[str, str]]]) -> bytes:
    """Return a file in the layout of eurofxref-hist-90d.xml: one line, double quotes."""
    written = "".join(
        f'<Cube time="{day}">'
        + "".join(f'<Cube currency="{currency}" rate="{rate}"/>' for currency, rate in rates)
        + "</Cube>"
        for day, rates in days
    )
    return (
        f"{_HEAD}<gesmes:subject>Reference rates</gesmes:subject><gesmes:Sender><gesmes:name>European Central Bank"
        f"</gesmes:name></gesmes:Sender><Cube>{written}</Cube></gesmes:Envelope>"
    ).encode()


NINETY_DAYS_XML: Final = write_xml(
    ("2026-11-23", [("USD", "1.0512"), ("JPY", "161.85")]), ("2026-11-20", [("USD", "1.0498"), ("JPY", "161.02")])
)
