"""CRI, the interface between Kubernetes and its container engines: its messages, a client, and two engines."""
