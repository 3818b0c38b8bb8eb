"""Queues, ports to the broker, and rejected messages. No broker is imported here.

Public modules: `ports` (the protocols of a publisher and a backlog), `rejected_messages`.
"""

from pipeline.messaging.ports import DELIVERIES, INTAKE, RESOLVE, SWEEP, UNWIND, WEBHOOKS, OutgoingMessage, Publisher

__all__ = ["DELIVERIES", "INTAKE", "RESOLVE", "SWEEP", "UNWIND", "WEBHOOKS", "OutgoingMessage", "Publisher"]
