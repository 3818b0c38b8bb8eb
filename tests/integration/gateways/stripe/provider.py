"""What localstripe lacks of Stripe, for the calls of the adapter: as little as their answers need.

Rules: an intent with another status than a call needs refuses the call, and the error has the intent (localstripe
captures cancelled intents and refunds twice). A PaymentMethod may come with the confirmation, also after a decline, or
a ConfirmationToken, once. Fields: `amount_received`, `amount_capturable`, `cancellation_reason`, `description`,
`shipping`, `receipt_email`, metadata at a capture, a charge's `payment_method_details`; objects are included only
where they are expanded; lists are cut at `created`; amounts have a bound. Parameters that it does not know are
left out.
"""

from dataclasses import dataclass, field
from http import HTTPStatus
from threading import Lock
from typing import Any, Final
from urllib.parse import quote

from tests.integration.gateways.stripe.aftermath import Aftermath
from tests.integration.gateways.stripe.local import Local, Reply

INTENTS: Final = "/v1/payment_intents"
REFUNDS: Final = "/v1/refunds"
#: Eight digits, whatever the currency.
LARGEST: Final = 99_999_999
#: Its own larger pages take longer than the time-outs of the tests.
PAGE: Final = 20
#: How long an authorisation lives.
LIFE_SECONDS: Final = 7 * 24 * 3600

#: Where an intent must stand for an action on it.
NEEDS: Final = {
    "confirm": {"requires_payment_method", "requires_confirmation"},
    "capture": {"requires_capture"},
    "cancel": {"requires_payment_method", "requires_confirmation", "requires_action", "requires_capture"},
}

Fields = dict[str, Any]


