"""CRI, the interface of Kubernetes to its engines: its messages, a client, two engines, and the kubelet above them."""
