"""Ray and machines. Knows no plan."""
