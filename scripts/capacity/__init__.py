"""How many processes, cores and hosts a peak needs: measured costs of a checkout, and the arithmetic with them."""
