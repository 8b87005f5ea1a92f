"""glioscope command line."""
