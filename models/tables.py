"""Every table, so that one import makes the metadata complete."""

from models.base import Base
from models.cart import CartLineRecord, CartRecord
from models.catalog import (
    DerivedSkuRecord,
    LocationRecord,
    PriceRecord,
    ReservationRecord,
    StockLevelRecord,
    StockMovementRecord,
    VariantRecord,
)
from models.catalog_change import CatalogChangeRecord
from models.checkout import (
    CheckoutLineRecord,
    CheckoutRecord,
    EventRecord,
    IdempotencyKeyRecord,
    RejectedMessageRecord,
)
from models.delivery import WebhookDeliveryRecord, WebhookEndpointRecord
from models.http import AdminSessionRecord, ApiKeyRecord, HeartbeatRecord, StoredResponseRecord
from models.order import OrderLineRecord, OrderRecord
from models.order_change import OrderChangeLineRecord, OrderChangeRecord, RefundRecord
from models.owner_move import OwnerMoveRecord
from models.partition import DetachedMonthRecord
from models.payment import PaymentOperationRecord, PaymentRecord
from models.price_lock import PriceLockLineRecord, PriceLockRecord
from models.pricing import CouponRecord, ExchangeRateRecord, PromotionRecord, RedemptionRecord, TaxRateRecord
from models.sandbox import (
    SandboxDisputeRecord,
    SandboxEntryRecord,
    SandboxPaymentRecord,
    SandboxRefundRecord,
    SandboxRequestRecord,
)
from models.webhook import InboxRecord

__all__ = [
    "AdminSessionRecord",
    "ApiKeyRecord",
    "Base",
    "CartLineRecord",
    "CartRecord",
    "CatalogChangeRecord",
    "CheckoutLineRecord",
    "CheckoutRecord",
    "CouponRecord",
    "DerivedSkuRecord",
    "DetachedMonthRecord",
    "EventRecord",
    "ExchangeRateRecord",
    "HeartbeatRecord",
    "IdempotencyKeyRecord",
    "InboxRecord",
    "LocationRecord",
    "OrderChangeLineRecord",
    "OrderChangeRecord",
    "OrderLineRecord",
    "OrderRecord",
    "OwnerMoveRecord",
    "PaymentOperationRecord",
    "PaymentRecord",
    "PriceLockLineRecord",
    "PriceLockRecord",
    "PriceRecord",
    "PromotionRecord",
    "RedemptionRecord",
    "RefundRecord",
    "RejectedMessageRecord",
    "ReservationRecord",
    "SandboxDisputeRecord",
    "SandboxEntryRecord",
    "SandboxPaymentRecord",
    "SandboxRefundRecord",
    "SandboxRequestRecord",
    "StockLevelRecord",
    "StockMovementRecord",
    "StoredResponseRecord",
    "TaxRateRecord",
    "VariantRecord",
    "WebhookDeliveryRecord",
    "WebhookEndpointRecord",
]
