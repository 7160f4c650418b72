"""Statistics of few seeds, as pure functions of arrays: they know no sweep, no trial and no record."""
