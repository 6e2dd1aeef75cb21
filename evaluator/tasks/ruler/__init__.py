"""The thirteen tasks of RULER (Hsieh et al., 2404.06654), written here: no text of the published generator, no downloads.

`ruler:TASK:LENGTH` draws every sample apart. `ruler-faithful:TASK:LENGTH` keeps the biases of the published generator.
"""
