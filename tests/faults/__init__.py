"""Fault and abuse tests: what is tried, what survives, what is lost. See docs/reliability.md."""
