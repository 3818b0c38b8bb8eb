"""What happens at the bank after a purchase: partial refunds, their failures, and disputes."""
