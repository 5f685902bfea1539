"""The commands, a file a group: each function's parameters are its options, its docstring is its help."""
