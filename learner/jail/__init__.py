"""The network by host name, without privileges: a namespace whose only way out is a filter of ours.

One launch, in order:

1. ``Jail.prepare(policy)`` in sbx: reads the rules, opens nothing but a socket pair.
2. A supervisor is forked (:mod:`learner.jail.supervisor`): it will be the filter, and the reaper of the program.
3. The program's process is forked from it and calls ``Jail.enter()``: user and network namespace, loopback, addresses,
   nftables, listeners; the listeners' descriptors go out through the socket pair. A socket belongs for good to the
   namespace in which it was made, so the filter accepts inside and dials outside.
4. Still in that process: mounts (they need the capabilities of the new user namespace), then
   ``privileges.limit()``, then seccomp and Landlock (whose domains forbid mounting), then exec.
5. ``Jail.serve()`` in the supervisor: answers the jail's DNS itself, and relays what the rules allow.

The names' addresses are made up (198.18.0.0/15, RFC 2544): an allowed name is looked up only when it is dialled, and
a name that is not allowed never leaves.
"""
