"""The commands of `lightning-nas`."""
