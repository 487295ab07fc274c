"""The carrier world: a real SMPP server whose seeded behaviour is known exactly.

Its chapters, in reading order:

    draws       chance as a pure function of seed, identity and purpose
    tables      what a scenario file's tables are made of
    provider    how a provider takes messages and reports on them
    carrier     how a mobile network treats messages
    people      who sends, who receives and what they do
    traffic     what is sent into a scenario, by whom and when
    expect      what must come of it
    scenario    all of that and a timeline, read from scenarios/*.toml
    hours       spells of trouble, rush hours and nights
    recent      a memory that is bounded
    limits      providers' rate limits
    history     what carriers remember of earlier messages
    submission  what one submit_sm asks, and who it is to chance
    filters     what carriers object to in a text
    fate        a submission's whole future, as values
    journey     the truth: from the provider's answer to the handset
    reports     what providers say about it
    acts        what people do about it
    fixed_fates the numbers whose fate is the same in every scenario
    truth       what really happened, apart from what is reported
    inbox       the texts that reached handsets
    agenda      what is due later, on one timer
    mailbox     receipts and replies that wait for a bind to take them
    connection  one ESME's connection
    exchange    from a submit_sm to its answer, its ending and its receipts
    smsc        the server: listening, binds, faults on demand
"""
