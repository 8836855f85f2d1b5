"""Host names in DNS queries seen on the wire."""


def question_names(payload: bytes) -> tuple[str, ...]:
    """Names asked in one or more concatenated-free DNS messages; () for anything that is not a query.

    ``payload`` is one datagram (no TCP length prefix). Names are lower case, without the final dot.
    """
    if len(payload) < 17 or payload[2] & 0x80:  # header of 12 (RFC 1035 4.1.1), QR bit set in answers
        return ()
    # Imported here: most traces hold no query, and dnspython takes 25 ms to load.
    import dns.exception
    import dns.message

    try:
        message = dns.message.from_wire(payload, ignore_trailing=True, question_only=True)
    except (dns.exception.DNSException, ValueError):
        return ()
    return tuple(sorted({q.name.to_text(omit_final_dot=True).lower() for q in message.question}))
