"""The evaluation harness, with the engines and servers of this machine."""
