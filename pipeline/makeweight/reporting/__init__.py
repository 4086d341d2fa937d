"""The report: tables, plots and templates."""
