"""The carrier world: a real SMPP server whose seeded behaviour is known exactly.

Its chapters, in reading order:

    draws       chance as a pure function of seed, identity and purpose
    scenario    how providers and carriers behave, read from scenarios/*.toml
    submission  what one submit_sm asks, and who it is to chance
    filters     what carriers object to in a text
    fate        a submission's whole future: answer, truth and receipts
    fixed_fates the numbers whose fate is the same in every scenario
    limits      a provider's rate limit
    truth       what really happened, apart from what is reported
    inbox       the texts that reached handsets
    agenda      what is due later, on one timer
    mailbox     receipts that wait for a bind to take them
    connection  one ESME's connection
    exchange    from a submit_sm to its answer, its ending and its receipts
    smsc        the server: listening, binds, faults on demand
"""
