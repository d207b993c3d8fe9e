"""What one engine, runtime or version of CRIU has checkpointed, rewritten so that another one restores it.

In comes an archive or a folder of images, out comes another one and a list of what was changed, in sentences. Nothing
is guessed: what cannot be said in the other's words is declined with the reason.
"""
