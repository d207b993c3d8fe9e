"""The words for what was found: sentences, lines of commands, what may be declared. Pure."""
