"""What must not move: keys written down once, and stores written by older versions of the code."""
