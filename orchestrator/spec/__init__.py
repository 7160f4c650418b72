"""A sweep file as recipes and trials."""
