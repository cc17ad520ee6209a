"""Rented GPUs: offers, a job that trains there as it would here, and machines that never outlive their use.

What is rented is written to a ledger before it is asked for, every machine carries a watchdog that destroys it, and
`reap` compares the provider's list with the ledger. Providers speak REST (`vast`, `runpod`); `ssh` and `local` are
machines of one's own.
"""
