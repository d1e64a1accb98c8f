"""Results: scores with their intervals, comparisons, and what others published."""
