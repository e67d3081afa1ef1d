"""Services of the process and the machine: random numbers, files, copies, memory, other ranks."""
