"""Every table, so that one import makes the metadata complete."""

from models.base import Base
from models.cart import Cart, CartLine
from models.catalog import DerivedSku, Location, Price, StockLevel, StockMovement, Variant
from models.checkout import Checkout, Event, RefusedMessage, RequestKey
from models.delivery import WebhookDelivery, WebhookEndpoint
from models.edge import AdminSession, ApiKey, Heartbeat, RequestAnswer
from models.lock import CheckoutLine, PriceLock, PriceLockLine, Reservation
from models.order import Order, OrderLine
from models.payment import Payment, PaymentOperation
from models.pricing import Coupon, ExchangeRate, Promotion, Redemption, TaxRate
from models.sandbox import SandboxEntry, SandboxPayment, SandboxRequest
from models.webhook import WebhookNotice

__all__ = [
    "AdminSession",
    "ApiKey",
    "Base",
    "Cart",
    "CartLine",
    "Checkout",
    "CheckoutLine",
    "Coupon",
    "DerivedSku",
    "Event",
    "ExchangeRate",
    "Heartbeat",
    "Location",
    "Order",
    "OrderLine",
    "Payment",
    "PaymentOperation",
    "Price",
    "PriceLock",
    "PriceLockLine",
    "Promotion",
    "Redemption",
    "RefusedMessage",
    "RequestAnswer",
    "RequestKey",
    "Reservation",
    "SandboxEntry",
    "SandboxPayment",
    "SandboxRequest",
    "StockLevel",
    "StockMovement",
    "TaxRate",
    "Variant",
    "WebhookDelivery",
    "WebhookEndpoint",
    "WebhookNotice",
]
