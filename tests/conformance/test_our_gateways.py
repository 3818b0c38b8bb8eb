"""The conformance suite on the sandbox bank and on the Stripe adapter: `conformance_subjects` in pyproject.toml."""

from pipeline.gateways.conformance.test_amounts import *
from pipeline.gateways.conformance.test_buyers import *
from pipeline.gateways.conformance.test_charges import *
from pipeline.gateways.conformance.test_inbound_webhooks import *
from pipeline.gateways.conformance.test_keys import *
from pipeline.gateways.conformance.test_ledger import *
from pipeline.gateways.conformance.test_manners import *
from pipeline.gateways.conformance.test_states import *
from pipeline.gateways.conformance.test_unknown import *
from pipeline.gateways.conformance.test_verbs import *
