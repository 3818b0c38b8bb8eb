"""Messages as the pipeline sees them: queues, what is sent, and what could not be read. No broker.

Public modules: `ports` (what a publisher and a backlog must offer), `rejected_messages`.
"""

from pipeline.messaging.ports import DELIVERIES, INTAKE, RESOLVE, SWEEP, UNWIND, WEBHOOKS, OutgoingMessage, Publisher

__all__ = ["DELIVERIES", "INTAKE", "RESOLVE", "SWEEP", "UNWIND", "WEBHOOKS", "OutgoingMessage", "Publisher"]
