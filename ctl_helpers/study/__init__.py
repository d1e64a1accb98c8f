"""Study: a list of runs, written down in a file, and the notebooks that tell them."""
