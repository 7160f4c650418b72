"""From a sweep file to a comparison: grid, lineage, store, driver, summary, report."""
