"""The page of the sandbox bank, at which a buyer says yes or no. A real bank's page is the bank's own."""

from typing import Final

from fastapi import APIRouter, Depends, Request
from starlette.responses import RedirectResponse, Response

from pipeline.gateways import build_gateway
from pipeline.gateways.sandbox.bank import SandboxGateway
from pipeline.settings import Settings
from scripts.example_shop.web import read_form, render

#: Where the sandbox says that its page is; the rest of the address is the payment's reference.
SANDBOX_PAGE: Final = "https://bank.example/authenticate/"


def find_page(action: dict[str, str]) -> str:
    """Return where to send a buyer: to the bank's page, and to the shop's where the bank is the sandbox."""
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
