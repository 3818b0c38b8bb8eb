"""Invoice numbers, countries and unknown columns of an invoice file."""

import pytest

from scripts.invoice_replay.countries import COUNTRIES
from scripts.invoice_replay.invoices import NotReadable, RowRefusal, read_invoices
from tests.unit.scripts.test_invoices import HEADER, read, row


@pytest.mark.parametrize(
    "number", ["CA-2018-152156", "C-17", "C", "CN1001", "c12a", "C 12", "C1.5", "AC123", "C\u0661"]
)
def test_a_number_that_only_begins_like_a_cancellation_is_a_sale(number: str) -> None:
    invoices, refused = read(row(number=number))

    assert ([invoice.number for invoice in invoices], refused) == ([number], [])


@pytest.mark.parametrize("number", ["C1", "C536379", "c536379", "C000"])
def test_c_and_digits_is_a_cancellation(number: str) -> None:
    assert read(row(number=number)) == ([], [RowRefusal(2, f"cancelled invoice {number!r}")])


@pytest.mark.parametrize(
    ("text", "code"),
    [
        *(("GB", "GB"), ("gb", "GB"), ("GBR", "GB"), ("gbr", "GB"), ("de", "DE"), ("IRL", "IE"), ("XK", "XK")),
        *(("United Kingdom", "GB"), ("EIRE", "IE"), ("RSA", "ZA"), ("Ireland", "IE"), ("Viet Nam", "VN")),
        *(("Vietnam", "VN"), ("C\u00f4te d'Ivoire", "CI"), ("NEW ZEALAND", "NZ"), ("USA", "US"), ("us", "US")),
    ],
)
def test_a_country_by_code_or_name(text: str, code: str) -> None:
    invoices, refused = read(row(country=text))

    assert ([invoice.country for invoice in invoices], refused) == ([code], [])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("UK", "'UK' is no country of ISO 3166: use GB"),
        ("EL", "'EL' is no country of ISO 3166: use GR"),
        ("XX", "country 'XX': no place known to send to"),
        ("826", "country '826': no place known to send to"),
        ("West Indies", "country 'West Indies': no place known to send to"),
        ("G", "country 'G': no place known to send to"),
        ("x" * 5000, f"country '{'x' * 57}...': no place known to send to"),
    ],
)
def test_an_unknown_country_is_refused(text: str, reason: str) -> None:
    assert read(row(country=text)) == ([], [RowRefusal(2, reason)])


def test_the_names_of_the_data_set_stay_what_they_were() -> None:
    invoices, refused = read("".join(row(number=str(at), country=name) for at, name in enumerate(COUNTRIES)))

    assert ([invoice.country for invoice in invoices], refused) == (list(COUNTRIES.values()), [])


@pytest.mark.parametrize("name", ["Discount", "Currency", "VAT", "Status", "Unit of measure", "Refunded"])
def test_a_column_that_could_change_an_invoice_refuses_the_file(name: str) -> None:
    content = f"{HEADER.strip()},{name}\n{row().strip()},1\n".encode()

    with pytest.raises(NotReadable, match=f"could change what is: '{name}'"):
        read_invoices(content, "GBP")

    found = read_invoices(content, "GBP", ignored=[name])
    assert ([invoice.total_minor for invoice in found.invoices], found.unread) == ([510], (name,))


def test_a_truncated_last_row_is_accepted_only_with_force() -> None:
    content = (HEADER + row() + "1,A,KETTLE,2,12/1/2010,2.5").encode()

    assert [refusal.row for refusal in read_invoices(content, "GBP").refused] == [3]
    forced = read_invoices(content + b"5,17850,France", "GBP", force=True)
    assert [refusal.reason for refusal in forced.refused] == [
        "country 'France': in row 2 the same invoice goes elsewhere"
    ]
