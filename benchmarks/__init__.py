"""Numbers measured by hand; each program prints its conditions and at least two variants."""
