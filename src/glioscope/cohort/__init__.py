"""Room cohort."""
