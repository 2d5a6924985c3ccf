"""Consumes records in chunks. The only package that touches Faust's private side."""
