"""The study report: from predictions and readings to tables, figures and one page that a journal would accept."""
