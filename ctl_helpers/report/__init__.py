"""Report: tables, figures, notebooks and the index page."""
