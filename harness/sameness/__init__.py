"""Whether a restored container is the same container: the kernel's facts about both, compared."""
