"""The command `sweep`: parse, call, print, exit code."""
