"""The page of the sandbox bank, where a buyer approves or refuses. A real bank serves its own page."""

from typing import Final

from fastapi import APIRouter, Depends, Request
from starlette.responses import RedirectResponse, Response

from pipeline.gateways import build_gateway
from pipeline.gateways.sandbox.bank import SandboxGateway
from pipeline.settings import Settings
from scripts.example_shop.web import read_form, render

#: The sandbox's address of its page; the payment's reference follows.
SANDBOX_PAGE: Final = "https://bank.example/authenticate/"


def find_page(action: dict[str, str]) -> str:
    """Return the address for a buyer: the bank's page, or the shop's own when the bank is the sandbox."""
    url = action.get("url", "")
    return f"/bank/{url.removeprefix(SANDBOX_PAGE)}" if url.startswith(SANDBOX_PAGE) else url


def build_bank(settings: Settings) -> APIRouter:
    """Return the routes of the bank's page."""
    router = APIRouter()
    bank = build_gateway(settings)

    @router.get("/bank/{reference}")
    def show(request: Request, reference: str) -> Response:
        return render(request, "bank.html", {"title": "Your bank", "reference": reference})

    @router.post("/bank/{reference}")
    def decide(reference: str, form: dict[str, str] = Depends(read_form)) -> Response:  # noqa: B008 (FastAPI's form)
        if isinstance(bank, SandboxGateway):
            (bank.approve if form.get("answer") == "yes" else bank.refuse)(reference)
        return RedirectResponse("/checkout", 303)

    return router
