"""What each command says of itself: its options, exit codes and examples, as data that loads at once.

Out come parsers and help. Nothing here imports a library, or a module that does: what a command does is in the modules
beside this folder, and is imported when the command is called.
"""