@dataclass
class Provider:
    """Answers one request after the other. Beyond localstripe it knows which intents it made and when, why one was
    cancelled, a buyer's return address, the details of a purchase, and the PaymentMethods of ConfirmationTokens.
    """

    local: Local
    made: list[tuple[str, int]] = field(default_factory=list)
    reasons: dict[str, str] = field(default_factory=dict)
    return_urls: dict[str, str] = field(default_factory=dict)
    extras: dict[str, Fields] = field(default_factory=dict)
    confirmation_tokens: dict[str, str] = field(default_factory=dict)
    aftermath: Aftermath = field(default_factory=Aftermath)
    _turn: Lock = field(default_factory=Lock)

    def answer(self, method: str, path: str, fields: Fields) -> Reply:
        """Answer a request; the names of its fields are flat, as in `metadata[checkout_id]`."""
        expand = [value for name, value in fields.items() if name.startswith("expand[")]
        given = {name: value for name, value in fields.items() if not name.startswith("expand[")}
        with self._turn:
            match method, path.split("/")[2:]:
                case "GET", ["payment_intents"]:
                    return self._list(given, [each.removeprefix("data.") for each in expand])
                case "GET", ["payment_intents", reference]:
                    return self._show(self.local.get(f"{INTENTS}/{reference}"), expand)
                case "POST", ["payment_intents"]:
                    return self._show(self._create(given), expand)
                case "POST", ["payment_intents", reference, action] if action in NEEDS:
                    return self._show(self._act(reference, action, given), expand)
                case "POST", ["refunds"]:
                    return self._refund(given)
                case "GET", ["refunds"] if not self.local.get(f"{INTENTS}/{given['payment_intent']}").body.get("id"):
                    message = f"No such payment_intent: '{given['payment_intent']}'"
                    return refuse(404, message, code="resource_missing", param="payment_intent")
                case "GET", ["refunds"]:
                    return self.aftermath.list_refunds(self._read_charge(given["payment_intent"]), given)
                case "GET", ["disputes"]:
                    return self.aftermath.list_disputes(given)
                case _:
                    return refuse(HTTPStatus.NOT_FOUND, f"Unrecognized request URL ({method}: {path}).")

    def make_confirmation_token(self, payment_method: str) -> str:
        """Make a ConfirmationToken as the buyer's browser does; returns its id."""
        with self._turn:
            token = f"ctoken_1Test{len(self.confirmation_tokens)}"
            self.confirmation_tokens[token] = payment_method
            return token

    def let_expire(self, reference: str) -> None:
        """Cancel an intent as Stripe does when its authorisation has run out."""
        with self._turn:
            assert self.local.post(f"{INTENTS}/{reference}/cancel").status == HTTPStatus.OK
            self.reasons[reference] = "expired"

    def _create(self, given: Fields) -> Reply:
        if any(name.startswith("payment_method_types") for name in given):
            return refuse(400, "Removed in 2026-09-30.endive.", code="payment_method_types_no_longer_supported")
        if int(given["amount"]) > LARGEST:
            return refuse(400, "Amount must be no more than 999,999.99.", code="amount_too_large", param="amount")
        known: Fields = {name: given[name] for name in ("amount", "currency", "capture_method") if name in given}
        answer = self.local.post(INTENTS, {**known, "metadata": read_nested("metadata", given)})
        if answer.status == HTTPStatus.OK:
            self.made.append((answer.body["id"], answer.body["created"]))
            extras = {"description": given.get("description"), "receipt_email": given.get("receipt_email")}
            self.extras[answer.body["id"]] = {**extras, "shipping": read_nested("shipping", given) or None}
        return answer

    def _act(self, reference: str, action: str, given: Fields) -> Reply:
        found = self.local.get(f"{INTENTS}/{reference}")
        if found.status != HTTPStatus.OK:
            return found
        intent = found.body
        if intent["status"] not in NEEDS[action]:
            message = f"You cannot {action} this PaymentIntent because it has a status of {intent['status']}."
            shown = self._amend(intent, [])
            return refuse(400, message, code="payment_intent_unexpected_state", payment_intent=shown)
        if action == "confirm":
            return self._confirm(reference, given)
        if action == "capture" and int(given["amount_to_capture"]) > intent["amount"]:
            return refuse(400, "The amount is too large.", code="amount_too_large", param="amount_to_capture")
        if metadata := read_nested("metadata", given):
            self.local.post(f"{INTENTS}/{reference}", {"metadata": {**intent["metadata"], **metadata}})
        known = {name: value for name, value in given.items() if not name.startswith("metadata[")}
        return self.local.post(f"{INTENTS}/{reference}/{action}", known)

    def _confirm(self, reference: str, given: Fields) -> Reply:
        if "confirmation_token" in given:
            confirmation_token = given["confirmation_token"]
            token = self.confirmation_tokens.pop(confirmation_token, None)
            if token is None:
                message = f"No such confirmation_token: '{confirmation_token}'"
                return refuse(400, message, code="resource_missing", param="confirmation_token")
            if shipping := read_nested("shipping", given):
                self.extras[reference]["shipping"] = shipping
        else:
            token = given["payment_method"]
        if self.local.get(f"/v1/payment_methods/{quote(token, safe='')}").status != HTTPStatus.OK:
            message = f"No such PaymentMethod: '{token}'"
            return refuse(400, message, code="resource_missing", param="payment_method")
        if "return_url" in given:
            self.return_urls[reference] = given["return_url"]
        # Without the charge that failed, it is ready to be confirmed again.
        self.local.post(f"{INTENTS}/{reference}", {"payment_method": token, "latest_charge": None})
        answer = self.local.post(f"{INTENTS}/{reference}/confirm")
        if answer.status == HTTPStatus.PAYMENT_REQUIRED:
            shown = self._amend(self.local.read_intent(reference), [])
            answer.body["error"] |= {"type": "card_error", "decline_code": "generic_decline", "payment_intent": shown}
        return answer

    def _refund(self, given: Fields) -> Reply:
        reference = given["payment_intent"]
        found = self.local.get(f"{INTENTS}/{quote(reference, safe='')}")
        if found.status != HTTPStatus.OK:
            return found
        charge = found.body["latest_charge"]
        if found.body["status"] != "succeeded":
            return refuse(400, f"This PaymentIntent ({reference}) does not have a successful charge to refund.")
        left = charge["amount"] - charge["amount_refunded"]
        if left <= 0:
            message = f"Charge {charge['id']} has already been refunded."
            return refuse(400, message, code="charge_already_refunded", charge=charge["id"])
        amount = int(given.get("amount", left))
        if amount > left:
            message = f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})."
            return refuse(400, message, param="amount", charge=charge["id"])
        if amount > left - self.aftermath.sum_disputed(reference):
            return refuse(400, "The charge is disputed.", code="charge_disputed", charge=charge["id"])
        made = self.local.post(REFUNDS, {"payment_intent": reference, "amount": amount})
        if made.status == HTTPStatus.OK:
            self.aftermath.metadata[made.body["id"]] = read_nested("metadata", given)
        return Reply(made.status, self.aftermath.amend(made.body, reference)) if made.status == HTTPStatus.OK else made

    def _read_charge(self, reference: str) -> Fields:
        """Return the charge of an intent, with its refunds."""
        charge: Fields = self.local.read_intent(reference)["latest_charge"] or {"refunds": {"data": []}}
        return charge

    def _list(self, given: Fields, expand: list[str]) -> Reply:
        """Return a page, the oldest first. One that has nothing young enough is passed over."""
        since, limit = int(given.pop("created[gte]", 0)), min(int(given.pop("limit", PAGE)), PAGE)
        if older := [reference for reference, created in self.made if created < since]:
            given.setdefault("starting_after", older[-1])
        while True:
            answer = self.local.get(INTENTS, **given, limit=limit)
            if answer.status != HTTPStatus.OK:
                return answer
            came = answer.body["data"]
            young = [self._amend(each, expand) for each in came if each["created"] >= since]
            if young or not answer.body["has_more"]:
                answer.body["data"] = young
                return answer
            given["starting_after"] = came[-1]["id"]

    def _show(self, answer: Reply, expand: list[str]) -> Reply:
        is_intent = answer.body.get("object") == "payment_intent"
        return Reply(answer.status, self._amend(answer.body, expand)) if is_intent else answer

    def _amend(self, intent: Fields, expand: list[str]) -> Fields:
        """Return the intent as Stripe would show it."""
        amended = {name: value for name, value in intent.items() if name != "charges"}
        amount, status, charge = intent["amount"], intent["status"], intent["latest_charge"]
        amended["amount_received"] = amount if status == "succeeded" else 0
        amended["amount_capturable"] = amount if status == "requires_capture" else 0
        amended["cancellation_reason"] = self.reasons.get(intent["id"])
        amended |= self.extras.get(intent["id"], {})
        back = self.return_urls.get(intent["id"])
        if intent["next_action"] and back is not None:
            page = {"url": f"https://hooks.stripe.com/3d_secure_2/{intent['id']}", "return_url": back}
            amended["next_action"] = {"type": "redirect_to_url", "redirect_to_url": page}
        if charge is None:
            return amended
        if not any(each.startswith("latest_charge") for each in expand):
            return {**amended, "latest_charge": charge["id"]}
        end = charge["created"] + LIFE_SECONDS if status == "requires_capture" else None
        shown = {**charge, "payment_method_details": {"type": "card", "card": {"capture_before": end}}}
        if "latest_charge.refunds" not in expand:
            del shown["refunds"]
        else:
            refunds = [self.aftermath.amend(each, intent["id"]) for each in shown["refunds"]["data"]]
            shown["refunds"] = {**shown["refunds"], "data": refunds}
        return {**amended, "latest_charge": shown}


def read_nested(name: str, given: Fields) -> Fields:
    """Return the object that flat fields make, as `{"address": {"line1": ..}}` of `shipping[address][line1]`."""
    found: Fields = {}
    for flat, value in given.items():
        if not flat.startswith(f"{name}["):
            continue
        *path, last = flat[len(name) + 1 : -1].split("][")
        inner = found
        for step in path:
            inner = inner.setdefault(step, {})
        inner[last] = value
    return found


def refuse(status: int, message: str, **details: Any) -> Reply:
    """Return an error in Stripe's form."""
    kind = "api_error" if status >= 500 else "invalid_request_error"
    return Reply(status, {"error": {"type": kind, "message": message, **details}})
