"""Study: a list of runs, described in a file, and the notebooks that show them."""
