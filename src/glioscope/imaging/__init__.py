"""Room imaging."""
