"""Where binaries come from: definitions in `ci/stacks`, the root file systems built from them, and nodes.

In comes a stack's name, out comes a running `Node`: a disposable, isolated instance of the stack. What runs in it is
nobody's business here.
"""
