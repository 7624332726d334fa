"""Measures how good a conversion is, from the source, the result and recordings of the wanted voice."""
