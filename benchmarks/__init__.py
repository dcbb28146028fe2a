"""Measurements of Antiphon against the libraries it is made of and against its peers: ``python -m benchmarks --help``.

How they are taken, and why so: docs/adr/0020-how-performance-is-measured.md.
"""
