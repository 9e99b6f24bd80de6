"""Groups of copies → a plan, its execution and the way back: all that touches users' photos."""
