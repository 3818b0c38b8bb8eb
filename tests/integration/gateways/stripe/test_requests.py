"""What goes over the wire: keys, versions, parameters, and nothing more."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import stripe

from models.money import Money
from models.states import PaymentStatus
from pipeline.errors import Code, Invalid
from pipeline.gateways.gateway import ActionRequired, Call, Declined, Succeeded, Verb
from pipeline.gateways.registry import build_gateway, fit_lease
from pipeline.gateways.stripe.gateway import StripeGateway
from pipeline.settings import Settings, SettingsError
from tests.integration.gateways.stripe.front import Front
from tests.integration.gateways.stripe.local import KEY, Local
from tests.integration.gateways.stripe.purse import Purse, authorize_intent, make_call, open_intent
from tests.integration.gateways.stripe.setting import make_settings, run_gateway


def test_each_verb_carries_our_key_and_the_version_of_the_sdk(
    gateway: StripeGateway, front: Front, purse: Purse
) -> None:
    # Given
    opening = make_call()
    opened = gateway.open(opening)
    assert isinstance(opened, Succeeded)
    calls = [make_call(opened.reference, token=purse.good, checkout_id=opening.checkout_id) for _ in range(3)]
    cancelled = open_intent(gateway)
    cancelling = make_call(cancelled)
    # When
    gateway.authorize(calls[0])
    gateway.capture(calls[1])
    gateway.refund(calls[2])
    gateway.cancel(cancelling)
    # Then
    path = f"/v1/payment_intents/{opened.reference}"
    assert [(each.line, each.key) for each in front.seen if each.key != front.seen[1].key] == [
        ("POST /v1/payment_intents", opening.key),
        (f"POST {path}/confirm", calls[0].key),
        (f"POST {path}/capture", calls[1].key),
        ("POST /v1/refunds", calls[2].key),
        (f"POST /v1/payment_intents/{cancelled}/cancel", cancelling.key),
    ]
    assert {each.headers["stripe-version"] for each in front.seen} == {stripe.api_version}
    assert {each.headers["authorization"] for each in front.seen} == {f"Bearer {KEY}"}


def test_the_parameters_are_these(gateway: StripeGateway, front: Front, purse: Purse) -> None:
    call = make_call()
    opened = gateway.open(call)
    assert isinstance(opened, Succeeded)
    gateway.authorize(make_call(opened.reference, token=purse.good))
    capturing, refunding = (make_call(opened.reference, checkout_id=call.checkout_id) for _ in range(2))
    gateway.capture(capturing)
    gateway.refund(refunding)
    assert [dict(each.fields) for each in front.seen] == [
        {
            "amount": "1000",
            "currency": "eur",
            "capture_method": "manual",
            "confirm": "false",
            "allowed_payment_method_types[0]": "card",
            "description": f"Checkout {call.checkout_id}",
            **named(call),
        },
        {"payment_method": purse.good, "use_stripe_sdk": "true", "expand[0]": "latest_charge"},
        {"amount_to_capture": "1000", **named(capturing)},
        {"payment_intent": opened.reference, **named(refunding)},
    ]


def named(call: Call) -> dict[str, str]:
    return {"metadata[checkout_id]": str(call.checkout_id), "metadata[operation_id]": call.key}


def test_with_a_return_address_the_buyer_is_sent_to_the_banks_page(front: Front, purse: Purse) -> None:
    with run_gateway(front.url, own={"return_url": "https://shop.example/back"}) as gateway:
        reference = open_intent(gateway)
        answer = gateway.authorize(make_call(reference, token=purse.challenged))
    assert answer == ActionRequired(
        reference, {"type": "redirect", "url": f"https://hooks.stripe.com/3d_secure_2/{reference}"}
    )
    [confirmed] = front.find(Verb.AUTHORIZE)
    assert confirmed.fields["return_url"] == "https://shop.example/back"
    assert "use_stripe_sdk" not in confirmed.fields


def test_without_one_stripes_own_library_shows_the_challenge(
    gateway: StripeGateway, local: Local, purse: Purse
) -> None:
    reference = open_intent(gateway)
    answer = gateway.authorize(make_call(reference, token=purse.challenged))
    secret = local.read_intent(reference)["client_secret"]
    assert answer == ActionRequired(reference, {"type": "client_secret", "client_secret": secret})


def test_nothing_is_sent_about_the_machine_or_earlier_calls(gateway: StripeGateway, front: Front) -> None:
    for _ in range(3):
        open_intent(gateway)
    for each in front.seen:
        assert "x-stripe-client-telemetry" not in each.headers
        assert "telemetry_id" not in each.headers["x-stripe-client-user-agent"]
        assert "platform" not in each.headers["x-stripe-client-user-agent"]
        assert "cookie" not in each.headers


def test_nothing_global_is_used_or_changed_for_the_calls(gateway: StripeGateway) -> None:
    open_intent(gateway)
    assert stripe.api_key is None
    assert stripe.default_http_client is None
    assert stripe.api_base == "https://api.stripe.com"


def test_a_netrc_that_fits_every_host_does_not_replace_the_key(
    front: Front, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path_factory.mktemp("home") / "netrc"
    netrc.write_text("default login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with run_gateway(front.url) as gateway:
        open_intent(gateway)
    assert front.seen[0].headers["authorization"] == f"Bearer {KEY}"


def test_a_currency_without_decimals_is_charged_in_whole_units(gateway: StripeGateway, local: Local) -> None:
    # 500 krónur are 500 minor units, and 50000 of Stripe's.
    call = make_call()
    answer = gateway.open(Call(call.checkout_id, call.key, Money(500, "ISK"), ""))
    assert isinstance(answer, Succeeded)
    assert local.read_intent(answer.reference)["amount"] == 50_000


def test_an_amount_that_cannot_be_charged_is_not_sent(gateway: StripeGateway, front: Front) -> None:
    call = make_call("pi_1")
    uneven = Call(call.checkout_id, call.key, Money(5124, "KWD"), "", "pi_1")
    for answer in (gateway.open(uneven), gateway.capture(uneven)):
        assert answer == Declined("amount_invalid", "5.124 KWD cannot be charged by card.")
    assert front.seen == []


def test_many_threads_share_connections_and_not_answers(
    gateway: StripeGateway, front: Front, local: Local, purse: Purse
) -> None:
    # Given 32 threads, each with intents of its own
    barrier = threading.Barrier(32)

    def buy(number: int) -> tuple[int, str]:
        call = make_call()
        barrier.wait(20)
        opened = gateway.open(Call(call.checkout_id, call.key, Money(1000 + number, "EUR"), ""))
        assert isinstance(opened, Succeeded)
        return number, opened.reference

    # When
    with ThreadPoolExecutor(32) as threads:
        opened = list(threads.map(buy, range(32)))
    # Then
    assert [local.read_intent(reference)["amount"] for _, reference in opened] == [1000 + n for n, _ in opened]
    assert len(front.seen) == 32
    # And they are still good for one thread after the other
    reference = authorize_intent(gateway, purse)
    assert gateway.cancel(make_call(reference)) == Succeeded(reference, PaymentStatus.CANCELLED)


def test_webhooks_without_their_secret_are_refused_with_what_to_set(front: Front) -> None:
    with (
        run_gateway(front.url, own={"webhook_secret": None}) as gateway,
        pytest.raises(Invalid, match="CHECKOUT_STRIPE_WEBHOOK_SECRET is not set") as refusal,
    ):
        gateway.read_webhook(b"{}", {"stripe-signature": "t=1,v1=00"})
    assert refusal.value.code is Code.WEBHOOK_INVALID


@pytest.mark.parametrize("key", [None, "", "  ", "pk_test_1"])
def test_without_a_secret_key_it_says_what_to_set(key: str | None) -> None:
    with pytest.raises(SettingsError, match=r"^Set CHECKOUT_STRIPE_API_KEY to Stripe's secret key \(sk_"):
        build_gateway(make_settings("http://127.0.0.1:1").with_gateway_options(api_key=key))


def test_a_lease_shorter_than_a_call_is_refused_with_what_to_set() -> None:
    with pytest.raises(SettingsError, match=r"A call of stripe can take 4\.5 s: set CHECKOUT_GATEWAY_LEASE_SECONDS"):
        build_gateway(make_settings("http://127.0.0.1:1", gateway_lease_seconds=4.5))


def test_with_default_settings_a_call_ends_well_before_its_lease() -> None:
    times = ("gateway_timeout_seconds", "gateway_lease_seconds")
    settings = make_settings("http://127.0.0.1:1", **{name: Settings.model_fields[name].default for name in times})
    gateway = build_gateway(settings)
    assert gateway.call_seconds == 10.5
    assert fit_lease(settings, gateway).gateway_lease_seconds == 13
    assert fit_lease(settings.model_copy(update={"gateway_lease_seconds": 11}), gateway).gateway_lease_seconds == 11
    gateway.close()
    gateway.close()
