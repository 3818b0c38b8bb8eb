"""The configuration of HAProxy: what it is made from."""

import pytest
from typer.testing import CliRunner

from pipeline.errors import Invalid
from pipeline.operations.cells import CellAddress, parse_cells, write_haproxy
from scripts.cells import app

TWO = ["a=http://10.0.0.1:8000", "b=https://b.example.org", "a=http://[::1]"]


def test_addresses_are_read() -> None:
    assert parse_cells(TWO) == [
        CellAddress("a", "10.0.0.1", 8000, uses_tls=False),
        CellAddress("b", "b.example.org", 443, uses_tls=True),
        CellAddress("a", "[::1]", 80, uses_tls=False),
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("http://10.0.0.1:8000", "a cell is named by a lower-case letter"),
        ("EU=http://10.0.0.1:8000", "a cell is named by a lower-case letter"),
        ("a=10.0.0.1:8000", "its address begins with http"),
        ("a=ftp://10.0.0.1", "its address begins with http"),
        ("a=http://10.0.0.1:99999", "and its port is no number from 1 to 65535"),
        ("a=http://10.0.0.1/path", "has a host and a port, and nothing else"),
        ("a=http://user:" + "secret" + "@10.0.0.1:80", "has a host and a port, and nothing else"),
        ("a=http://", "has a host and a port, and nothing else"),
        ("a=http://x\n    server evil", "has a host and a port, and nothing else"),
    ],
)
def test_any_other_address_is_refused(text: str, why: str) -> None:
    with pytest.raises(Invalid, match=why) as refused:
        parse_cells([text])
    assert "secret" not in str(refused.value)


def test_a_repeated_address_and_none_are_refused() -> None:
    with pytest.raises(Invalid, match="an address of a cell is there twice"):
        parse_cells([TWO[0], TWO[0]])
    with pytest.raises(Invalid, match="no cell is named"):
        parse_cells([])


def test_each_cell_has_its_backend_and_each_edge_a_check() -> None:
    lines = [line.strip() for line in write_haproxy(parse_cells(TWO), bind="10.0.0.9:80", default="b").splitlines()]
    assert [line for line in lines if line.startswith(("use_backend", "default_backend"))] == [
        "use_backend cell_a if { var(txn.cell) -m str a }",
        "use_backend cell_b if { var(txn.cell) -m str b }",
        "default_backend cell_b",
    ]
    assert [line for line in lines if line.startswith("server ")] == [
        "server edge1 10.0.0.1:8000 check",
        "server edge2 [::1]:80 check",
        "server edge1 b.example.org:443 check ssl verify required ca-file @system-ca",
    ]
    assert "bind 10.0.0.9:80" in lines
    assert "map_str" not in " ".join(lines)
    assert "default_backend cell_a" in write_haproxy(parse_cells(TWO))


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--default", "c"], "the default cell c has no address"),
        (["--moved-keys", "keys map"], "the file of moved keys is an absolute path without blanks"),
        (["--bind", ":80\nlisten x"], "the address to listen at is written as"),
        (["--cell", "B=http://x"], "a cell is named by a lower-case letter"),
    ],
)
def test_the_command_refuses_with_a_sentence(options: list[str], why: str) -> None:
    done = CliRunner().invoke(app, ["map", "--cell", TWO[0], *options])
    assert (done.exit_code, done.stdout) == (1, "")
    assert why in done.stderr


def test_the_cell_of_an_order_number_is_shown() -> None:
    shown = [
        CliRunner().invoke(app, ["show", number]) for number in ("1001", "100000001001", "9000000000000000", "#1001")
    ]
    assert [(each.exit_code, each.stdout.strip()) for each in shown] == [
        (0, "This number was drawn without a cell."),
        (0, "a"),
        (1, ""),
        (1, ""),
    ]
