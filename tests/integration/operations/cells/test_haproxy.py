"""The configuration that `checkout cells map` prints, in a real HAProxy."""

import http.client
import json
from pathlib import Path

from pipeline.errors import Code, Unavailable
from pipeline.operations.cells import parse_cells, write_haproxy
from tests.integration.operations.cells.proxy_place import ask, check, find_port, needs_haproxy, open_edge, run_proxy
from tests.support.patience import WAIT_SECONDS
from workers.web.responses.problem_details import make_problem

SECRET = "s" * 43
MOVED, STAYED, OLD = "m" * 12, "k" * 12, "o" * 12


@needs_haproxy
def test_a_request_goes_to_the_cell_of_its_key(tmp_path: Path) -> None:
    moved = tmp_path / "moved.map"
    moved.write_text(f"{MOVED} eu2\n{OLD} eu2\n")
    with open_edge("one") as one, open_edge("two") as two:
        port = find_port()
        cells = parse_cells([f"a={one.url}", f"eu2={two.url}"])
        path = check(write_haproxy(cells, bind=f"127.0.0.1:{port}", moved_keys=str(moved)), tmp_path)
        with run_proxy(path, port):
            answers = {
                name: ask(port, header)
                for name, header in {
                    "a": f"Bearer ck_a_{STAYED}_{SECRET}",
                    "eu2": f"Bearer ck_eu2_{STAYED}_{SECRET}",
                    "lower case": f"bearer ck_eu2_{STAYED}_{SECRET}",
                    "moved": f"Bearer ck_a_{MOVED}_{SECRET}",
                    "without a cell": f"Bearer ck_{STAYED}_{SECRET}",
                    "without a cell, moved": f"Bearer ck_{OLD}_{SECRET}",
                    "unknown cell": f"Bearer ck_zz_{STAYED}_{SECRET}",
                    "a longer name": f"Bearer ck_eu22_{STAYED}_{SECRET}",
                    "no key": None,
                    "another scheme": "Basic Y2tfZXUyX3g6eQ==",
                    "the secret is no cell": f"Bearer ck_{STAYED}_eu2",
                }.items()
            }
        assert answers == {
            "a": (200, "one"),
            "eu2": (200, "two"),
            "lower case": (200, "two"),
            "moved": (200, "two"),
            "without a cell": (200, "one"),
            "without a cell, moved": (200, "two"),
            "unknown cell": (200, "one"),
            "a longer name": (200, "one"),
            "no key": (200, "one"),
            "another scheme": (200, "one"),
            "the secret is no cell": (200, "one"),
        }
        assert two.keys.count(f"Bearer ck_a_{MOVED}_{SECRET}") == 1


@needs_haproxy
def test_a_cell_that_is_down_takes_no_other_one_with_it(tmp_path: Path) -> None:
    port = find_port()
    with open_edge("one") as one:
        cells = parse_cells([f"a={one.url}", f"b=http://127.0.0.1:{find_port()}", "c=http://no.such.host.invalid"])
        path = check(write_haproxy(cells, bind=f"127.0.0.1:{port}"), tmp_path)
        with run_proxy(path, port):
            assert [ask(port, f"Bearer ck_{cell}_{STAYED}_{SECRET}")[0] for cell in ("a", "b", "c")] == [200, 503, 503]
            assert ask(port, f"Bearer ck_a_{STAYED}_{SECRET}") == (200, "one")
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_SECONDS)
            connection.request("GET", "/checkout", headers={"Authorization": f"Bearer ck_b_{STAYED}_{SECRET}"})
            answer = connection.getresponse()
            problem = json.loads(answer.read())
            connection.close()
        # ... and its buyers are told as by an edge that they may repeat the request.
        assert (answer.headers["Retry-After"], answer.headers["Cache-Control"]) == ("2", "no-store")
        assert answer.headers["Content-Type"] == "application/problem+json"
        expected = make_problem(Code.UNAVAILABLE, str(Unavailable(Code.UNAVAILABLE)), {})
        assert problem == expected.model_dump(mode="json", exclude_none=True)


@needs_haproxy
def test_of_two_edges_of_a_cell_the_other_one_serves(tmp_path: Path) -> None:
    port = find_port()
    with open_edge("one") as one:
        cells = parse_cells([f"a=http://127.0.0.1:{find_port()}", f"a={one.url}"])
        path = check(write_haproxy(cells, bind=f"127.0.0.1:{port}"), tmp_path)
        with run_proxy(path, port):
            assert {ask(port, f"Bearer ck_a_{STAYED}_{SECRET}") for _ in range(10)} == {(200, "one")}
