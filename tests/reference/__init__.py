"""Plain and slow transcriptions of published definitions, which the package is held against.

Nothing here imports the package: every file works on a mapping of named tensors, as a `state_dict` gives it.
"""
