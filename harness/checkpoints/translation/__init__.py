"""Translation of checkpoints, so that another engine, runtime or version of CRIU restores them.

An archive or a folder of images comes in; a new one and a list of changes, in sentences, go out. Nothing is guessed: a
checkpoint that the target cannot express is declined with the reason.
"""
